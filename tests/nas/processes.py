"""The commands as processes of their own, as a user types them."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

# On cores that other tests keep busy no measurement becomes steady, however long it takes, and here a tenth of the
# runs will do: how long is measured is tested in tests/latency, and a search as users run it in tests/test_wheel.py.
BRIEFLY: dict[str, Any] = {"min_runs": 5, "min_seconds": 0.05, "reference": False}
_BRIEFLY = f"import functools, latency; latency.measure = functools.partial(latency.measure, **{BRIEFLY}); "


def argv(command: str, *arguments: str) -> list[str]:
    """A command line for `nas-COMMAND`; what a search measures, it measures briefly."""
    briefly = _BRIEFLY if command == "search" else ""
    code = (
        f"import sys; {briefly}sys.argv[0] = 'nas-{command}'; from nas.commands.{command} import main; main()"
    )
    return [sys.executable, "-c", code, *arguments]


def run(
    command: str,
    *arguments: str,
    timeout: float = 240,
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `nas-COMMAND` to its end."""
    return subprocess.run(
        argv(command, *arguments),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **(environment or {})},
    )
