"""What a search does, with made-up measurements and trainings."""

import csv
import json
import random
import sqlite3
from pathlib import Path

import optuna
import pytest

from candidates import Architecture, RunError
from nas.candidate import Candidate
from nas.run_folder import COLUMNS
from nas.stopping import Stop
from nas.trials import kept_with
from search_space import parse_space
from tests.nas.conftest import SPACE, Lab, latency_of


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_run_folder_is_as_the_design_fixes_it(lab: Lab) -> None:
    settings = lab.settings(trials=12)
    rows = lab.search(settings)
    table = read_csv(lab.path / "trials.csv")
    assert tuple(table[0]) == COLUMNS
    assert [row["state"] for row in table].count("COMPLETE") == 12
    assert {row["on_front"] for row in table} == {"true", "false"}
    front = {row["id"] for row in table if row["on_front"] == "true"}
    files = {path.stem for path in (lab.path / "candidates").iterdir()}
    assert front <= files
    best = Candidate.load(lab.path / "best.json")
    within = [row for row in table if row["reward"] and float(row["latency_ms"]) <= settings.target_ms]
    assert best.reward == max(float(row["reward"]) for row in within)
    assert best.within_target is True
    for file in (lab.path / "candidates").iterdir():
        values = json.loads(file.read_text())
        assert {"architecture", "accuracy", "latency_ms", "measurement", "reward", "parameters"} <= set(
            values
        )
        assert Candidate.load(file).architecture.id == file.stem
    assert len(rows) == len(table)


def test_the_database_holds_exactly_one_study_that_optuna_opens(lab: Lab) -> None:
    lab.search(lab.settings())
    url = f"sqlite:///{lab.path / 'study.db'}"
    (name,) = optuna.get_all_study_names(url)
    study = optuna.load_study(study_name=name, storage=url)
    assert study.best_value == max(t.value for t in study.trials if t.value is not None)
    assert {"id", "accuracy", "latency_ms", "parameters", "multiply_adds", "reward"} <= set(
        study.trials[0].user_attrs
    )


@pytest.mark.parametrize("objective", ["soft", "hard", "pareto"])
def test_a_candidate_far_over_the_target_is_measured_and_not_trained(lab: Lab, objective: str) -> None:
    settings = lab.settings(target_ms=1.0, max_latency_factor=1.0, trials=5, objective=objective)
    rows = lab.search(settings)
    pruned = [row for row in rows if row.state == "PRUNED"]
    assert pruned
    assert all((row.latency_ms or 0) > 1.0 and row.accuracy is None for row in pruned)
    assert len(lab.trained) == sum(row.evaluated for row in rows)


def test_a_target_out_of_reach_ends_the_search_and_says_so(lab: Lab) -> None:
    with pytest.raises(RunError, match="too slow to train, the fastest at"):
        lab.search(lab.settings(target_ms=1e-6))


def test_a_network_is_evaluated_once_and_answered_from_then_on(lab: Lab) -> None:
    rows = lab.search(lab.settings(trials=150, sampler="random", max_latency_factor=100.0))
    repeats = [row for row in rows if row.duplicate_of is not None]
    assert repeats
    assert len(lab.measured) == len(set(lab.measured)) == len(lab.trained)
    by_number = {row.number: row for row in rows}
    for row in repeats:
        original = by_number[row.duplicate_of or 0]
        assert (row.id, row.accuracy, row.latency_ms) == (original.id, original.accuracy, original.latency_ms)
        assert row.state == "COMPLETE"
        assert not row.on_front
    assert sum(row.state == "COMPLETE" for row in rows) == 150


def test_an_invalid_measurement_is_taken_once_more_then_used_and_flagged(lab: Lab) -> None:
    from tests.nas.conftest import FakeMeasurement

    search = lab.open(lab.settings(trials=1))
    taken = []

    def doubtful(arch: object) -> FakeMeasurement:
        taken.append(arch)
        return FakeMeasurement(2.0, valid=False)

    object.__setattr__(search.evaluate, "measure", doubtful)
    (row,) = search.run(Stop(print))
    assert len(taken) == 2
    assert row.state == "COMPLETE"
    assert row.measurement["valid"] is False


def test_a_failing_candidate_is_recorded_and_the_search_goes_on(lab: Lab) -> None:
    def fail_once(count: int) -> None:
        if count == 2 and not lab.progress.notes:
            lab.progress.note("failed")
            raise MemoryError("no memory\nfor this")

    lab.before_training = fail_once
    rows = lab.search(lab.settings(trials=5))
    (failed,) = [row for row in rows if row.state == "FAIL"]
    assert failed.failed_because == "MemoryError: no memory"
    assert sum(row.state == "COMPLETE" for row in rows) == 5


def test_five_failures_in_a_row_end_the_search_with_the_reason(lab: Lab) -> None:
    def fail(count: int) -> None:
        raise ValueError("the data are gone")

    lab.before_training = fail
    with pytest.raises(RunError, match="the data are gone"):
        lab.search(lab.settings())


def test_stopping_finishes_the_trial_that_runs(lab: Lab) -> None:
    stop = Stop(lab.progress.note)

    def ask_to_stop(count: int) -> None:
        if count == 2:
            stop.asked = True

    lab.before_training = ask_to_stop
    rows = lab.search(lab.settings(), stop)
    assert rows
    assert all(row.state != "RUNNING" for row in rows)
    assert len(lab.trained) == 3


def test_the_second_visit_of_a_device_replaces_the_short_measurement_everywhere(lab: Lab) -> None:
    from nas.confirmation import Confirmation
    from tests.nas.conftest import FakeMeasurement

    settings = lab.settings(trials=10)
    search = lab.open(settings)
    search.run(Stop(print))
    confirm = Confirmation(
        lambda arch: FakeMeasurement(latency_of(arch) + 0.5),
        lambda arch, seed: lab.train(arch, seed).accuracy,
        settings.seed,
        2,
    )
    rows = confirm.measure_front(search, Stop(print))
    confirm.train_again(search, rows, Stop(print))
    front = [row for row in rows if row.on_front]
    assert front
    for row in front:
        assert row.latency_ms == pytest.approx(latency_of(row.arch()) + 0.5)
        stored = Candidate.load(lab.path / "candidates" / f"{row.id}.json")
        assert stored.latency_ms == row.latency_ms
    table = {row["id"]: row for row in read_csv(lab.path / "trials.csv")}
    assert all(float(table[str(row.id)]["latency_ms"]) == pytest.approx(row.latency_ms) for row in front)
    assert len(kept_with(search.study.user_attrs, "repeat")) == 2


def test_the_database_survives_where_its_path_has_odd_characters(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "a b?c%20#d'e")
    assert len(lab.search(lab.settings(trials=2))) >= 2
    with sqlite3.connect(lab.path / "study.db") as database:
        assert database.execute("select count(*) from studies").fetchone() == (1,)


def test_with_auto_what_reaches_the_front_is_measured_at_once(lab: Lab) -> None:
    from nas.latency_source import Predicted
    from tests.nas.conftest import FakeMeasurement

    search = lab.open(lab.settings(trials=12))
    object.__setattr__(
        search.evaluate, "measure", lambda arch: Predicted(latency_of(arch) * 0.9, 0.1, "cpu", 1)
    )
    measured: list[str] = []

    def measure(arch: Architecture) -> FakeMeasurement:
        measured.append(arch.id)
        return FakeMeasurement(latency_of(arch))

    search.measure_front_now = measure
    rows = search.run(Stop(print))
    for row in rows:
        predicted = bool(row.measurement.get("predicted"))
        assert predicted == (row.id not in measured)
        assert not (row.on_front and predicted)
        assert row.latency_ms == pytest.approx(latency_of(row.arch()) * (0.9 if predicted else 1.0))
    assert 0 < len(measured) < len(rows)
    assert len(measured) == len(set(measured))


@pytest.mark.parametrize(
    ("pruner", "objective"), [("median", "soft"), ("hyperband", "soft"), ("median", "pareto")]
)
def test_hopeless_trainings_are_stopped_early(lab: Lab, pruner: str, objective: str) -> None:
    trials = 14 if objective == "soft" else 40  # with two objectives only those no slower are rivals
    common = {"sampler": "random", "epochs": 4, "max_latency_factor": 100.0}
    rows = lab.search(lab.settings(pruner=pruner, objective=objective, trials=trials, **common))
    stopped = [row for row in rows if row.state == "PRUNED" and row.duplicate_of is None]
    assert stopped
    assert all(0 < row.epochs < 4 and row.accuracy is None and row.latency_ms for row in stopped)
    whole = sum(row.evaluated for row in rows)
    assert lab.epochs == 4 * whole + sum(row.epochs for row in stopped)
    assert sum(row.state == "COMPLETE" for row in rows) == trials


def test_what_is_over_a_limit_is_neither_measured_nor_trained(lab: Lab) -> None:
    settings = lab.settings(sampler="random", trials=6, max_parameters=4000, max_latency_factor=100.0)
    rows = lab.search(settings)
    over = [row for row in rows if row.over_limit]
    assert over
    assert all(row.state == "PRUNED" and (row.parameters or 0) > 4000 for row in over)
    assert all((row.parameters or 0) <= 4000 for row in rows if row.evaluated)
    assert len(lab.measured) == sum(row.evaluated for row in rows)


def test_a_limit_that_nothing_is_within_ends_the_search(lab: Lab) -> None:
    with pytest.raises(RunError, match=r"over a limit: parameters .* is over the limit of 1"):
        lab.search(lab.settings(sampler="random", max_parameters=1))


@pytest.mark.parametrize("objective", ["soft", "pareto"])
def test_the_surrogate_learns_from_measurements_alone_what_is_fast_enough(lab: Lab, objective: str) -> None:
    space, rng = parse_space(SPACE, "little.yaml"), random.Random(0)
    times = sorted(latency_of(space.decode(space.sample(rng)).for_input(32, 3, 10)) for _ in range(200))
    settings = lab.settings(target_ms=times[6], max_latency_factor=1.0, trials=6, objective=objective)
    rows = lab.search(settings)
    # At random, one point in thirty is fast enough, and six of them would take some 180 trials.
    assert sum(row.state == "PRUNED" for row in rows) <= 15


def test_where_nothing_is_within_the_target_the_best_is_the_nearest_with_a_warning(lab: Lab) -> None:
    lab.search(lab.settings(target_ms=0.5, max_latency_factor=100.0, trials=4))
    best = Candidate.load(lab.path / "best.json")
    assert best.within_target is False
    assert best.warning is not None
    assert best.warning.startswith("no candidate is within 0.5 ms; this is the nearest")
