"""The commands within the tests' own process: the imports of a process of its own take longer than a small search."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib import import_module
from io import StringIO
from subprocess import CompletedProcess

import pytest

import latency
from nas.commands.app import status
from tests.nas.processes import BRIEFLY


def run(command: str, *arguments: str) -> CompletedProcess[str]:
    """Run `nas-COMMAND` to its end; what it measures, it measures briefly."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr("nas.cpu.prepare", lambda: None)
        patch.setattr(latency, "measure", partial(latency.measure, **BRIEFLY))
        code = status(import_module(f"nas.commands.{command}").app, f"nas-{command}", list(arguments))
    return CompletedProcess([command, *arguments], code, out.getvalue(), err.getvalue())
