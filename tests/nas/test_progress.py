"""What a search shows and logs while it runs."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from nas.panel import LiveProgress, front_picture
from nas.progress import Logged, PlainProgress, QuietProgress, progress_on, telling
from nas.search import Stop
from nas.trials import Row
from tests.nas.conftest import Lab


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def rows(lab: Lab) -> list[Row]:
    return lab.search(lab.settings(trials=12), Stop(print))


def drawn(lab: Lab, rows: list[Row], width: int = 130) -> str:
    stream = io.StringIO()
    shown = LiveProgress(Console(file=stream, width=width), lab.settings(trials=12))
    shown._rows = rows
    shown.doing("worker 1", "training")
    Console(file=stream, width=width).print(shown.panel())
    return stream.getvalue()


def test_the_panel_has_the_best_the_front_the_trials_and_the_workers(lab: Lab, rows: list[Row]) -> None:
    text = drawn(lab, rows)
    assert "12 of 12 trials" in text
    assert re.search(r"best within 3 ms: [\d.]+ % at [\d.]+ ms \(trial \d+, reward [\d.]+\)", text)
    assert "★" in text
    assert "●" in text
    assert re.search(r"worker 1: training since \d\d:\d\d:\d\d", text)
    assert all(len(line) <= 130 for line in text.splitlines())
    assert len(drawn(lab, rows, 80).splitlines()) > len(
        text.splitlines()
    )  # below each other where it is narrow


def test_the_picture_puts_the_fastest_left_and_the_most_accurate_on_top(lab: Lab) -> None:
    found = [
        Row(n, "COMPLETE", str(n), accuracy, latency_ms=latency, reward=accuracy, on_front=front)
        for n, (latency, accuracy, front) in enumerate([(1, 0.5, True), (5, 0.9, True), (5, 0.5, False)])
    ]
    lines = front_picture(found, lab.settings(target_ms=3.0), 21, 5).splitlines()
    picture = [line[10:] for line in lines[:5]]
    assert picture[0][20] == "●"  # the most accurate, too slow for the target
    assert picture[4][0] == "★"
    assert picture[4][20] == "·"
    assert all(line[10] == "│" for line in picture)


def test_with_no_colour_asked_for_none_is_sent(
    lab: Lab, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    found = {}
    for value in ("", "1"):
        monkeypatch.setenv("NO_COLOR", value)
        stream = Terminal()
        with LiveProgress.on(stream, lab.settings(trials=12)) as shown:
            shown.trial(rows[-1], rows)
        found[value] = set(re.findall(r"\x1b\[([\d;]*)m", stream.getvalue()))
    assert any("32" in code.split(";") for code in found[""])
    assert not any(int(part or 0) >= 30 for code in found["1"] for part in code.split(";"))


def test_what_is_shown_where(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    settings = lab.settings()
    assert isinstance(progress_on(Terminal(), settings), LiveProgress)
    assert isinstance(progress_on(io.StringIO(), settings), PlainProgress)
    assert isinstance(progress_on(Terminal(), settings, plain=True), PlainProgress)
    quiet = progress_on(Terminal(), settings, quiet=True)
    assert isinstance(quiet, QuietProgress)
    assert not isinstance(quiet, PlainProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_on(Terminal(), settings), PlainProgress)


def test_the_log_has_a_time_for_each_line_and_is_gone_on_with(
    lab: Lab, rows: list[Row], tmp_path: Path
) -> None:
    log = tmp_path / "search.log"
    for _ in range(2):
        with Logged(QuietProgress(), log, 12) as progress:
            progress.note("a note\nof two lines")
            progress.trial(rows[-1], rows)
            assert telling(progress, "training", lambda x: x + 1)(1) == 2
    lines = log.read_text().splitlines()
    assert len(lines) == 6
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4}  \S", line) for line in lines)
    assert lines[0].endswith("a note of two lines")
    assert "12/12" in lines[1]
    assert lines[2].endswith("search: training")


def test_plain_lines_say_what_a_trial_came_to(lab: Lab, rows: list[Row]) -> None:
    stream = io.StringIO()
    PlainProgress(stream, 12).trial(rows[-1], rows)
    assert re.fullmatch(
        r"trial +\d+  accuracy +[\d.]+ %  latency +[\d.]+ ms  reward [\d.]+  12/12 .*\n", stream.getvalue()
    )
