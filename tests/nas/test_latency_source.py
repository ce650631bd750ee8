from dataclasses import dataclass

import pytest

from candidates import Architecture, InputError, zoo
from latency.registry import resolve
from nas.latency_source import Predicted, predicting, predictor_for
from tests.nas.conftest import FakeMeasurement


@dataclass(frozen=True)
class Guess:
    latency_ms: float
    std_ms: float
    inside: bool


@dataclass(frozen=True)
class OneSize:
    """A predictor that knows inputs of 224 alone."""

    device: str = "cpu"
    threads: int = 1

    def predict(self, arch: Architecture) -> Guess:
        return Guess(7.0, 0.2, arch.resolution == 224)


def test_what_the_predictor_does_not_know_is_measured() -> None:
    source = predicting(OneSize(), lambda arch: FakeMeasurement(3.0))  # type: ignore[arg-type]
    inside = source(zoo.load("mnasnet-a1"))
    assert inside == Predicted(7.0, 0.2, "cpu", 1)
    assert inside.to_dict()["predicted"] is True
    assert source(zoo.load("mnasnet-a1").scaled(resolution=96)).latency_ms == 3.0


def test_predict_without_a_predictor_says_how_to_make_one(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("empty")))
    cpu = resolve("cpu")
    with pytest.raises(InputError, match="nas-latency calibrate --device cpu"):
        predictor_for(cpu, 1, "predict")
    assert predictor_for(cpu, 1, "auto") is None
    assert predictor_for(cpu, 1, "measure") is None
