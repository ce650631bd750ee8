"""Ctrl-C once, twice, and a moment too late."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from nas.stopping import Stop


def program(inside: str, after: str) -> subprocess.CompletedProcess[str]:
    """A process of its own that listens for `inside` and goes on with `after`; `press()` is a Ctrl-C."""
    code = (
        "import atexit, os, signal, sys\n"
        "from nas.stopping import Stop\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored where these tests run in the background
        "def press(number=signal.SIGINT):\n    os.kill(os.getpid(), number)\n"
        f"stop = Stop(print)\nwith stop.listening():\n    {inside}\n{after}\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_first_asks_and_the_second_interrupts() -> None:
    said: list[str] = []
    stop, before = Stop(said.append), signal.getsignal(signal.SIGTERM)
    with stop.listening():
        assert not stop.asked
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        stop.asked = False  # what follows is about a search that nobody stopped
    assert len(said) == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_that_comes_too_late_does_not_disturb_what_leaves() -> None:
    found = program("press()", "atexit.register(press)\npress()\nprint('how to go on')\nsys.exit(130)")
    assert found.returncode == 130, found.stderr
    assert "how to go on" in found.stdout
    assert not found.stderr


def test_a_search_that_nobody_stopped_is_interrupted_as_before() -> None:
    assert program("pass", "press()").returncode == -signal.SIGINT


def test_what_hangs_while_it_leaves_can_still_be_ended() -> None:
    assert program("press()", "press(signal.SIGTERM)").returncode == -signal.SIGTERM
