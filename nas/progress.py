"""What a search shows while it runs: a live table on a terminal, a line for each trial elsewhere."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from nas.targets import is_predicted, reasons_of
from nas.trials import Row, best_of

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.live import Live

    from nas.settings import SearchSettings

SHOWN = 8  # trials in the live table


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
    left = total - sum(row.state == "COMPLETE" for row in rows)
    if not spent or left <= 0:
        return "—"
    seconds = left * statistics.mean(spent)
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


class PlainProgress:
    """One line for each trial."""

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream, self._total = stream, total

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *details: object) -> None:
        return None

    def trial(self, row: Row, rows: list[Row]) -> None:
        """Print what the trial came to."""
        done = sum(r.state == "COMPLETE" for r in rows)
        parts = [
            f"trial {row.number:>3}",
            f"accuracy {percent(row.accuracy):>8}",
            f"latency {times(row):>8}",
            f"reward {row.reward:.4f}" if row.reward is not None else "reward      —",
            f"{done}/{self._total}",
            f"left {time_left(rows, self._total)}",
        ]
        note = outcome(row)
        self.note("  ".join(parts) + (f"  ({note})" if note else ""))

    def note(self, text: str) -> None:
        """Print a sentence."""
        print(text, file=self._stream, flush=True)


class LiveProgress:
    """A table that is drawn again after each trial: the best so far, the last trials, the time left."""

    def __init__(self, console: Console, settings: SearchSettings) -> None:
        self._console, self._settings, self._total = console, settings, settings.trials
        self._started = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> LiveProgress:
        from rich.live import Live

        self._live = Live(console=self._console, refresh_per_second=4, transient=False)
        self._live.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._live is not None:
            self._live.stop()

    def trial(self, row: Row, rows: list[Row]) -> None:
        """Draw the table anew."""
        if self._live is not None:
            self._live.update(self._draw(rows))

    def note(self, text: str) -> None:
        """Print a sentence above the table."""
        self._console.print(text, markup=False, highlight=False)

    def _draw(self, rows: list[Row]) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        done = sum(row.state == "COMPLETE" for row in rows)
        elapsed = time.monotonic() - self._started
        head = Text(
            f"{done} of {self._total} trials, {elapsed / 60:.1f} min, about {time_left(rows, self._total)} left"
        )
        best = best_of(rows, self._settings.targets)
        if best is not None:
            row, within = best
            goal = self._settings.goal
            where = f"within {goal}" if within else f"none within {goal}; nearest"
            head.append(
                f"\nbest {where}: {percent(row.accuracy)} at {times(row)} "
                f"(trial {row.number}, reward {row.reward:.4f})",
                style="bold",
            )
        table = Table(box=None, pad_edge=False)
        for name in ("trial", "accuracy", "latency", "reward", "M mult-adds"):
            table.add_column(name, justify="right")
        table.add_column("")
        for row in rows[-SHOWN:]:
            cost = "—" if row.multiply_adds is None else f"{row.multiply_adds / 1e6:.0f}"
            score = "—" if row.reward is None else f"{row.reward:.4f}"
            table.add_row(
                str(row.number),
                percent(row.accuracy),
                times(row),
                score,
                cost,
                Text(outcome(row)),
            )
        return Group(head, table)


def progress_on(stream: TextIO, settings: SearchSettings) -> PlainProgress | LiveProgress:
    """The live table where `stream` is a terminal, else plain lines."""
    if stream.isatty():
        from rich.console import Console

        return LiveProgress(Console(file=stream), settings)
    return PlainProgress(stream, settings.trials)
