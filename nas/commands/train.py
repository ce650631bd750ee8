"""nas-train: full training."""

from __future__ import annotations

from typing import Annotated

import typer

from nas.commands.app import SETTINGS, examples, new_app, run

app = new_app()


def main() -> None:
    """The entry point."""
    run(app, "nas-train")


@app.command(
    epilog=examples("nas-train runs/cifar --data ~/cifar10"),
    context_settings={**SETTINGS, "ignore_unknown_options": True, "allow_extra_args": True},
)
def train(
    candidate: Annotated[str, typer.Argument(help="A zoo name, a candidate's JSON, or a run folder.")] = "",
) -> None:
    """Train a candidate in full. Not built yet."""
    from candidates.errors import InputError

    raise InputError(
        f"full training {f'of {candidate} ' if candidate else ''}is not built yet; "
        "nas-export --format torch gives the network to train with your own code"
    )


if __name__ == "__main__":
    main()
