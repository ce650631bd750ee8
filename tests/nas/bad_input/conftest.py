"""Wrong input to the commands, and what they work on."""

import gc
import importlib
import json
import re
from types import SimpleNamespace

import pytest

from candidates import Architecture
from nas.commands.app import status
from nas.run_folder import create
from nas.settings import SearchSettings
from search_space import space_text
from tests.nas.trainer.conftest import save_photos

SMALL = Architecture.from_blocks(["r1_k3_s11_e1_i8_o8"], stem=8, head=16, resolution=16, classes=4)
DEEP = '{"a":' * 5000 + "1" + "}" * 5000
NEW = ["tiny.json", "--data", "photos", "--device", "cpu"]


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    """Run a command in an empty folder; returns its exit status, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.setattr("nas.cpu.prepare", lambda: None)

    def command(name, *arguments):
        module = importlib.import_module(f"nas.commands.{name.removeprefix('nas-')}")
        capfd.readouterr()
        gc.disable()  # what earlier tests left has finalizers that fail, and say so, at the depth of a nested input
        try:
            code = status(module.app, name, [str(argument) for argument in arguments])
        finally:
            gc.enable()
        return SimpleNamespace(code=code, **capfd.readouterr()._asdict())

    return command


@pytest.fixture
def refused(run, tmp_path):
    """Run a command that must end with one line matching `words`, having made and changed no file."""

    def command(words, name, *arguments, code=2):
        before = snapshot(tmp_path)
        found = run(name, *arguments)
        assert found.code == code, found.err
        assert found.err.count("\n") == 1
        assert found.err.startswith(f"{name}: ")
        assert len(found.err) < 1500
        assert "Traceback" not in found.err
        assert "(a bug;" not in found.err
        assert re.search(words, found.err), found.err
        assert snapshot(tmp_path) == before
        return found

    return command


def snapshot(folder):
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*") if ".cache" not in p.parts}


@pytest.fixture
def run_folder(tmp_path):
    """A run folder that has no trial yet."""
    device = {"name": "cpu", "runtime": "onnxruntime", "runtime_version": "1"}
    settings = SearchSettings(target_ms=5.0, device="cpu", trials=3)
    return create(tmp_path / "a-run", settings, space_text("mnasnet"), device)


def rewrite(folder, change):
    """Change run.json: by a function of its content, or to a text."""
    file = folder.path / "run.json"
    if isinstance(change, str):
        file.write_text(change)
        return
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))


@pytest.fixture
def tiny(tmp_path):
    """An architecture and photographs to train it on."""
    SMALL.save(tmp_path / "tiny.json")
    save_photos(tmp_path / "photos", 3)


class FakeMeasurement(SimpleNamespace):
    def to_dict(self):
        return {"latency_ms": self.latency_ms, "p5_ms": 0.9, "p95_ms": 1.2, "valid": True}


@pytest.fixture
def quick(monkeypatch):
    """Searches without measuring and training."""
    monkeypatch.setattr("nas.prepared.target_notes", lambda prepared: [])
    monkeypatch.setattr(
        "nas.prepared.Prepared.measure",
        lambda self, arch, blocks=1: FakeMeasurement(latency_ms=1.0, valid=True),
    )
    monkeypatch.setattr(
        "nas.proxy.Proxy.train",
        lambda self, arch, seed, watch=None: SimpleNamespace(accuracy=0.5, loss=float(seed), stopped=False),
    )
