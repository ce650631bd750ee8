"""Searches that were interrupted, and trainings that died, go on as if nothing had happened."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from candidates import Architecture
from nas.samplers import names
from nas.samplers.halting import epochs_saved
from nas.stopping import Stop
from tests.nas.conftest import Lab


class Killed(BaseException):
    """Ends a search as a kill does: nothing is tidied up."""


@pytest.mark.parametrize("sampler", names())
def test_an_interrupted_search_goes_on_as_if_it_had_not_been(tmp_path: Path, sampler: str) -> None:
    whole, cut = Lab(tmp_path / "whole"), Lab(tmp_path / "cut")
    expected = whole.search(whole.settings(sampler=sampler, trials=16, seed=3))

    def kill(count: int) -> None:
        if count in (4, 11) and len(cut.progress.notes) < (1 if count == 4 else 2):
            cut.progress.note("killed")
            raise Killed

    cut.before_training = kill
    for _ in range(2):
        with pytest.raises(Killed):
            cut.search(cut.settings(sampler=sampler, trials=16, seed=3))
    found = cut.search(cut.settings(sampler=sampler, trials=16, seed=3))
    lost = [row for row in found if row.state == "FAIL"]
    assert len(lost) == 2
    for row in lost:  # the lost point is the next that is tried
        assert next(r for r in found if r.number > row.number).id == row.id
    assert [row.id for row in found if row.state != "FAIL"] == [row.id for row in expected]
    assert len(cut.trained) == len(set(cut.trained))


def test_going_on_does_not_replay_the_first_draws(lab: Lab) -> None:
    first = lab.search(lab.settings(sampler="random", trials=6))
    second = lab.search(lab.settings(sampler="random", trials=6))
    assert second == first
    lab.folder(lab.settings()).with_record(settings=lab.settings(sampler="random", trials=12).to_dict())
    third = lab.search(lab.settings(sampler="random", trials=12))
    assert [row.id for row in third[:6]] == [row.id for row in first]
    assert [row.id for row in third[6:]] != [row.id for row in first]


def test_a_trial_lost_before_its_point_was_complete_is_drawn_again_alike(tmp_path: Path) -> None:
    whole, cut = Lab(tmp_path / "whole"), Lab(tmp_path / "cut")
    expected = whole.search(whole.settings(sampler="random", trials=4))
    search = cut.open(cut.settings(sampler="random", trials=4))
    trial = search.study.ask()
    trial.suggest_categorical("b1.op", search.space.choices[0].values)  # and then the process dies
    found = cut.search(cut.settings(sampler="random", trials=4))
    assert found[0].state == "FAIL"
    assert [row.id for row in found[1:]] == [row.id for row in expected]


def dying(lab: Lab, after: Sequence[int], error: type[BaseException]) -> None:
    """Have the trainings of these numbers die after two epochs."""
    train, left = lab.train, list(after)

    def trained(arch: Architecture, seed: int, watch: Callable[[Sequence[float]], bool] | None = None) -> Any:
        assert watch is not None

        def watched(curve: Sequence[float]) -> bool:
            answer = watch(curve)
            if len(curve) == 2 and left and len(lab.trained) > left[0]:
                left.pop(0)
                raise error
            return answer

        return train(arch, seed, watched)

    lab.train = trained  # type: ignore[method-assign]


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_resumed_search_stops_the_same_trainings(tmp_path: Path, pruner: str) -> None:
    common = {
        "pruner": pruner, "sampler": "random", "epochs": 4, "trials": 20, "seed": 1, "max_latency_factor": 100.0,
    }  # fmt: skip
    whole, cut = Lab(tmp_path / "whole"), Lab(tmp_path / "cut")
    expected = whole.search(whole.settings(**common))
    dying(cut, (4, 11), Killed)
    for _ in range(2):
        with pytest.raises(Killed):
            cut.search(cut.settings(**common))
    work = cut.open(cut.settings(**common))
    found = work.run(Stop(print))
    assert sum(row.state == "FAIL" for row in found) == 2
    kept = [row for row in found if row.state != "FAIL"]
    assert [(row.id, row.state, row.epochs) for row in kept] == [
        (row.id, row.state, row.epochs) for row in expected
    ]
    stopped = [row for row in kept if row.state == "PRUNED" and row.duplicate_of is None]
    assert stopped
    assert epochs_saved(work.study.get_trials(), 4) == sum(4 - row.epochs for row in stopped)


def test_a_training_that_is_tried_again_has_a_curve_of_its_own(lab: Lab) -> None:
    dying(lab, (0,), RuntimeError)
    settings = lab.settings(pruner="median", epochs=4, trials=2, retries=1, max_latency_factor=100.0)
    rows = lab.search(settings)
    assert [row.epochs for row in rows] == [4, 4]
    assert len(lab.trained) == 3
