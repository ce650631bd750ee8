"""Many searches on one study: a real PostgreSQL server, and processes that join, die and come back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest

from candidates import InputError
from nas.joining import agree
from nas.settings import SearchSettings
from nas.storage import in_turn, server_place
from nas.study import close, open_study
from tests.nas.conftest import SPACE
from tests.nas.postgres import VARIABLE, Server, running
from tests.nas.processes import run

pytestmark = pytest.mark.skipif(
    not os.environ.get(VARIABLE), reason=f"{VARIABLE} is not set to the folder of PostgreSQL's programs"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(Path(os.environ[VARIABLE])) as found:
        yield found


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    """The server's address; the study is gone afterwards."""
    yield server.url
    storage = optuna.storages.RDBStorage(server.url.replace("postgresql", "postgresql+psycopg", 1))
    for study in storage.get_all_studies():
        storage.delete_study(study._study_id)
    storage.engine.dispose()


def begin(
    folder: Path, url: str, trials: int, seconds: float, workers: int = 0, seed: int = 0
) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    arguments = (str(folder), url, str(trials), str(seconds), str(workers), str(seed), "random")
    return subprocess.Popen(
        [sys.executable, "-m", "tests.nas.sharing", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str], seconds: float = 120) -> str:
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err[-3000:]
    return out


def trials_of(url: str) -> list[optuna.trial.FrozenTrial]:
    study = open_study(server_place(url, "shared"), None, "soft", create=False)
    found = study.get_trials()
    close(study)
    return found


def wait_for_complete(url: str, count: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if sum(t.state.name == "COMPLETE" for t in trials_of(url)) >= count:
                return
        except InputError:  # not made yet
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)


def evaluated(trials: list[optuna.trial.FrozenTrial]) -> list[str]:
    return [
        t.user_attrs["id"]
        for t in trials
        if t.state.name == "COMPLETE" and "duplicate_of" not in t.user_attrs
    ]


def trained(*folders: Path) -> Counter[str]:
    return Counter(line for folder in folders for line in (folder / "trained").read_text().split())


def test_two_searches_share_a_study_and_no_network_is_trained_twice(url: str, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    both = [begin(folder, url, 16, 0.3, seed=seed) for seed, folder in enumerate(folders)]
    for process in both:
        assert "complete" in end(process)
    trials = trials_of(url)
    done = evaluated(trials)
    assert len(done) == len(set(done))
    assert set(trained(*folders).values()) == {1}
    assert trained(*folders).total() == len(done)
    assert all(trained(folder) for folder in folders)
    assert sum(t.state.name == "COMPLETE" for t in trials) in (16, 17)  # both may take the last one


def test_a_dead_searchs_trial_is_found_and_tried_again_by_another(url: str, tmp_path: Path) -> None:
    victim = begin(tmp_path / "a", url, 8, 30.0)
    deadline = time.monotonic() + 60
    while not (tmp_path / "a" / "run" / "run.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    wait_for_running(url)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    (lost,) = [t for t in trials_of(url) if t.state.name == "RUNNING"]
    assert "8 complete" in end(begin(tmp_path / "b", url, 8, 0.1))
    trials = trials_of(url)
    assert trials[lost.number].state.name == "FAIL"
    (again,) = [t for t in trials if t.user_attrs.get("retry_of") == lost.number]
    assert again.params == lost.params
    assert again.state.name == "COMPLETE"
    assert not [t for t in trials if t.state.name in ("RUNNING", "WAITING")]


def wait_for_running(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if any("latency_ms" in t.user_attrs for t in trials_of(url) if t.state.name == "RUNNING"):
                return
        except InputError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_search_outlives_a_restart_of_the_server(server: Server, url: str, tmp_path: Path) -> None:
    process = begin(tmp_path / "a", url, 14, 0.2, workers=2)
    wait_for_complete(url, 3)
    server.stop()
    time.sleep(2.0)
    assert process.poll() is None, process.communicate()
    server.start()
    assert "14 complete" in end(process)
    done = evaluated(trials_of(url))
    assert len(done) == len(set(done))
    assert set(trained(tmp_path / "a").values()) == {1}
    assert trained(tmp_path / "a").total() == len(done)


def test_the_command_joins_refuses_what_differs_and_tells_how_it_stands(url: str, tmp_path: Path) -> None:
    (tmp_path / "little.yaml").write_text(SPACE)
    options = ["--device", "cpu", "--space", str(tmp_path / "little.yaml"), "--epochs", "1", "--resolution", "32",
               "--storage", url, "--study", "shared", "--confirm", "0"]  # fmt: skip
    first = run("search", "--target-ms", "1", *options, "--trials", "2", "--out", str(tmp_path / "one"))
    assert first.returncode == 0, first.stderr
    assert "secret" not in (tmp_path / "one" / "run.json").read_text()
    assert not (tmp_path / "one" / "study.db").exists()
    other = run("search", "--target-ms", "2", *options, "--trials", "3", "--out", str(tmp_path / "two"))
    assert other.returncode == 2
    assert "--target-ms is 2.0, but study shared was started with 1.0" in other.stderr
    second = run(
        "search",
        "--target-ms",
        "1",
        *options,
        "--trials",
        "3",
        "--seed",
        "4",
        "--out",
        str(tmp_path / "three"),
    )
    assert second.returncode == 0, second.stderr
    best = json.loads((tmp_path / "three" / "best.json").read_text())
    status = run("search", "--status", "--storage", url, "--study", "shared", "--json")
    assert status.returncode == 0, status.stderr
    found: dict[str, Any] = json.loads(status.stdout)
    assert found["states"]["COMPLETE"] == 3
    assert found["best"]["id"] == best["id"]
    plain = run("search", "--status", "--resume", str(tmp_path / "one"), environment={"PGPASSWORD": "secret"})
    assert "study shared: 3 COMPLETE" in plain.stdout, plain.stderr
    report = run("report", str(tmp_path / "one"), environment={"PGPASSWORD": "secret"})
    assert report.returncode == 0, report.stderr
    unknown = run("search", "--status", "--storage", url, "--study", "nothing")
    assert unknown.returncode == 2
    assert "holds no study called nothing" in unknown.stderr


def test_of_searches_that_begin_together_one_decides_what_the_study_means(url: str, tmp_path: Path) -> None:
    place, together = server_place(url, "shared"), threading.Barrier(4)
    close(open_study(place, None, "soft", create=True))

    def begin_with(target_ms: float) -> str:
        study = open_study(place, None, "soft", create=False)
        try:
            together.wait(timeout=60)
            with in_turn(study, place):
                agree(study, SearchSettings(target_ms, storage=url, study="shared"), {})
            return "joined"
        except InputError as error:
            return str(error)
        finally:
            close(study)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(begin_with, (1.0, 2.0, 3.0, 4.0)))
    assert found.count("joined") == 1, found
    winner = found.index("joined") + 1.0
    assert all(f"was started with {winner}" in text for text in found if text != "joined"), found


def test_a_server_that_is_not_there_is_an_error_in_one_line(tmp_path: Path) -> None:
    away = "postgresql://postgres@127.0.0.1:9/postgres"
    found = run(
        "search", "--target-ms", "1", "--device", "cpu", "--storage", away, "--out", str(tmp_path / "run")
    )
    assert found.returncode == 1
    assert len(found.stderr.splitlines()) == 1
    assert "cannot be reached" in found.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("url", ["mysql://a/b", "no url", "postgresql://host", ""])
def test_other_storages_are_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"storage"):
        server_place(SearchSettings(1.0, storage=url).storage or "", "search")
