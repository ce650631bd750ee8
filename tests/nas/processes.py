"""The commands as processes of their own, as a user types them."""

from __future__ import annotations

import os
import subprocess
import sys

# On cores that other tests keep busy no measurement becomes steady, however long it takes. Where a test is of
# something else, a tenth of the runs will do; how long is measured is tested in tests/latency.
_BRIEFLY = "import functools, latency; latency.measure = functools.partial(latency.measure, min_runs=5, min_seconds=0.05); "


def argv(command: str, *arguments: str, at_length: bool = False) -> list[str]:
    """A command line for `nas-COMMAND`; `at_length` measures as a user's search does."""
    briefly = _BRIEFLY if command == "search" and not at_length else ""
    code = (
        f"import sys; {briefly}sys.argv[0] = 'nas-{command}'; from nas.commands.{command} import main; main()"
    )
    return [sys.executable, "-c", code, *arguments]


def run(
    command: str,
    *arguments: str,
    at_length: bool = False,
    timeout: float = 240,
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `nas-COMMAND` to its end."""
    return subprocess.run(
        argv(command, *arguments, at_length=at_length),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **(environment or {})},
    )
