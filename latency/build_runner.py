"""Building our ONNX runner for this machine, a phone or a board, and putting a library beside it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from importlib import util
from pathlib import Path

from candidates import InputError, RunError
from candidates.files import write_bytes
from latency.runners import LIBRARY, RUNNER, check_target, folder, read_elf

SOURCE = Path(__file__).parent / "runner" / "runner.c"
FLAGS = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")
BUILD_SECONDS = 120.0
# The NDK's compilers, by Android ABI
_TRIPLES = {
    "arm64-v8a": "aarch64-linux-android",
    "armeabi-v7a": "armv7a-linux-androideabi",
    "x86_64": "x86_64-linux-android",
    "x86": "i686-linux-android",
}


def compiler_of(ndk: Path, abi: str, api: int) -> Path:
    """The NDK's compiler for an ABI and an Android API level."""
    if abi not in _TRIPLES:
        raise InputError(f"--abi is {abi!r}; expected one of {', '.join(_TRIPLES)}")
    host = f"{platform.system().lower()}-x86_64"
    found = ndk / "toolchains" / "llvm" / "prebuilt" / host / "bin" / f"{_TRIPLES[abi]}{api}-clang"
    if not found.is_file():
        raise InputError(
            f"--ndk {str(ndk)!r} holds no {found}; expected an unpacked Android NDK (r21 or later)"
        )
    return found


def build(compiler: str | os.PathLike[str] = "cc", library: Path | None = None) -> Path:
    """Compile the runner, put it and the library into the cache folder of its target; the runner's path.

    `library` is a libonnxruntime.so, or an archive that holds one (.aar, .whl). For this machine's own kind
    it may be left out: onnxruntime's wheel brings one.
    """
    if shutil.which(os.fspath(compiler)) is None:
        raise InputError(
            f"compiler {os.fspath(compiler)!r} is not there; install one or give --compiler PATH"
        )
    with tempfile.TemporaryDirectory() as work:
        output = Path(work) / RUNNER
        _compile([os.fspath(compiler), *FLAGS, str(SOURCE), "-o", str(output), "-ldl"])
        content = output.read_bytes()
    target = read_elf(content, RUNNER).target
    with tempfile.TemporaryDirectory() as work:
        shared = _library(library, target, Path(work))
        place = folder(target)
        place.mkdir(parents=True, exist_ok=True)
        write_bytes(place / LIBRARY, check_target(shared, (target,)))
    write_bytes(place / RUNNER, content)
    (place / RUNNER).chmod(0o755)
    return place / RUNNER


def _compile(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunError(f"{command[0]} cannot be run: {error}") from None
    if done.returncode:
        raise RunError(f"{command[0]} could not build the runner: {' '.join(done.stderr.split())[:300]}")


def _library(given: Path | None, target: str, work: Path) -> Path:
    if given is None:
        found = _installed_library()
        if found is None or not read_elf(found.read_bytes(), str(found)).runs_on(target):
            raise InputError(
                f"there is no {LIBRARY} for {target} here; give --library FILE (for phones the "
                "onnxruntime-android archive from Maven, for arm64 Linux the wheel from PyPI)"
            )
        return found
    if not given.is_file():
        raise InputError(f"--library {str(given)!r} does not exist; expected a .so, .aar or .whl file")
    if given.suffix in (".aar", ".whl", ".zip"):
        return _unpacked(given, target, work)
    return given


def _installed_library() -> Path | None:
    spec = util.find_spec("onnxruntime")  # found without importing it
    if spec is None or spec.origin is None:
        return None
    found = sorted((Path(spec.origin).parent / "capi").glob(f"{LIBRARY}*"))
    return found[0] if found else None


def _unpacked(archive: Path, target: str, work: Path) -> Path:
    """The library for `target` in an archive: an .aar has one for each ABI, a wheel only one."""
    abi = target.partition("-")[2]
    try:
        with zipfile.ZipFile(archive) as content:
            names = [n for n in content.namelist() if Path(n).name.startswith(LIBRARY)]
            names = [n for n in names if f"/{abi}/" in n] or [n for n in names if not n.startswith("jni/")]
            if not names:
                raise InputError(f"{archive} holds no {LIBRARY} for {target}")
            output = work / LIBRARY
            output.write_bytes(content.read(names[0]))  # a name of our own: nothing of the archive's paths
            return output
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{archive} cannot be read: {error}") from None
