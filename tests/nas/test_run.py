"""What a search checks before it makes its folder, and how earlier knowledge reaches its sampler."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

import latency
from candidates import Architecture, InputError
from nas.joining import agree
from nas.prepared import ZERO_COST, limited_view, prepare
from nas.run import _confirm, _meaning, search
from nas.run_folder import create
from nas.search import Search
from nas.settings import SearchSettings
from nas.stopping import Stop
from nas.workers.inline import Inline
from tests.nas.conftest import SPACE, Lab, Recorder
from tests.nas.processes import BRIEFLY


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
    prepared = prepare(settings(max_parameters=4000), SPACE)
    view, rng = limited_view(prepared), random.Random(0)
    point = view.sample(rng)
    for near in (point, *view.neighbours(point)):
        assert prepared.deploy(prepared.space.decode(near)).parameters() <= 4000


@pytest.mark.parametrize("start", ["run", ZERO_COST])
def test_a_search_starts_from_what_is_known(
    tmp_path: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    monkeypatch.setattr(latency, "measure", partial(latency.measure, **BRIEFLY))
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


def work_of(lab: Lab, **changes: Any) -> tuple[Search, Any]:
    """A search with made-up evaluations, and as much of its parts as what comes after the trials needs."""
    work = lab.open(lab.settings(trials=3, target_ms=30.0, **changes))
    parts: Any = SimpleNamespace(settings=work.folder.settings, measure_at_length=lab.measure)
    return work, parts


def test_a_training_that_fails_at_the_end_does_not_spoil_the_search(lab: Lab) -> None:
    work, parts = work_of(lab, retries=2)
    rows, tries = work.run(Stop(print)), []

    def broken(arch: Architecture, seed: int) -> Any:
        tries.append(arch.id)
        raise RuntimeError("the driver is gone")

    work.evaluate = replace(work.evaluate, train=broken)
    rows = _confirm(work, parts, rows, Stop(print))
    assert tries == [tries[0]] * 3 + [tries[3]] * 3
    assert any("came to nothing: RuntimeError: the driver is gone" in note for note in lab.progress.notes)
    assert any(name.startswith("final:") for name in work.study.user_attrs)
    assert not any(name.startswith("repeat:") for name in work.study.user_attrs)


@pytest.mark.parametrize("gpus", [True, False])
def test_measuring_waits_for_what_trains_on_the_cores_alone(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, gpus: bool
) -> None:
    from nas import run

    monkeypatch.setattr(run, "on_gpus", lambda settings: gpus)
    waited: list[Any] = []
    monkeypatch.setattr(run.Search, "wait_for_all", lambda search: waited.append(search))
    work, _ = work_of(lab)
    parts: Any = SimpleNamespace(
        settings=work.folder.settings, deploy=work.evaluate.deploy, space=work.space, devices=(), predictors=(),
        training=lab.train, proxy=SimpleNamespace(describe=dict),
        latency=lambda arch, idle: (idle(), lab.measure(arch))[1],
    )  # fmt: skip
    again = run._search(work.folder, parts, work.study, Inline(), None, lab.progress, lambda rows: None)
    again.evaluate.latency(work.space.decode(work.space.sample(random.Random(0))))
    assert len(waited) == (0 if gpus else 1)


def test_the_order_of_targets_and_the_phone_are_part_of_what_a_study_means() -> None:
    def meaning(*devices: str) -> dict[str, Any]:
        also = {name: 9.0 for name in devices[1:]}
        found: Any = SimpleNamespace(
            settings=settings(device=devices[0], also=also),
            devices=[SimpleNamespace(name=name, fingerprint=lambda: "mine") for name in devices],
            space_yaml="",
            proxy=SimpleNamespace(data=SimpleNamespace(describe=dict)),
        )
        return _meaning(found)

    study, mine = optuna.create_study(), settings(device="pixel")
    agree(study, mine, {"devices": [["pixel", None]]})
    with pytest.raises(
        InputError, match=r"--device is \[\['galaxy', None\]\], but study .* was started with"
    ):
        agree(study, mine, {"devices": [["galaxy", None]]})
    with pytest.raises(InputError, match="by an earlier version, which did not keep its --target"):
        agree(study, mine, {"devices": [["pixel", None]], "targets": []})
    usual = meaning("pixel", "cpu", "pi")
    assert meaning("pixel", "cpu", "pi") == usual
    assert meaning("pixel", "pi", "cpu") != usual
    assert meaning("galaxy", "cpu", "pi") != usual
