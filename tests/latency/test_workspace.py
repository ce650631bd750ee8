"""A device's folder, on a made-up device that is a shell here and damages what is pushed to it."""

import subprocess
from pathlib import Path

import pytest

from candidates import RunError
from latency.adb import workspace as module
from latency.adb.transport import DeviceGone, Finished
from latency.adb.workspace import Workspace


class Shell:
    """Runs commands here; `damage` is what it does to each push in turn."""

    serial = "shell"

    def __init__(self, *damage):
        self.damage, self.pushes, self.gone = list(damage), 0, False

    def run(self, command, timeout):
        if self.gone:
            raise DeviceGone("shell is gone")
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=timeout, check=False
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def push(self, content, path, mode, timeout):
        self.pushes += 1
        damage = self.damage.pop(0) if self.damage else None
        if damage == "refuse":
            raise RunError("shell refuses: busy")
        if damage == "full":
            raise RunError("shell refuses: No space left on device")
        if damage == "cut":
            content = content[:-1]
        if damage == "change":
            content = b"?" + content[1:]
        Path(path).write_bytes(content)  # without the execute bit, as some phones leave it


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    return tmp_path


def opened(shell):
    found = Workspace(shell)
    found.open()
    return found


@pytest.mark.parametrize("damage", ["refuse", "cut", "change"])
def test_a_damaged_push_is_made_again(damage):
    shell = Shell(damage, damage)
    space = opened(shell)
    path = Path(space.put("a b", b"content", 0o755))
    assert path.read_bytes() == b"content"
    assert shell.pushes == 3
    assert path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("damage", "said", "pushes"),
    [("cut", "6 bytes arrived of 7", 3), ("change", "arrived changed", 3), ("full", "No space left", 1)],
)
def test_a_push_that_never_works_is_an_error(damage, said, pushes):
    shell = Shell(*[damage] * 9)
    with pytest.raises(RunError, match=rf"model .7 bytes. could not be pushed.*{said}"):
        opened(shell).put("model", b"content")
    assert shell.pushes == pushes


def test_the_same_content_is_pushed_once():
    shell = Shell()
    space = opened(shell)
    for content in (b"a", b"a", b"b", b"b"):
        assert Path(space.put("x", content)).read_bytes() == content
    assert shell.pushes == 2


def test_arguments_reach_the_program_as_they_are():
    space = opened(Shell())
    words = ["$(touch evil)", "a b", "'", '"', ";", "*", "\\", "line\nbreak", "ü"]
    done = space.run(["printf", "%s|", *words], 5)
    assert done.out == "".join(f"{word}|" for word in words)
    assert not list(Path(space.folder).glob("evil"))


def test_closing_ends_what_runs_and_removes_everything(root):
    space = opened(Shell())
    space.put("x", b"x")
    assert len(list(root.iterdir())) == 1
    assert space.close()
    assert list(root.iterdir()) == []


def test_a_device_that_is_gone_cannot_be_cleaned_and_says_so():
    shell = Shell()
    space = opened(shell)
    shell.gone = True
    assert space.close() is False
    shell.gone = False
    assert space.close() is True


def test_an_odd_answer_to_mktemp_is_not_trusted(monkeypatch):
    shell = Shell()
    monkeypatch.setattr(shell, "run", lambda *a: Finished(0, "/\n"))
    with pytest.raises(RunError, match="does not let us make a folder"):
        opened(shell)


class Silent(Shell):
    """A device whose shell says nothing at all."""

    def run(self, command, timeout):
        return Finished(0, "", "")


def test_a_device_that_says_nothing_has_no_properties():
    from latency.android import AndroidDevice

    found = AndroidDevice(Silent()).properties
    assert found["machine"] == ""
    assert found["system"] == "linux"


def test_a_file_for_several_images_is_refused_before_anything_is_pushed(tmp_path, monkeypatch):
    from candidates import InputError, zoo
    from candidates.onnx_writer import onnx_model
    from latency import android
    from latency.model import model_of
    from latency.runners import Tool
    from latency.settings import Settings

    shell = Shell()
    monkeypatch.setattr(android, "find_tool", lambda form, *_: Tool(form, remote="/nowhere"))
    path = tmp_path / "eight.onnx"
    path.write_bytes(onnx_model(zoo.load("mnasnet-small").for_input(32), batch=8).SerializeToString())
    with pytest.raises(InputError, match=r"is for 8 image\(s\), and shell runs one at a time"):
        android.AndroidDevice(shell).measure(model_of(path), Settings())
    assert shell.pushes == 0
