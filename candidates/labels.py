"""Class names as a text file, one in each line, in the order of the logits: what phones' samples read."""

from __future__ import annotations

import os
from collections.abc import Sequence

from candidates.errors import InputError
from candidates.files import read_text

FILE = "labels.txt"


def spelled(names: Sequence[str]) -> tuple[str, ...]:
    """Names as labels.txt has them, which is how they are compared: white space inside a name is one space."""
    return tuple(" ".join(name.split()) for name in names)


def labels_text(names: Sequence[str]) -> str:
    """The content of labels.txt."""
    return "".join(f"{name}\n" for name in spelled(names))


def load_labels(path: str | os.PathLike[str], classes: int) -> tuple[str, ...]:
    """The names in a labels.txt of `classes` lines; an InputError says how many there are otherwise."""
    names = tuple(read_text(path).splitlines())
    if len(names) != classes:
        raise InputError(
            f"{os.fspath(path)} has {len(names)} lines; expected {classes}, one for each of the network's classes"
        )
    return names
