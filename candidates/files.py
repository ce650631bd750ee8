"""Writing files so that a reader sees the old content or the new, never half of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from candidates import checks
from candidates.errors import InputError


@contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; what is written there replaces `path` when the block ends well."""
    target = Path(path)
    if target.exists() and not target.is_file():  # a pipe, /dev/null: there is nothing to replace
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder) / target.name
            yield whole
            with target.open("wb") as sink:
                sink.write(whole.read_bytes())
        return
    temporary = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        os.close(descriptor)
        temporary = Path(name)
        yield temporary
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        temporary.chmod(mode)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        # A failed write does not say where, and the temporary file's name says nothing to the user.
        if error.filename is None or str(error.filename).endswith(".part"):
            error.filename, error.filename2 = str(target), None
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text to `path` in one step."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: str | os.PathLike[str], data: bytes | memoryview) -> None:
    """Write bytes to `path` in one step."""
    with replaced(path) as temporary:
        temporary.write_bytes(data)


def read_text(path: str | os.PathLike[str]) -> str:
    """A file's UTF-8 text; raise InputError, with the path, where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot read {os.fspath(path)}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{os.fspath(path)} is not UTF-8 text") from None


def expanded(what: str, text: str | os.PathLike[str]) -> Path:
    """The path that a user wrote, `~` resolved; InputError where no file can have that name."""
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a null byte, a user who is not there
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{what} {checks.shown(os.fspath(text))} cannot be a path: {reason}") from None
    return path


def check_folder(option: str, path: Path) -> None:
    """Raise InputError where a folder can neither be nor be made at `path`; nothing is made."""
    if path.is_symlink() and not path.exists():
        raise InputError(f"{option} {path} is a link to nothing; expected a folder, or a new name")
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not there.is_dir():
        raise InputError(f"{option} {path}: {there} is a file; expected a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{option} {path}: {there} cannot be written to; choose another {option}")


@contextmanager
def made_folders(path: Path) -> Iterator[None]:
    """Make the folder `path` and those above it; where the block fails, those that were made go again."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in missing:
            with suppress(OSError):  # not made, or no longer empty: someone else's by now
                folder.rmdir()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
