"""nas-report: write a run's report again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nas.commands.app import new_app, run

app = new_app()


def main() -> None:
    """The entry point."""
    run(app, "nas-report")


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """(Re)write a run's report.html."""
    from nas.report import write_report

    path = write_report(folder)
    print(json.dumps({"report": str(path)}) if as_json else path)


if __name__ == "__main__":
    main()
