"""Named architectures, each a JSON file in this folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from candidates import checks
from candidates.architecture import Architecture

_FOLDER = Path(__file__).parent


@cache
def names() -> tuple[str, ...]:
    """The names that `load` knows."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def load(name: str) -> Architecture:
    """The architecture called `name`; an InputError lists the names there are."""
    return Architecture.load(_FOLDER / f"{checks.one_of('the architecture', name, names())}.json")
