"""How every command starts and ends: one-line errors and the exit statuses of the design.

0 done, 1 failed, 2 wrong usage or wrong input, 130 interrupted. `NAS_DEBUG=1` shows tracebacks.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import click

from candidates.errors import InputError, RunError

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""The `context_settings` of every command."""


def run(command: click.Command, name: str) -> NoReturn:
    """Run `command` on the process's arguments and exit; an int that it returns is the exit status."""
    sys.exit(status(command, name, sys.argv[1:]))


def status(command: click.Command, name: str, arguments: list[str]) -> int:
    """Run `command` on `arguments` and return the exit status."""
    try:
        result = command.main(arguments, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        return _say(name, "interrupted", 130)
    except BrokenPipeError:
        # The reader of our output (head, say) has had enough; nothing is left to tell it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("NAS_DEBUG"):
            raise
        return _say(name, *_explain(error))
    return result if isinstance(result, int) else 0


def _explain(error: Exception) -> tuple[str, int]:
    if isinstance(error, click.ClickException):
        return error.format_message(), 2 if isinstance(error, click.UsageError) else 1
    if isinstance(error, InputError):
        return str(error), 2
    if isinstance(error, RunError):
        return str(error), 1
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the system'}: {error.strerror}", 1
    kind = type(error).__name__
    return f"unexpected {kind}: {error} (a bug; NAS_DEBUG=1 shows where)", 1


def _say(name: str, message: str, code: int) -> int:
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
    return code
