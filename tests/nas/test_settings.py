"""What a resume may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from candidates import InputError
from nas.commands.afterwards import Afterwards
from nas.settings import SearchSettings


def test_one_kind_of_workers_takes_the_place_of_another() -> None:
    four = SearchSettings(target_ms=1.0, workers=4)
    on_gpus = four.resumed({"gpus": "all", "per_gpu": 2})
    assert (on_gpus.gpus, on_gpus.per_gpu, on_gpus.workers) == ("all", 2, 1)
    back = on_gpus.resumed({"workers": 3})
    assert (back.gpus, back.per_gpu, back.workers) == (None, 1, 3)
    apart = SearchSettings(target_ms=1.0, workers=3, measure_cores=1)
    there = apart.resumed({"ray": "auto"})
    assert (there.ray, there.measure_cores, there.workers) == ("auto", 0, 3)
    many = there.resumed({"workers": 64})
    assert (many.ray, many.workers) == ("auto", 64)
    assert four.resumed({"trials": 90}).workers == 4


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"baselines": "some"}, "--baselines"),
        ({"baselines": 1}, "baselines is 1"),
        ({"train_best": "1"}, "--train-best is '1'"),
        ({"train_best": 1, "train_recipe": "none"}, "recipe"),
        ({"train": 1}, "run.json: afterwards"),
    ],
)
def test_what_follows_a_search_is_checked_when_it_is_read(values: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Afterwards.of(values)


def test_what_follows_a_search_has_defaults() -> None:
    assert Afterwards.of({}) == Afterwards()
    assert Afterwards.of({"train_best": 2, "train_epochs": 3}).full_training().count == 2


def test_a_recipe_of_ones_own_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("format: 1\n")
    assert Afterwards.asked("auto", 1, "mine.yaml", None).train_recipe == str(tmp_path / "mine.yaml")
    for name in ("mnasnet", "a slip"):
        assert Afterwards.asked("auto", 1, name, None).train_recipe == name
