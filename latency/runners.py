"""The programs that run models on a device: where they are kept, and which of them a device can run.

A target is a system and an architecture in one word: `android-arm64-v8a`, `linux-x86_64`, `linux-aarch64`.
For each target the user's cache folder keeps `runners/<target>/` with `nas-runner` and `libonnxruntime.so`
(for .onnx), `benchmark_model` (for .tflite), or both.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from candidates import InputError
from latency.folders import cache_folder

RUNNER, LIBRARY, BENCHMARK = "nas-runner", "libonnxruntime.so", "benchmark_model"

# ELF's e_machine by the names that Android's ABIs and uname use
_MACHINES = {
    "arm64-v8a": 183, "aarch64": 183, "armeabi-v7a": 40, "armv7l": 40, "armv8l": 40,
    "x86_64": 62, "x86": 3, "i686": 3, "riscv64": 243,
}  # fmt: skip
_LINUX_NAMES = {183: "aarch64", 40: "armv7l", 62: "x86_64", 3: "i686", 243: "riscv64"}
_ANDROID_NAMES = {183: "arm64-v8a", 40: "armeabi-v7a", 62: "x86_64", 3: "x86", 243: "riscv64"}


@dataclass(frozen=True)
class Elf:
    """What an ELF file is built for; `android` is None for a library, which names no loader."""

    machine: int
    android: bool | None

    @property
    def target(self) -> str:
        """The target in words; a library's system is taken for Linux."""
        names = _ANDROID_NAMES if self.android else _LINUX_NAMES
        system = "android" if self.android else "linux"
        return f"{system}-{names.get(self.machine, f'machine{self.machine}')}"

    def runs_on(self, target: str) -> bool:
        """Whether a device of `target` can run or load it."""
        system, _, name = target.partition("-")
        return _MACHINES.get(name) == self.machine and self.android in (None, system == "android")


def read_elf(content: bytes, name: str) -> Elf:
    """Read an ELF header; InputError where `content` is none."""
    if len(content) < 64 or content[:4] != b"\x7fELF":
        raise InputError(f"{name} is not an ELF program or library; expected one built for the device")
    order = "<" if content[5] == 1 else ">"
    wide = content[4] == 2
    machine = struct.unpack_from(order + "H", content, 18)[0]
    offset = struct.unpack_from(order + ("Q" if wide else "I"), content, 32 if wide else 28)[0]
    size, count = struct.unpack_from(order + "HH", content, 54 if wide else 42)
    for index in range(count):
        start = offset + index * size
        if start + (56 if wide else 32) > len(content):
            raise InputError(f"{name} is a damaged ELF file; build or download it again")
        if struct.unpack_from(order + "I", content, start)[0] != 3:  # PT_INTERP
            continue
        place, length = (
            struct.unpack_from(order + "Q16xQ", content, start + 8)
            if wide
            else struct.unpack_from(order + "I8xI", content, start + 4)
        )
        return Elf(machine, content[place : place + min(length, 256)].startswith(b"/system/bin/linker"))
    return Elf(machine, None)


def check_target(path: Path, targets: tuple[str, ...]) -> bytes:
    """The content of `path`, which must run on one of the device's `targets`, the preferred first."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    found = read_elf(content, str(path))
    if not any(found.runs_on(target) for target in targets):
        raise InputError(
            f"{path} is built for {found.target}, but the device is {' or '.join(targets)}; "
            f"get one for {targets[0]} (nas-latency build-runner --help)"
        )
    return content


def folder(target: str) -> Path:
    """Where the runners for `target` are kept."""
    return cache_folder() / "runners" / target


@dataclass(frozen=True)
class Tool:
    """What runs one format: local files by their name on the device, or one that is there already."""

    form: str
    files: tuple[tuple[str, Path], ...] = ()
    remote: str | None = None


def find_tool(form: str, targets: tuple[str, ...], given: Path | None, on_device: str | None) -> Tool | None:
    """What can run `form`: `given` by the user, on the device, or kept for a target; else None.

    LiteRT's benchmark_model is known by its name; any other program given is taken for our runner, with the
    library beside it.
    """
    if given is not None and (BENCHMARK in given.name) == (form == "tflite"):
        if not given.is_file():
            raise InputError(f"--runner {str(given)!r} is not a file; expected {BENCHMARK} or {RUNNER}")
        if form == "tflite":
            return Tool(form, ((BENCHMARK, given),))
        return Tool(form, ((RUNNER, given), (LIBRARY, _library_beside(given))))
    if form == "tflite" and on_device:
        return Tool(form, remote=on_device)
    names = (BENCHMARK,) if form == "tflite" else (RUNNER, LIBRARY)
    for target in targets:
        files = tuple((name, folder(target) / name) for name in names)
        if all(path.is_file() for _, path in files):
            return Tool(form, files)
    return None


def _library_beside(runner: Path) -> Path:
    found = sorted(runner.parent.glob(LIBRARY + "*"))
    if not found:
        raise InputError(f"there is no {LIBRARY} beside {runner}; expected ONNX Runtime's library there")
    return found[0]


def how_to_get(form: str, targets: tuple[str, ...]) -> str:
    """What to do where `form` cannot be run on a device of `targets`."""
    target = targets[0]
    if form == "onnx":
        build = "nas-latency build-runner" + (" --ndk PATH" if target.startswith("android") else "")
        return f"build our ONNX runner for {target} with {build}"
    return f"put LiteRT's {BENCHMARK} for {target} at {folder(target) / BENCHMARK} (for once, nas-latency --runner PATH)"
