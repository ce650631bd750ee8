"""Checks of single values from files and arguments; each returns the value or raises InputError."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Collection, Iterable
from difflib import get_close_matches

from candidates.errors import InputError


class _Shown(reprlib.Repr):
    """Values as an error shows them: never longer or deeper than a reader wants, whatever a file holds."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 60
        self.maxlevel = 2

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to print integers of thousands of digits.
        return f"a number of {x.bit_length()} bits" if x.bit_length() > 200 else repr(x)


shown = _Shown().repr
"""The value's repr, shortened."""


def integer(where: str, value: object, minimum: int = 1, maximum: int | None = None) -> int:
    """A whole number of at least `minimum` (a bool or a float is not one)."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise InputError(f"{where} is {shown(value)}; expected a whole number of at least {minimum}")
    if maximum is not None and value > maximum:
        raise InputError(f"{where} is {shown(value)}; expected at most {maximum}")
    return value


def number(where: str, value: object, minimum: float = 0.0, maximum: float = math.inf) -> float:
    """A finite number between `minimum` and `maximum`, both included."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise InputError(f"{where} is {shown(value)}; expected a finite number")
    if not minimum <= value <= maximum:
        bounds = f"at least {minimum:g}" if maximum == math.inf else f"from {minimum:g} to {maximum:g}"
        raise InputError(f"{where} is {shown(value)}; expected a number {bounds}")
    return float(value)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the floats
        return False


def positive(where: str, value: object) -> float:
    """A finite number above zero."""
    if number(where, value, minimum=-math.inf) <= 0:
        raise InputError(f"{where} is {shown(value)}; expected a number above 0")
    return float(value)  # type: ignore[arg-type]


def one_of(where: str, value: object, allowed: Collection[str]) -> str:
    """One of the `allowed` words; the error suggests the nearest."""
    if not isinstance(value, str) or value not in allowed:
        near = get_close_matches(value[:60] if isinstance(value, str) else "", list(allowed), n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise InputError(f"{where} is {shown(value)}; expected one of {', '.join(sorted(allowed))}{hint}")
    return value


def text(where: str, value: object) -> str:
    """A string, of characters that can be written to a file."""
    if not isinstance(value, str):
        raise InputError(f"{where} is {shown(value)}; expected text")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"{where} is {shown(value)}, which is not text: it has half a character in it")
    return value


def parsed_json(where: str, content: str) -> dict[str, object]:
    """The mapping that a JSON text holds."""
    try:
        values = json.loads(content)
        json.dumps(values, ensure_ascii=False).encode()  # a lone surrogate could not be written again
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} cannot be read as JSON: {error}") from None
    return mapping(where, values)


def mapping(where: str, value: object) -> dict[str, object]:
    """A mapping with string keys, as JSON's objects and YAML's mappings are."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{where} is {shown(value)}; expected a mapping of names to values")
    return value


def sequence(where: str, value: object) -> list[object]:
    """A list."""
    if not isinstance(value, list):
        raise InputError(f"{where} is {shown(value)}; expected a list")
    return value


def known_keys(where: str, value: dict[str, object], allowed: Iterable[str]) -> None:
    """No key outside `allowed`."""
    names = list(allowed)
    for key in value:
        if key not in names:
            one_of(f"{where}: key", key, names)


def format_number(where: str, value: dict[str, object], newest: int) -> None:
    """The file's `format` is one that this version reads."""
    found = value.get("format")
    if found is None:
        raise InputError(f"{where} has no format; expected format: {newest}")
    if found != newest or isinstance(found, bool):
        newer = isinstance(found, int) and found > newest
        raise InputError(
            f"{where} has format {shown(found)}; this version reads format {newest}"
            + ("; a newer version wrote it, so update this one" if newer else "")
        )
