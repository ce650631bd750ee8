"""What a search shows while it runs: a live panel on a terminal, a line for each trial elsewhere, and a log."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from nas.targets import is_predicted, reasons_of
from nas.trials import Row, completed, in_state

if TYPE_CHECKING:
    from nas.settings import SearchSettings

LOG = "search.log"


def percent(value: float | None) -> str:
    """An accuracy for people."""
    return "—" if value is None else f"{100 * value:.2f} %"


def milliseconds(value: float | None) -> str:
    """A latency for people, three digits."""
    return "—" if value is None else f"{value:.3g} ms" if value < 100 else f"{value:.0f} ms"


def times(row: Row) -> str:
    """A trial's latencies for people: on the main device, then on the others."""
    if row.latency_ms is None:
        return milliseconds(None)
    return " / ".join(milliseconds(latency) for latency in row.latencies)


def outcome(row: Row) -> str:
    """What became of a trial, in a few words."""
    if row.failed_because:
        return f"failed: {row.failed_because}"
    if row.duplicate_of is not None:
        return f"same network as trial {row.duplicate_of}"
    if row.over_limit:
        return row.over_limit
    if row.state == "PRUNED":
        return "too slow to train" if row.too_slow else f"stopped after epoch {row.epochs}"
    if reasons_of(row.measurement):
        return "latency in doubt"
    notes = ["on the front"] if row.on_front else []
    if is_predicted(row.measurement):
        notes.append("latency predicted")
    return ", ".join(notes)


def time_left(rows: Sequence[Row], total: int) -> str:
    """An estimate from the recent trials' time, duplicates included."""
    spent = [row.measuring_seconds + row.training_seconds for row in rows[-20:] if row.state == "COMPLETE"]
    left = total - completed(rows)
    if not spent or left <= 0:
        return "—"
    at_once = 1 + len(in_state("RUNNING", rows))  # the one that ended, and those still in flight
    seconds = left * statistics.mean(spent) / at_once
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


def trial_line(row: Row, rows: Sequence[Row], total: int) -> str:
    """What a trial came to, in one line."""
    parts = [
        f"trial {row.number:>3}",
        f"accuracy {percent(row.accuracy):>8}",
        f"latency {times(row):>8}",
        f"reward {row.reward:.4f}" if row.reward is not None else "reward      —",
        f"{completed(rows)}/{total}",
        f"left {time_left(rows, total)}",
    ]
    note = outcome(row)
    return "  ".join(parts) + (f"  ({note})" if note else "")


class Shown(Protocol):
    """Where a search shows what it does; used as a context manager."""

    def __enter__(self) -> Any: ...

    def __exit__(self, *details: object) -> None: ...

    def trial(self, row: Row, rows: list[Row]) -> None:
        """A trial has ended."""
        ...

    def note(self, text: str) -> None:
        """Something to know, in a sentence."""
        ...

    def doing(self, worker: str, what: str) -> None:
        """What a worker does from now on; nothing, where `what` is empty."""
        ...


class QuietProgress:
    """Shows nothing."""

    def __enter__(self) -> QuietProgress:
        return self

    def __exit__(self, *details: object) -> None:
        return None

    def trial(self, row: Row, rows: list[Row]) -> None:
        """Not shown."""

    def note(self, text: str) -> None:
        """Not shown."""

    def doing(self, worker: str, what: str) -> None:
        """Not shown."""


class PlainProgress(QuietProgress):
    """One line for each trial, and for each note."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream, self._total = stream, total

    def trial(self, row: Row, rows: list[Row]) -> None:
        """Print what the trial came to."""
        self.note(trial_line(row, rows, self._total))

    def note(self, text: str) -> None:
        """Print a sentence."""
        print(text, file=self._stream, flush=True)


def log_lines(path: Path, texts: Sequence[str]) -> None:
    """Add lines with their time to a log file."""
    with path.open("a", encoding="utf-8") as file:
        for text in texts:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S%z')}  {' '.join(text.splitlines())}\n")


class Logged:
    """Another progress, and a log file beside it with a line and its time for all that happens."""

    def __init__(self, shown: Shown, path: Path, total: int) -> None:
        self._shown, self._path, self._total = shown, path, total

    def __enter__(self) -> Logged:
        self._shown.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._shown.__exit__(*details)

    def trial(self, row: Row, rows: list[Row]) -> None:
        """Log and show what the trial came to."""
        self._write(trial_line(row, rows, self._total))
        self._shown.trial(row, rows)

    def note(self, text: str) -> None:
        """Log and show a sentence."""
        self._write(text)
        self._shown.note(text)

    def doing(self, worker: str, what: str) -> None:
        """Log and show what a worker begins."""
        if what:
            self._write(f"{worker}: {what}")
        self._shown.doing(worker, what)

    def _write(self, text: str) -> None:
        log_lines(self._path, [text])


def telling(
    progress: object, what: str, work: Callable[..., Any], worker: str = "search"
) -> Callable[..., Any]:
    """`work`, which tells `progress` when it begins and ends, where that listens."""
    tell = getattr(progress, "doing", None)
    if tell is None:
        return work

    def told(*arguments: Any, **options: Any) -> Any:
        tell(worker, what)
        try:
            return work(*arguments, **options)
        finally:
            tell(worker, "")

    return told


def progress_on(
    stream: TextIO,
    settings: SearchSettings,
    log: Path | None = None,
    *,
    plain: bool = False,
    quiet: bool = False,
) -> Shown:
    """The live panel where `stream` is a terminal, else plain lines; `plain` and `quiet` ask for less."""
    shown: Shown
    if quiet:
        shown = QuietProgress()
    elif plain or not stream.isatty() or os.environ.get("TERM") == "dumb":
        shown = PlainProgress(stream, settings.trials)
    else:
        from nas.panel import LiveProgress

        shown = LiveProgress.on(stream, settings)
    return shown if log is None else Logged(shown, log, settings.trials)
