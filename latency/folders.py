"""Where the user's own files are: the cache and the configuration, by the XDG base directories."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "mobile-nas"


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/mobile-nas or ~/.cache/mobile-nas; made where missing."""
    return _made(_base("XDG_CACHE_HOME", ".cache"))


def config_folder() -> Path:
    """$XDG_CONFIG_HOME/mobile-nas or ~/.config/mobile-nas; not made."""
    return _base("XDG_CONFIG_HOME", ".config")


def _base(variable: str, fallback: str) -> Path:
    value = os.environ.get(variable, "")
    # The specification says that a relative path is invalid and to be ignored.
    root = Path(value) if Path(value).is_absolute() else Path.home() / fallback
    return root / NAME


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
