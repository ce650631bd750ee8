"""Whole searches and what is done with them: what a user types, interrupts and kills."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.nas.conftest import SPACE
from tests.nas.in_process import run
from tests.nas.processes import argv

COMMANDS = ("search", "latency", "export", "train", "report")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_answers_without_importing_what_is_heavy(command: str) -> None:
    code = (
        f"import sys, atexit; sys.argv = ['nas-{command}', '--help']\n"
        "heavy = {'torch', 'numpy', 'onnx', 'onnxruntime', 'optuna', 'scipy', 'sklearn', 'PIL', 'jinja2'}\n"
        "atexit.register(lambda: print('HEAVY', sorted(heavy & set(sys.modules))))\n"
        f"from nas.commands.{command} import main; main()"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "Usage: nas-" in found.stdout
    assert "HEAVY []" in found.stdout
    assert not found.stderr


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a search whose trials take about a second."""
    file = tmp_path_factory.mktemp("space") / "little.yaml"
    file.write_text(SPACE)
    return [
        "--target-ms",
        "1",
        "--device",
        "cpu",
        "--space",
        str(file),
        "--epochs",
        "1",
        "--resolution",
        "32",
        "--baselines",
        "none",
    ]


@pytest.fixture(scope="module")
def finished(quick: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("runs") / "done"
    found = run(
        "search",
        *quick,
        "--trials",
        "3",
        "--confirm",
        "1",
        "--baselines",
        "measure",
        "--out",
        str(out),
        "--json",
    )
    assert found.returncode == 0, found.stderr
    return out, found.stdout


def test_a_search_leaves_its_folder_and_prints_the_best_as_json(finished: tuple[Path, str]) -> None:
    out, text = finished
    assert {"run.json", "study.db", "trials.csv", "candidates", "best.json", "report.html", "search.log"} <= {
        path.name for path in out.iterdir()
    }
    known = json.loads((out / "baselines.json").read_text())["baselines"]
    assert [one["architecture"]["name"] for one in known] == ["mnasnet-a1", "mnasnet-b1", "mobilenet-v2"]
    assert len(json.loads((out / "layers.json").read_text())["profiles"]) == 2
    assert " mnasnet-a1 (" in (out / "report.html").read_text()
    best = json.loads(text)
    assert best == json.loads((out / "best.json").read_text())
    assert 0 <= best["accuracy"] <= 1
    assert best["measurement"]["blocks"] == 3
    assert best["found"]["proxy"]["validation_images"] == 1157
    assert not [path for path in out.rglob("*.part")]
    with closing(sqlite3.connect(out / "study.db")) as database:
        query = "select value_json from study_user_attributes where key = 'recommended'"
        ((recommended,),) = database.execute(query).fetchall()
    assert json.loads(recommended)["id"] in (out / "trials.csv").read_text()


def test_the_best_is_exported_and_the_export_exports_again(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    out, _ = finished
    found = run("export", str(out), "--format", "torch", "--out", str(tmp_path / "net"), "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["untrained"] is True
    again = run(
        "export", str(tmp_path / "net"), "--format", "torch", "--out", str(tmp_path / "again"), "--json"
    )
    assert again.returncode == 0, again.stderr
    assert (
        json.loads(again.stdout)["untrained"] is True
    )  # the search's weights were not kept, only its accuracy
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("net", "again"))
    assert first == second


def test_what_a_search_cannot_start_from_leaves_no_folder(
    quick: list[str], finished: tuple[Path, str], tmp_path: Path
) -> None:
    out = tmp_path / "warm"
    refused = run("search", *quick, "--trials", "2", "--warm-start", str(finished[0]), "--out", str(out))
    assert refused.returncode == 2
    assert "the earlier run has 3 trained candidates of this space; expected at least 5" in refused.stderr
    assert not out.exists()


def test_the_report_is_written_again(finished: tuple[Path, str]) -> None:
    out, _ = finished
    (out / "report.html").unlink()
    found = run("report", str(out))
    assert found.returncode == 0, found.stderr
    assert "Accuracy over latency" in (out / "report.html").read_text()


def test_the_baselines_are_trained_afterwards(finished: tuple[Path, str]) -> None:
    out, _ = finished
    found = run("report", str(out), "--baselines", "--no-pictures")
    assert found.returncode == 0, found.stderr
    assert "training mobilenet-v2 with the proxy" in found.stderr
    assert "measuring" not in found.stderr  # the search has measured them
    known = json.loads((out / "baselines.json").read_text())["baselines"]
    assert all(0 < one["accuracy"] <= 1 for one in known)
    assert " accurate (" in (out / "report.html").read_text()


def test_going_on_takes_the_stored_settings_and_refuses_others_by_name(finished: tuple[Path, str]) -> None:
    out, _ = finished
    refused = run("search", "--resume", str(out), "--trials", "4", "--seed", "9")
    assert refused.returncode == 2
    assert "--seed is 9, but the run was started with 0" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_how_a_run_stands_is_told(finished: tuple[Path, str]) -> None:
    out, _ = finished
    found = run("search", "--status", "--resume", str(out))
    assert found.returncode == 0, found.stderr
    assert "3 COMPLETE" in found.stdout
    assert json.loads((out / "best.json").read_text())["id"] in found.stdout
    neither = run("search", "--status")
    assert neither.returncode == 2
    assert "--status needs --storage URL" in neither.stderr


def test_workers_and_cores_set_aside_make_the_same_kind_of_run(quick: list[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = ["--workers", "2", "--trials", "3", "--confirm", "0"]
    found = run("search", *quick, *options, "--out", str(out))
    assert found.returncode == 0, found.stderr
    table = (out / "trials.csv").read_text()
    assert table.count("COMPLETE") == 3
    log = (out / "search.log").read_text()
    for said in ("1157 held out to validate", "points in 8 choices", "trial   0", "best within 1 ms"):
        assert said in log
    # What follows a search is kept for a resume too: no baselines here, as at the start.
    assert json.loads((out / "run.json").read_text())["afterwards"]["baselines"] == "none"
    # A resume may have other workers: here one, with a core for measuring where there are two.
    cores = ["--measure-cores", "1"] if len(os.sched_getaffinity(0)) > 1 else []
    again = run("search", "--resume", str(out), "--trials", "4", "--workers", "1", *cores)
    assert again.returncode == 0, again.stderr
    assert (out / "trials.csv").read_text().count("COMPLETE") == 4
    assert (out / "trials.csv").read_text().startswith(table.partition("\n")[0])
    assert not (out / "baselines.json").exists()


def test_two_runtimes_have_a_target_each(quick: list[str], tmp_path: Path) -> None:
    out = tmp_path / "both"
    options = [*quick[4:], "--trials", "1", "--confirm", "0", "--out", str(out)]
    targets = ["--target", "cpu=1", "--target", "cpu:litert=2"]
    found = run("search", *targets, *options)
    assert found.returncode == 0, found.stderr
    best = json.loads((out / "best.json").read_text())
    assert best["measurement"]["runtime"] == "onnxruntime"
    also = best["measurement"]["also"]["cpu:litert"]
    assert also["runtime"] == "litert"
    assert also["blocks"] == 3
    assert "1 ms on cpu and 2 ms on cpu:litert" in found.stdout
    assert "1 ms on cpu and 2 ms on cpu:litert" in (out / "report.html").read_text()
    refused = run("search", "--resume", str(out), "--target", "cpu=1", "--target", "cpu:litert=3")
    assert refused.returncode == 2
    assert "--target is {'cpu:litert': 3.0}, but the run was started with" in refused.stderr


def wait_for(process: subprocess.Popen[str], condition, seconds: float = 120) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended early: {process.communicate()}"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def finished_trials(out: Path) -> int:
    table = out / "trials.csv"
    return table.read_text().count("COMPLETE") if table.exists() else 0


def test_a_killed_search_goes_on_and_loses_at_most_the_trial_in_flight(
    quick: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    process = subprocess.Popen(
        argv("search", *quick, "--trials", "60", "--out", str(out)), stdout=subprocess.PIPE, text=True
    )
    wait_for(process, lambda: finished_trials(out) >= 3)
    process.kill()
    process.wait()
    before = finished_trials(out)
    again = run("search", "--resume", str(out), "--trials", str(before + 2), "--confirm", "2")
    assert again.returncode == 0, again.stderr
    rows = [line.split(",") for line in (out / "trials.csv").read_text().splitlines()[1:]]
    lost = [row for row in rows if row[1] == "FAIL"]
    assert len(lost) <= 1
    assert sum(row[1] == "COMPLETE" for row in rows) == before + 2
    for row in lost:
        assert rows[int(row[0]) + 1][2] == row[2] or not row[2]


@pytest.mark.parametrize("interrupts", [1, 2])
def test_the_first_interrupt_finishes_the_trial_and_the_second_stops_now(
    quick: list[str], tmp_path: Path, interrupts: int
) -> None:
    out = tmp_path / f"interrupted-{interrupts}"
    process = subprocess.Popen(
        argv("search", *quick, "--trials", "200", "--out", str(out)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(process, lambda: finished_trials(out) >= 1)
    for _ in range(interrupts):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"nas-search --resume {out}" in output
    assert "Traceback" not in errors
    states = {line.split(",")[1] for line in (out / "trials.csv").read_text().splitlines()[1:]}
    if interrupts == 1:
        assert states <= {"COMPLETE", "PRUNED"}
