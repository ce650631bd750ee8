"""What a search checks before it makes its folder, and how earlier knowledge reaches its sampler."""

from __future__ import annotations

from pathlib import Path

import pytest

from candidates import InputError
from nas.prepared import ZERO_COST, limited_view, prepare
from nas.run import search
from nas.run_folder import create
from nas.settings import SearchSettings
from nas.stopping import Stop
from tests.nas.conftest import SPACE, Lab, Recorder


def settings(**changes: object) -> SearchSettings:
    common = {"target_ms": 5.0, "device": "cpu", "resolution": 32, "epochs": 1, "trials": 2, "confirm": 0}
    return SearchSettings(**(common | changes))  # type: ignore[arg-type]


def test_limits_that_no_point_is_within_are_refused_before_anything_is_made() -> None:
    with pytest.raises(InputError, match="random points is within the limits"):
        prepare(settings(max_parameters=10), SPACE)


def test_a_warm_start_from_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        prepare(settings(warm_start=str(tmp_path)), SPACE)
    with pytest.raises(InputError, match="for the surrogate sampler, not for tpe"):
        settings(warm_start=ZERO_COST, sampler="tpe")


def test_samplers_see_only_what_is_within_the_limits() -> None:
    import random

    prepared = prepare(settings(max_parameters=4000), SPACE)
    view, rng = limited_view(prepared), random.Random(0)
    point = view.sample(rng)
    for near in (point, *view.neighbours(point)):
        assert prepared.deploy(prepared.space.decode(near)).parameters() <= 4000


@pytest.mark.parametrize("start", ["run", ZERO_COST])
def test_a_search_starts_from_what_is_known(tmp_path: Path, lab: Lab, start: str) -> None:
    lab.search(lab.settings(trials=6))
    warm = settings(warm_start=str(lab.path) if start == "run" else start)
    prepared = prepare(warm, SPACE)
    folder = create(tmp_path / "warm", prepared.settings, SPACE, {"name": "cpu"})
    rows = search(folder, prepared, Recorder(), Stop(print))
    assert sum(row.state == "COMPLETE" for row in rows) == 2


def test_what_a_resume_needs_to_train_the_same_proxy_is_decided_at_the_start() -> None:
    decided = prepare(settings(), SPACE).settings
    assert (decided.proxy_samples, decided.proxy_resolution, decided.classes) == (4000, 8, 10)


def test_a_space_that_names_another_input_size_is_not_overruled_in_silence() -> None:
    with pytest.raises(
        InputError, match="sets resolution 64, but the search would use 32; give --resolution 64"
    ):
        prepare(settings(), SPACE.replace("stem: 8", "stem: 8\nresolution: 64"))
