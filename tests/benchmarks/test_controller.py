"""The search's own cost, measured on studies that were filled by SQL, and its simulated workers."""

import optuna
import pytest

from benchmarks import controller
from benchmarks.filling import Ended, fill
from nas.storage import file_place
from nas.study import close, open_study


def test_a_filled_study_reads_as_one_that_was_searched(tmp_path):
    choices = {"op": ("a", "b"), "layers": (1, 2, 3)}
    trials = [
        Ended({"op": "b", "layers": 3}, "COMPLETE", {"id": "x", "measurement": {"latency_ms": 2.0}}, [0.5]),
        Ended({"op": "a", "layers": 1}, "FAIL", {"failed_because": "no"}),
    ]
    study = open_study(
        file_place(tmp_path / "study.db"), optuna.samplers.RandomSampler(), "soft", create=True
    )
    fill(study, choices, trials)
    first, second = study.trials
    assert (first.number, first.params, first.value) == (0, {"op": "b", "layers": 3}, 0.5)
    assert first.user_attrs == {"id": "x", "measurement": {"latency_ms": 2.0}}
    assert (second.number, second.state.name, second.user_attrs) == (1, "FAIL", {"failed_because": "no"})
    trial = study.ask()
    assert trial.suggest_categorical("op", ("a", "b")) in ("a", "b")
    assert trial.number == 2
    close(study)


def test_asking_and_telling_is_timed_with_the_samplers_share_apart(capsys, monkeypatch):
    monkeypatch.delenv("NAS_POSTGRES", raising=False)
    controller.main(trials=30, measured=12, sampler="random")
    line = capsys.readouterr().out.splitlines()[-1]
    words = line.replace("(", " ").replace(")", " ").split()
    whole, own, rest = (float(words[at]) for at in (2, 4, 6))
    assert words[0] == "SQLite"
    assert whole == pytest.approx(own + rest, abs=0.2)
    assert whole > own > 0


def test_simulated_workers_are_busy_while_time_passes_on_their_clock_alone(capsys):
    controller.main(busy=True, workers=5, seconds=400, sampler="random")
    line = capsys.readouterr().out.splitlines()[-1]
    share, trials = line.split()[1:3]
    assert 95 < float(share.rstrip("%")) <= 100
    assert 25 <= int(trials) <= 50  # five workers, 400 s, a minute each
