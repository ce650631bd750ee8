"""What all commands have in common: help in groups with examples, a version, the nearest option; and nas-report."""

from __future__ import annotations

import json
import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from benchmarks.made_up_run import made_up_run
from nas.commands.app import status
from tests.nas.conftest import SPACE

COMMANDS = ("search", "latency", "export", "train", "report")


def run(command: str, *arguments: str) -> int:
    module: Any = import_module(f"nas.commands.{command}")
    return status(getattr(module, "measure_app", None) or module.app, f"nas-{command}", list(arguments))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_and_a_version(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    text = capsys.readouterr().out
    assert re.search(rf"Examples?:\n\s+nas-{command} ", text)
    assert "--version" in text
    assert "--install-completion" in text
    assert run(command, "--version") == 0
    assert capsys.readouterr().out.startswith(f"nas-{command} ")


def test_the_searchs_options_stand_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    run("search", "--help")
    text = capsys.readouterr().out
    heads = ["The goal:", "The deployed network:", "The search:", "The proxy:", "The run:", "Options:"]
    assert [line for line in text.splitlines() if line in heads] == heads
    assert text.index("The goal:") < text.index("--target-ms") < text.index("The deployed network:")


@pytest.mark.parametrize(
    ("command", "wrong", "right"),
    [("search", "--target-m", "--target-ms"), ("report", "--picture", "--pictures")],
)
def test_an_unknown_option_suggests_the_nearest(
    command: str, wrong: str, right: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, wrong) == 2
    assert f"did you mean {right}?" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_NAS_REPORT_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", "nas-report --pic")
    monkeypatch.setenv("COMP_CWORD", "1")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "nas-report --pic")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    with pytest.raises(SystemExit):
        run("report")
    assert "--pictures" in capsys.readouterr().out


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "one"
    made_up_run(path, 12, space_yaml=SPACE, resolution=64)
    return path


def test_a_run_gets_its_page_and_pictures(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", str(finished), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["report"] == str(finished / "report.html")
    assert str(finished / "pictures" / "front.png") in found["pictures"]
    assert run("report", str(finished), "--no-pictures") == 0
    assert capsys.readouterr().out == f"{finished / 'report.html'}\n"


def test_several_runs_get_one_page(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(finished, tmp_path / "other")
    out = tmp_path / "both.html"
    assert run("report", str(finished), str(other), "--out", str(out)) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert "2 searches compared" in out.read_text()


def test_wrong_uses_are_refused_in_one_line(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, words in [
        ([str(finished), "--out", "x.html"], "--out is for a page about several runs"),
        ([str(finished)] * 7, "7 runs were given; expected 2 to 6"),
        (
            [str(finished), str(finished), "--out", str(tmp_path / "none" / "x.html")],
            "expected a file in a folder",
        ),
        (
            [str(finished), str(finished), "--out", str(tmp_path / "notes.py")],
            "expected a file name that ends in .html",
        ),
        ([str(finished), str(tmp_path)], "not a run folder"),
    ]:
        assert run("report", *arguments) == 2
        error = capsys.readouterr().err
        assert words in error
        assert len(error.splitlines()) == 1
