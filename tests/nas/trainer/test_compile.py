"""`compile: true`. What the compiler makes of the network runs here without the machine code that it would
write, since that needs a C++ compiler; where there is one, that runs too."""

from __future__ import annotations

import shutil
from functools import partial

import lightning_fabric  # noqa: F401 # it wraps torch.compile, so it comes before what the tests do to that
import pytest
import torch
from safetensors.torch import load

from nas.trainer.recipe import Recipe
from tests.nas.trainer.conftest import Kill, Trainer

QUICK = Recipe(epochs=2, batch=8, lr=0.05, lr_batch=None, ema_decay=0.7, stochastic_depth=0.2, dropout=0.2)


@pytest.fixture(autouse=True)
def nothing_compiled() -> None:
    torch._dynamo.reset()  # what another backend made of the same network


def trained_alike(trainer: Trainer, recipe: Recipe) -> None:
    trainer.make("plain", recipe)
    trainer.make("compiled", recipe.with_values({"compile": True}))
    plain, compiled = trainer.run("plain"), trainer.run("compiled")
    assert plain is not None
    assert compiled is not None
    assert compiled["validation"]["loss"] == pytest.approx(plain["validation"]["loss"], rel=1e-3)
    weights, expected = load(trainer.weights("compiled")), load(trainer.weights("plain"))
    assert weights.keys() == expected.keys()  # not those of the compiler's wrapper
    for name, tensor in expected.items():
        assert torch.allclose(weights[name], tensor, rtol=1e-2, atol=1e-4), name


def test_a_compiled_network_trains_alike_and_resumes(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    trained_alike(trainer, QUICK)
    trainer.make("killed", QUICK.with_values({"compile": True}))
    with pytest.raises(KeyboardInterrupt):
        trainer.run("killed", Kill(5))
    assert trainer.run("killed") is not None
    assert trainer.weights("killed") == trainer.weights("compiled")


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler (g++)")
def test_with_the_machine_code(trainer: Trainer) -> None:
    # The compiler draws its random numbers in its own way.
    trained_alike(trainer, QUICK.with_values({"stochastic_depth": 0.0, "dropout": 0.0}))
