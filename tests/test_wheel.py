"""The wheel is built, installed where there is no source tree, and runs from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.nas.conftest import SPACE

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not os.environ.get("NAS_WHEEL"):
        pytest.skip("NAS_WHEEL is not set: building a wheel fetches its build tools, which .ci/run allows")
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (found,) = out.glob("*.whl")
    return found


def test_the_wheel_carries_what_is_no_python(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "templates/report.html",
        "templates/page.css",
        "templates/page.js",
        "templates/comparison.html",
    ):
        assert f"nas/{name}" in names
    assert {
        "candidates/zoo/mnasnet-a1.json",
        "search_space/spaces/mnasnet.yaml",
        "latency/runner/runner.c",
    } <= names
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in names)


def test_it_runs_where_it_is_installed(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own; its dependencies are those of this one, which make test has installed."""
    home = tmp_path / "clean"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(install, env=environment, cwd=tmp_path, check=True)
    folder = next((home / "lib").glob("python*/site-packages"))
    # As a plain path: the .pth files in there, an editable install's among them, are not read.
    (folder / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def run(*command: str) -> str:
        done = subprocess.run(
            [str(home / "bin" / command[0]), *command[1:]],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("python", "-c", "import nas, candidates; print(nas.__file__, candidates.__file__)")
    assert where.count(str(home)) == 2
    for name in ("search", "latency", "export", "train", "report"):
        assert run(f"nas-{name}", "--version").startswith(f"nas-{name} 0.")
    run("nas-export", "mnasnet-small", "--format", "torch", "--out", "net")
    assert (tmp_path / "net" / "model.safetensors").exists()
    (tmp_path / "little.yaml").write_text(SPACE)
    brief = ("--trials", "2", "--epochs", "1", "--resolution", "32", "--baselines", "none")
    found = run("nas-search", "--target-ms", "1", "--space", "little.yaml", *brief, "--out", "run", "--json")
    assert 0 < json.loads(found)["latency_ms"] < 1
    assert (tmp_path / "run" / "report.html").exists()
