"""How every command starts and ends: one-line errors and the exit statuses of the design.

0 done, 1 failed, 2 wrong usage or wrong input, 130 interrupted. `NAS_DEBUG=1` shows tracebacks.
"""

from __future__ import annotations

import errno
import os
import sys
from difflib import get_close_matches
from io import TextIOWrapper
from typing import Any, NoReturn

import typer

from candidates.errors import InputError, RunError

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""The `context_settings` of every command."""


def new_app() -> typer.Typer:
    """A Typer application with plain help and no boxes around errors."""
    return typer.Typer(
        add_completion=True, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=SETTINGS
    )


def run(app: Any, name: str) -> NoReturn:
    """Run a Typer application, or a command of one, on the process's arguments, and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal without ×, or a file name that is not text
            stream.reconfigure(errors="backslashreplace")
    sys.exit(status(app, name, sys.argv[1:]))


def status(app: Any, name: str, arguments: list[str]) -> int:
    """Run on `arguments` and return the exit status; an int that the command returns is that status."""
    command = typer.main.get_command(app) if isinstance(app, typer.Typer) else app
    try:
        result = command.main(arguments, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return _say(name, "interrupted", 130)
    except BrokenPipeError:
        # The reader of our output (head, say) has had enough; nothing is left to tell it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("NAS_DEBUG"):
            raise
        return _say(name, *_explain(error, arguments))
    return result if isinstance(result, int) else 0


def was_given(context: typer.Context, name: str) -> bool:
    """Whether the user gave this parameter, and it is not just its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _explain(error: Exception, arguments: list[str]) -> tuple[str, int]:
    if hasattr(error, "format_message"):  # Typer's and Click's own errors, whichever the version brings
        return _usage(error, arguments), 2
    if isinstance(error, InputError):
        return str(error), 2
    if isinstance(error, RunError):
        return str(error), 1
    if isinstance(error, OSError) and error.strerror:
        remedy = "; free some space and try again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        return f"{error.filename or 'the system'}: {error.strerror}{remedy}", 1
    kind = type(error).__name__
    return f"unexpected {kind}: {error} (a bug; NAS_DEBUG=1 shows where)", 1


def _usage(error: Any, arguments: list[str]) -> str:
    """The message, with the value that was wrong, or the nearest option where an unknown one was given."""
    message = str(error.message) if hasattr(error, "option_name") else str(error.format_message())
    value = _value_of(getattr(error, "param", None), arguments)
    if value is not None and value not in message:
        message += f" (got {value!r})"
    context = getattr(error, "ctx", None)
    if hasattr(error, "option_name") and context is not None:
        known = [name for parameter in context.command.params for name in parameter.opts]
        near = get_close_matches(error.option_name, known, n=1)
        message += f" (did you mean {near[0]}?)" if near else " (--help lists the options)"
    return message


def _value_of(parameter: Any, arguments: list[str]) -> str | None:
    """What `arguments` give to an option, None where that is not to be found."""
    for option in getattr(parameter, "opts", ()):
        for position, argument in enumerate(arguments):
            if argument == option and position + 1 < len(arguments):
                return arguments[position + 1]
            if argument.startswith(f"{option}="):
                return argument.partition("=")[2]
    return None


def _say(name: str, message: str, code: int) -> int:
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr)
    return code
