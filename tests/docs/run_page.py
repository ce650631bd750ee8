"""Runs pages' snippets, in their order, in the current folder: `python -m tests.docs.run_page PAGE...`.

Python is executed, in one namespace for each page. Commands of this toolkit are run as they stand, each once, but
for searches, which get one trial of a little space, and measurements, which take a few runs; those of a block that
needs a phone, and those in recorded sessions, are parsed, so that an option that went away is found.
"""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from nas.commands.app import status
from tests.docs.snippets import Snippet, commands, snippets

SHORT = {
    "--trials": "1",
    "--epochs": "1",
    "--confirm": "0",
    "--resolution": "32",
    "--baselines": "none",
    "--space": "little.yaml",
    "--device": "cpu",
}


_done: set[str] = set()


def main(page: Path) -> None:
    """Run all of a page; the exit status tells, and the last line printed says where it stopped."""
    namespace: dict[str, Any] = {"__name__": "snippet"}
    for snippet in snippets(page):
        where = f"{page.name}:{snippet.line}"
        print(f"== {where}", flush=True)
        if snippet.language == "python" and not snippet.reason:
            exec(compile("\n" * (snippet.line - 1) + snippet.code, str(page), "exec"), namespace)
        elif snippet.language in ("sh", "console"):
            for line in commands(snippet):
                _command(line, snippet, where)


def _command(line: str, snippet: Snippet, where: str) -> None:
    words = [str(Path(word).expanduser()) if word.startswith("~") else word for word in shlex.split(line)]
    if not words or not words[0].startswith("nas-"):
        assert snippet.reason or snippet.language == "console", (
            f"{where}: {line!r} is no command of ours: mark it"
        )
        return
    app = _app(words)
    if snippet.reason or snippet.language == "console":
        command = typer.main.get_command(app)
        command.make_context(words[0], words[1:])
        return
    if line in _done:
        return
    _done.add(line)
    arguments = _short(words[1:]) if words[0] == "nas-search" else words[1:]
    if words[0] == "nas-train" and "--epochs" in arguments:
        arguments[arguments.index("--epochs") + 1] = "1"
    if "--train-best" in arguments:
        arguments += ["--train-epochs", "1"]
    code = status(app, words[0], arguments)
    assert code == 0, f"{where}: {line!r} ended with {code}"


def _app(words: list[str]) -> Any:
    module: Any = import_module(f"nas.commands.{words[0].removeprefix('nas-')}")
    if words[0] != "nas-latency":
        return module.app
    from nas.commands import latency_tools

    return latency_tools.app if words[1] in latency_tools.NAMES else module.measure_app


def _short(arguments: list[str]) -> list[str]:
    """A search's arguments with what makes it short, and the page's own where that decides nothing about time."""
    found = list(arguments)
    for option, value in SHORT.items():
        if option in found:
            if option not in ("--space", "--device"):
                found[found.index(option) + 1] = value
        elif not (option == "--device" and "--target" in found):
            found += [option, value]
    return found if "--out" in found else [*found, "--out", f"runs/snippet-{os.urandom(4).hex()}"]


def _measure_briefly() -> None:
    """How long is measured is not what documentation is tested for."""
    from latency.host import HostDevice

    measure = HostDevice.measure

    def brief(device: HostDevice, model: Any, settings: Any) -> Any:
        short = replace(settings, blocks=1, min_runs=3, min_seconds=0.0, reference=False)
        return measure(device, model, short)

    HostDevice.measure = brief  # type: ignore[method-assign]


if __name__ == "__main__":
    _measure_briefly()
    for name in sys.argv[1:]:
        main(Path(name))
