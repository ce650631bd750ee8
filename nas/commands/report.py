"""nas-report: write a run's report again, or one page about several runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from nas.commands.app import examples, new_app, run

app = new_app()


def main() -> None:
    """The entry point."""
    run(app, "nas-report")


@app.command(
    epilog=examples(
        "nas-report runs/photos",
        "nas-report runs/photos --baselines",
        "nas-report runs/first runs/second --out both.html",
    )
)
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="One run folder, or several.")],
    baselines: Annotated[
        bool,
        typer.Option("--baselines", help="Measure and train mnasnet-a1, mnasnet-b1 and mobilenet-v2 first."),
    ] = False,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Write SVG and PNG files for slides too.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option(help="Where to write a page about several runs [comparison.html].")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """(Re)write a run's report.html and pictures; of several runs one page that compares them."""
    from candidates.errors import InputError
    from nas.report import write_comparison, write_pictures, write_report

    if len(folders) == 1 and out is not None:
        raise InputError("--out is for a page about several runs; a run's own is its report.html")
    for folder in folders if baselines else []:
        _add_baselines(folder)
    if len(folders) > 1:
        page = write_comparison(folders, _checked(out or Path("comparison.html")))
        files = []
    else:
        page = write_report(folders[0])
        files = write_pictures(folders[0]) if pictures else []
    if as_json:
        print(json.dumps({"format": 1, "report": str(page), "pictures": [str(file) for file in files]}))
        return
    print(page)
    if files:
        print(f"{files[0].parent}: {', '.join(file.name for file in files)}")


def _checked(out: Path) -> Path:
    from candidates.errors import InputError
    from candidates.files import check_folder, expanded

    path = expanded("--out", out)
    check_folder("--out", path.absolute().parent)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out {path} is no page; expected a file name that ends in .html")
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"--out {path} cannot be written; expected a file in a folder that exists")
    return path


def _add_baselines(path: Path) -> None:
    """Measure and train the baselines as the run's own trials were, on its device and with its data."""
    from candidates.errors import InputError
    from nas import cpu
    from nas.baselines import compare_with_known
    from nas.prepared import check_devices, levelled, prepare
    from nas.report.run_data import read_run

    best = read_run(path).best
    if best is None:
        raise InputError(f"{path} has no trained candidate yet to compare with")
    cpu.prepare()
    from nas.run_folder import open_run

    folder = open_run(path)
    with folder.locked():
        prepared = prepare(folder.settings, folder.record["space_yaml"])
        check_devices(prepared, folder)
        prepared = levelled(prepared, folder.record["device"])
        compare_with_known(folder, prepared, best[0].arch(), "train", _say)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
