"""Few transactions for a trial, and what is in flight read from memory: always what the database says."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import event

from nas.storage import file_place, opened
from nas.study import close, open_study
from nas.trial_storage import together


@pytest.fixture
def study(tmp_path: Path) -> Iterator[optuna.Study]:
    found = open_study(
        file_place(tmp_path / "study.db"), optuna.samplers.RandomSampler(seed=0), "soft", create=True
    )
    yield found
    close(found)


@pytest.fixture
def others(study: optuna.Study) -> Iterator[optuna.Study]:
    """The same study as another process sees it: Optuna's own storage, straight from the file."""
    backend = study._storage._backend  # type: ignore[attr-defined]
    found = optuna.load_study(study_name=study.study_name, storage=RDBStorage(backend.url))
    yield found
    close(found)


def suggest(trial: optuna.Trial, count: int = 6) -> None:
    for number in range(count):
        trial.suggest_categorical(f"c{number}", ("a", "b", "c"))


def told(study: optuna.Study) -> list[dict[str, Any]]:
    return [dict(trial.__dict__) for trial in study.get_trials(deepcopy=False)]


def test_what_is_set_together_is_one_transaction_and_reads_back_alike(
    study: optuna.Study, others: optuna.Study
) -> None:
    suggest(study.ask())  # what a choice may be is looked up once
    commits = []

    def note(connection: object) -> None:
        commits.append(connection)

    engine = study._storage._backend.engine  # type: ignore[attr-defined]
    trial = study.ask()
    with together(study):
        event.listen(engine, "commit", note)
        suggest(trial)
        trial.set_user_attr("id", "first")
        trial.set_user_attr("id", "second")
        trial.set_user_attr("pair", (1, 2))
        study._storage.set_trial_system_attr(trial._trial_id, "place", {"x": 1.5})
        assert not others.trials[1].params
    event.remove(engine, "commit", note)
    assert len(commits) == 1
    assert others.trials[1].params == trial.params
    assert others.trials[1].user_attrs == {"id": "second", "pair": [1, 2]}
    assert others.trials[1].system_attrs == {"place": {"x": 1.5}}


def test_another_thread_writes_by_itself(study: optuna.Study, others: optuna.Study) -> None:
    first, second = study.ask(), study.ask()
    with together(study):
        first.set_user_attr("id", "held")
        with ThreadPoolExecutor(1) as threads:
            threads.submit(study._storage.set_trial_user_attr, second._trial_id, "curve", [0.5]).result()
        assert [trial.user_attrs for trial in others.trials] == [{}, {"curve": [0.5]}]
    assert others.trials[0].user_attrs == {"id": "held"}


def test_without_a_block_everything_is_written_at_once(study: optuna.Study, others: optuna.Study) -> None:
    trial = study.ask()
    suggest(trial, 1)
    trial.set_user_attr("id", "x")
    assert others.trials[0].params == trial.params
    assert others.trials[0].user_attrs == {"id": "x"}


def test_every_trial_reads_as_it_does_for_another_process(study: optuna.Study, others: optuna.Study) -> None:
    study.enqueue_trial({"c0": "b"})
    asked = [study.ask() for _ in range(5)]
    for trial in asked[:4]:
        with together(study):
            suggest(trial)
            trial.set_user_attr("measurement", {"latency_ms": 3.0, "reasons": ["a"]})
        trial.report(0.5, step=1)
    assert told(study) == told(others)
    study.tell(asked[1], 0.25)
    study.tell(asked[2], state=TrialState.FAIL)
    with together(study):
        asked[3].set_user_attr("reward", 0.5)
        study.tell(asked[3], 0.5)
        suggest(asked[4])
    assert told(study) == told(others)
    assert [trial.state.name for trial in study.trials] == [
        "RUNNING",
        "COMPLETE",
        "FAIL",
        "COMPLETE",
        "RUNNING",
    ]


def test_a_trial_in_flight_is_not_read_again(study: optuna.Study) -> None:
    for _ in range(3):
        suggest(study.ask())
    study.get_trials(deepcopy=False)
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        statements.append(statement)

    event.listen(study._storage._backend.engine, "before_cursor_execute", note)  # type: ignore[attr-defined]
    assert len(study.get_trials(deepcopy=False)) == 3
    assert not [statement for statement in statements if "trial_params" in statement]


def test_a_trial_that_another_process_ended_is_read_from_the_database(
    study: optuna.Study, others: optuna.Study
) -> None:
    first, second = study.ask(), study.ask()
    others.tell(0, state=TrialState.FAIL)
    others._storage.set_trial_user_attr(second._trial_id, "curve", [0.1])
    assert [trial.state.name for trial in study.get_trials(deepcopy=False)] == ["FAIL", "RUNNING"]
    with pytest.raises(UpdateFinishedTrialError), together(study):
        first.set_user_attr("late", 1)
    study.tell(second, 1.0)
    assert study.trials[1].user_attrs == {"curve": [0.1]}


def test_what_was_ended_between_is_not_written_to(study: optuna.Study, others: optuna.Study) -> None:
    trial = study.ask()

    def late() -> None:
        with together(study):
            trial.set_user_attr("late", 1)
            others.tell(0, state=TrialState.FAIL)

    with pytest.raises(UpdateFinishedTrialError):
        late()
    assert not others.trials[0].user_attrs


def test_a_block_that_ends_with_an_error_keeps_what_was_set(
    study: optuna.Study, others: optuna.Study
) -> None:
    trial = study.ask()

    def broken() -> None:
        with together(study):
            trial.set_user_attr("id", "x")
            trial.set_user_attr("rate", 1 / 0)

    with pytest.raises(ZeroDivisionError):
        broken()
    assert others.trials[0].user_attrs == {"id": "x"}
    trial.set_user_attr("more", 1)  # the block is over
    assert others.trials[0].user_attrs == {"id": "x", "more": 1}


def test_other_storages_are_used_as_they_are(tmp_path: Path) -> None:
    study = optuna.create_study()
    with together(study):
        study.ask().set_user_attr("id", 1)
    assert study.trials[0].user_attrs == {"id": 1}
    place = file_place(tmp_path / "x.db")
    assert together(optuna.create_study(storage=opened(place))) is not None
