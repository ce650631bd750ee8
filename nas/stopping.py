"""How a user ends a search: Ctrl-C once finishes what runs, twice stops now."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether the user asked for an end: the first Ctrl-C sets it, the second interrupts what runs."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.asked = False
        self._say = say

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Handle SIGINT and SIGTERM while the block runs; one more Ctrl-C does not disturb what leaves after it."""
        previous = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield self
        finally:
            for number, handler in previous.items():
                # What runs has ended, and only the way to go on is still to be said. A second Ctrl-C that comes a
                # moment late must not cut that off, nor end the interpreter's own clean-up by the signal.
                leaving = self.asked and number == signal.SIGINT
                signal.signal(number, signal.SIG_IGN if leaving else handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._say("stopping when this trial has finished; Ctrl-C again stops now")
