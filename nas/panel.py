"""The live panel of a search: the best so far, the front in characters, the last trials, what each worker does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nas.progress import milliseconds, outcome, percent, time_left, times
from nas.trials import Row, best_of

if TYPE_CHECKING:
    from nas.settings import SearchSettings

SHOWN = 10  # trials in the panel
COLUMNS, LINES = 44, 10  # of the front's picture
BESIDE = 110  # columns of a terminal from which the picture stands beside the trials


class LiveProgress:
    """Drawn again when something happens, and only then: a timer would run while latencies are measured."""

    def __init__(self, console: Console, settings: SearchSettings) -> None:
        self._console, self._settings = console, settings
        self._started = time.monotonic()
        self._rows: list[Row] = []
        self._workers: dict[str, str] = {}
        self._lock = Lock()  # workers' news come in threads of their own
        self._live = Live(console=console, auto_refresh=False, transient=False)

    @classmethod
    def on(cls, stream: TextIO, settings: SearchSettings) -> LiveProgress:
        """A panel on the terminal `stream`; without colours where NO_COLOR is set, which rich looks for."""
        return cls(Console(file=stream), settings)

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *details: object) -> None:
        with self._lock:
            self._workers.clear()
        self._draw()
        self._live.stop()

    def trial(self, row: Row, rows: list[Row]) -> None:
        """Draw the panel anew."""
        self._rows = rows
        self._draw()

    def note(self, text: str) -> None:
        """Print a sentence above the panel."""
        self._console.print(text, markup=False, highlight=False)

    def doing(self, worker: str, what: str) -> None:
        """Show what a worker does, and since when."""
        with self._lock:
            if what:
                self._workers[worker] = f"{what} since {time.strftime('%H:%M:%S')}"
            else:
                self._workers.pop(worker, None)
        self._draw()

    def _draw(self) -> None:
        self._live.update(self.panel(), refresh=True)

    def panel(self) -> Group:
        """What is shown now."""
        picture = Text(front_picture(self._rows, self._settings), no_wrap=True)
        if self._console.width >= BESIDE:
            both = Table.grid(padding=(0, 3))
            both.add_row(self._trials(), picture)
            return Group(self._head(), both, self._doing())
        return Group(self._head(), picture, self._trials(), self._doing())

    def _head(self) -> Text:
        settings = self._settings
        done = sum(row.state == "COMPLETE" for row in self._rows)
        elapsed = (time.monotonic() - self._started) / 60
        head = Text(
            f"{done} of {settings.trials} trials, {elapsed:.1f} min, about {time_left(self._rows, settings.trials)} left"
        )
        best = best_of(self._rows, settings.targets)
        if best is not None:
            row, within = best
            where = f"within {settings.goal}" if within else f"none within {settings.goal}; nearest"
            head.append(
                f"\nbest {where}: {percent(row.accuracy)} at {times(row)} (trial {row.number}, reward {row.reward:.4f})",
                style="bold green" if within else "bold yellow",
            )
        return head

    def _trials(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("trial", "accuracy", "latency", "reward", "M mult-adds"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("", overflow="ellipsis", no_wrap=True)
        for row in self._rows[-SHOWN:]:
            cost = "—" if row.multiply_adds is None else f"{row.multiply_adds / 1e6:.0f}"
            score = "—" if row.reward is None else f"{row.reward:.4f}"
            style = "green" if row.on_front else "yellow" if row.state == "FAIL" else ""
            note = Text(outcome(row))
            table.add_row(str(row.number), percent(row.accuracy), times(row), score, cost, note, style=style)
        return table

    def _doing(self) -> Text:
        with self._lock:
            lines = [f"{worker}: {what}" for worker, what in sorted(self._workers.items())]
        return Text("\n".join(lines), style="dim")


def front_picture(
    rows: Sequence[Row], settings: SearchSettings, columns: int = COLUMNS, lines: int = LINES
) -> str:
    """Accuracy over latency in characters: `·` a candidate, `●` the front, `★` the best, `│` the target."""
    shown = [row for row in rows if row.evaluated and row.latency_ms]
    if len(shown) < 2:
        return ""
    latencies = [row.latency_ms or 0.0 for row in shown]
    accuracies = [row.accuracy or 0.0 for row in shown]
    left, right = min(latencies), max(latencies)
    low, high = min(accuracies), max(accuracies)
    grid = [[" "] * columns for _ in range(lines)]

    def column(latency: float) -> int:
        return round((latency - left) / ((right - left) or 1.0) * (columns - 1))

    if left <= settings.target_ms <= right:
        for line in grid:
            line[column(settings.target_ms)] = "│"
    best = best_of(rows, settings.targets)
    number = best[0].number if best else None
    # The best is drawn over the front, and the front over the others.
    for row in sorted(shown, key=lambda row: (row.number == number, row.on_front)):
        at = lines - 1 - round(((row.accuracy or 0.0) - low) / ((high - low) or 1.0) * (lines - 1))
        mark = "★" if row.number == number else "●" if row.on_front else "·"
        grid[at][column(row.latency_ms or 0.0)] = mark
    names = [percent(high), *[""] * (lines - 2), percent(low)]
    body = [f"{name:>8} ┤{''.join(line)}" for name, line in zip(names, grid, strict=True)]
    ends = f"{milliseconds(left)}{milliseconds(right):>{columns - len(milliseconds(left))}}"
    return "\n".join([*body, f"{'':>8} └{'─' * columns}", f"{'':>10}{ends}"])
