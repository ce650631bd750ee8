"""How every command starts and ends: one-line errors and the exit statuses of the design.

0 done, 1 failed, 2 wrong usage or wrong input, 130 interrupted. `NAS_DEBUG=1` shows tracebacks.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from io import TextIOWrapper
from typing import Any, ClassVar, NoReturn, TypeVar

import typer
from typer.core import TyperCommand

from candidates.errors import InputError, RunError

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""The `context_settings` of every command."""

_Function = TypeVar("_Function", bound=Callable[..., Any])
Groups = Mapping[str, Sequence[str]]
"""Headings of a command's help, each with the parameters that stand below it."""


class App(typer.Typer):
    """A Typer application whose commands know their version and can group their options."""

    def command(
        self, name: str | None = None, *, groups: Groups | None = None, **options: Any
    ) -> Callable[[_Function], _Function]:
        """As Typer's; `groups` are the headings of the help, what is in none stands under Options."""
        kind = type("GroupedCommand", (_Command,), {"groups": dict(groups or {})})
        decorate: Callable[[_Function], _Function] = super().command(name, cls=kind, **options)
        return decorate


class _Command(TyperCommand):
    groups: ClassVar[Groups] = {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--version" in args:
            print(f"{ctx.info_name} {_version()}")
            ctx.exit()
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        headings = {name: heading for heading, names in self.groups.items() for name in names}
        sections: dict[str, list[tuple[str, str]]] = {
            heading: [] for heading in ("Arguments", *self.groups, "Options")
        }
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
                heading = headings.get(str(parameter.name), kind)
                sections[heading].append(record)
        sections["Options"].append(("--version", "Show the version and exit."))
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("mobile-nas")
    except PackageNotFoundError:
        return "of a source tree that is not installed"


def new_app() -> App:
    """An application with plain help and no boxes around errors."""
    return App(
        add_completion=True, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings=SETTINGS
    )


def examples(*commands: str) -> str:
    """The end of a command's help: a line for each example."""
    # Click rewraps a paragraph unless it starts with this mark.
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


def run(app: Any, name: str) -> NoReturn:
    """Run a Typer application, or a command of one, on the process's arguments, and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal without ×, or a file name that is not text
            stream.reconfigure(errors="backslashreplace")
    code = status(app, name, sys.argv[1:])
    gc.freeze()  # else the interpreter looks through all of torch for garbage, for a second, before it is gone
    sys.exit(code)


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


def refuse_given(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Raise InputError for the first of these parameters that the user gave: it would have no effect."""
    for name in names:
        if was_given(context, name):
            raise InputError(f"--{name.replace('_', '-')} {why}")


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
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError":  # torch's own, which need not be there
        said = " ".join(str(error).split())[:200]
        return f"memory ran out{': ' if said else ''}{said}; give a smaller batch, size or number at once", 1
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
