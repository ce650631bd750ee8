import contextlib
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candidates import InputError
from latency import build_runner, runners
from latency.runners import Elf, check_target, find_tool, read_elf

THIS = runners.read_elf(Path("/bin/sh").read_bytes(), "sh").target if Path("/bin/sh").exists() else ""


def test_this_machines_programs_are_read():
    assert THIS.startswith("linux-")


def test_an_android_program_is_told_from_a_linux_one():
    android, linux = Elf(183, True), Elf(183, False)
    assert (android.target, linux.target) == ("android-arm64-v8a", "linux-aarch64")
    assert android.runs_on("android-arm64-v8a")
    assert not android.runs_on("linux-aarch64")
    assert not linux.runs_on("android-arm64-v8a")
    assert Elf(183, None).runs_on("linux-aarch64")
    assert not Elf(62, True).runs_on("android-arm64-v8a")


def elf(machine, loader):
    """The smallest ELF file that names a loader."""
    header = struct.pack(
        "<4sBBBBB7xHHIQQQIHHHHHH",
        b"\x7fELF", 2, 1, 1, 0, 0, 2, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0,
    )  # fmt: skip
    return header + struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(loader), 0, 1) + loader


def test_the_loader_decides():
    assert read_elf(elf(183, b"/system/bin/linker64\0"), "x").target == "android-arm64-v8a"
    assert read_elf(elf(183, b"/lib/ld-linux-aarch64.so.1\0"), "x").target == "linux-aarch64"


@given(st.binary(max_size=200), st.integers(0, 160))
def test_damaged_files_are_input_errors(noise, cut):
    content = (elf(183, b"/system/bin/linker64\0")[:cut] + noise)[:300]
    with contextlib.suppress(InputError):
        read_elf(content, "x")


def test_the_wrong_abi_is_refused_by_name(tmp_path):
    path = tmp_path / "nas-runner"
    path.write_bytes(elf(40, b"/system/bin/linker\0"))
    with pytest.raises(
        InputError, match="built for android-armeabi-v7a, but the device is android-arm64-v8a"
    ):
        check_target(path, ("android-arm64-v8a",))
    check_target(path, ("android-arm64-v8a", "android-armeabi-v7a"))


def test_tools_come_from_the_user_the_device_or_the_cache(tmp_path):
    targets = ("android-arm64-v8a", "android-armeabi-v7a")
    assert find_tool("onnx", targets, None, None) is None
    assert find_tool("tflite", targets, None, "/data/local/tmp/benchmark_model").remote
    place = runners.folder("android-armeabi-v7a")
    place.mkdir(parents=True)
    for name in ("nas-runner", "libonnxruntime.so", "benchmark_model"):
        (place / name).write_bytes(b"x")
    assert dict(find_tool("onnx", targets, None, None).files)["nas-runner"] == place / "nas-runner"
    own = tmp_path / "android_aarch64_benchmark_model_plus_flex"
    own.write_bytes(b"x")
    assert find_tool("tflite", targets, own, "there").files == (("benchmark_model", own),)
    assert find_tool("onnx", targets, own, None).files[0][1] == place / "nas-runner"
    alone = tmp_path / "nas-runner"
    alone.write_bytes(b"x")
    with pytest.raises(InputError, match="no libonnxruntime"):
        find_tool("onnx", targets, alone, None)


needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) on this machine")


@needs_compiler
def test_the_runner_is_built_and_times_a_model(tmp_path):
    import json

    import numpy as np
    import onnxruntime

    from candidates import zoo
    from candidates.onnx_writer import onnx_model
    from latency.runner_output import parse

    runner = build_runner.build()
    assert runner.parent.name == THIS
    arch = zoo.load("mnasnet-small").scaled(resolution=64)
    model = tmp_path / "model.onnx"
    model.write_bytes(onnx_model(arch).SerializeToString())
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 64), dtype=np.float32)
    (tmp_path / "in").write_bytes(image.tobytes())
    command = [runner, runner.parent / "libonnxruntime.so", model, "--min-runs", "20", "--min-ms", "1"]
    command += ["--input", tmp_path / "in", "--output", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = parse(done.stdout)
    assert found.version == onnxruntime.__version__
    assert len(found.times_ms) >= 20
    assert found.warmup >= 3
    session = onnxruntime.InferenceSession(model.read_bytes(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"input": image})[0]
    outputs = np.frombuffer((tmp_path / "out").read_bytes(), np.float32)
    assert np.allclose(outputs, expected[0], atol=1e-5)
    assert json.loads(done.stdout)["threads"] == 1


@needs_compiler
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "usage"),
        (["{lib}"], 2, "usage"),
        (["{lib}", "m", "--threads", "x"], 2, "--threads is 'x'"),
        (["{lib}", "m", "--wrong"], 2, "unknown option"),
        (["/nothing.so", "m"], 1, "cannot load"),
        (["{lib}", "/nothing.onnx"], 1, "/nothing.onnx"),
        (["{lib}", "{self}"], 1, "the model"),
    ],
)
def test_the_runner_explains_what_is_wrong(arguments, code, said):
    runner = build_runner.build()
    names = {"lib": runner.parent / "libonnxruntime.so", "self": Path(__file__)}
    command = [runner, *(a.format(**names) for a in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""


def test_what_is_missing_for_a_build_is_said(tmp_path):
    with pytest.raises(InputError, match="no-such-cc"):
        build_runner.build("no-such-cc")
    with pytest.raises(InputError, match="expected an unpacked Android NDK"):
        build_runner.compiler_of(tmp_path, "arm64-v8a", 26)
    with pytest.raises(InputError, match="--abi is 'mips'"):
        build_runner.compiler_of(tmp_path, "mips", 26)


def test_the_ndks_compiler_is_found(tmp_path):
    name = "toolchains/llvm/prebuilt/linux-x86_64/bin/aarch64-linux-android26-clang"
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    assert build_runner.compiler_of(tmp_path, "arm64-v8a", 26) == tmp_path / name


@needs_compiler
def test_the_library_comes_out_of_an_archive(tmp_path):
    library = build_runner._installed_library()
    archive = tmp_path / "onnxruntime.whl"
    with zipfile.ZipFile(archive, "w") as content:
        content.write(library, "onnxruntime/capi/libonnxruntime.so.1.0")
    assert (build_runner.build("cc", archive).parent / "libonnxruntime.so").stat().st_size > 1e6
    wrong = tmp_path / "wrong.aar"
    with zipfile.ZipFile(wrong, "w") as content:
        content.writestr("jni/mips/libonnxruntime.so", b"x")
    with pytest.raises(InputError, match="holds no libonnxruntime"):
        build_runner.build("cc", wrong)


arm = shutil.which("aarch64-linux-gnu-gcc")
qemu = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")


@pytest.mark.skipif(not arm, reason="aarch64-linux-gnu-gcc is not installed")
def test_an_arm64_runner_needs_an_arm64_library():
    with pytest.raises(InputError, match=r"no libonnxruntime\.so for linux-aarch64.*--library"):
        build_runner.build(arm)
