from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from candidates import build
from nas.trainer import stochastic_depth
from nas.trainer.ema import Average
from nas.trainer.optimizers import make_optimizer, set_rates
from nas.trainer.recipe import Recipe
from nas.trainer.rmsprop import RMSpropTF
from tests.nas.trainer.conftest import TINY


def test_rmsprop_is_tensorflows_and_not_pytorchs() -> None:
    """Against the update written out number by number, with a learning rate that changes on the way."""
    weight = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = RMSpropTF([weight], lr=0.1, decay=0.9, momentum=0.8, epsilon=0.01, weight_decay=0.05)
    expected, square, velocity = [1.0, -2.0], [1.0, 1.0], [0.0, 0.0]
    for lr, gradient in ((0.1, [0.5, -1.0]), (0.1, [0.2, 0.3]), (0.02, [-0.4, 0.1])):
        optimizer.param_groups[0]["lr"] = lr
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        for i in (0, 1):
            g = gradient[i] + 0.05 * expected[i]
            square[i] = 0.9 * square[i] + 0.1 * g * g
            velocity[i] = 0.8 * velocity[i] + lr * g / math.sqrt(square[i] + 0.01)
            expected[i] -= velocity[i]
    assert weight.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["sgd", "rmsprop-tf", "adam", "adamw"])
def test_weight_decay_leaves_out_normalisation_and_biases(name: str) -> None:
    net = build(TINY)
    optimizer = make_optimizer(net, Recipe(optimizer=name))
    set_rates(optimizer, 0.5, 0.25)
    assert all(group["lr"] == 0.5 for group in optimizer.param_groups)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for parameter in net.parameters():
        assert decays[id(parameter)] == (0.25 if parameter.ndim > 1 else 0.0)
    everything = make_optimizer(net, Recipe(optimizer=name, decay_norm_and_bias=True))
    assert [group["decayed"] for group in everything.param_groups] == [True]


def test_the_average_follows_with_a_decay_that_warms_up() -> None:
    net = nn.Linear(1, 1, bias=False)
    average = Average(net, decay=0.5)
    shadow = net.weight.item()
    for update in range(12):
        with torch.no_grad():
            net.weight.fill_(float(update))
        average.update()
        decay = min(0.5, (1 + update) / (10 + update))
        shadow = decay * shadow + (1 - decay) * update
    assert float(average.network.weight) == pytest.approx(shadow)


def test_the_average_has_the_batch_statistics_too() -> None:
    net = nn.BatchNorm2d(2)
    average = Average(net, decay=0.9)
    net(torch.randn(8, 2, 4, 4) + 5)
    average.update()
    mean, theirs = average.network.running_mean, net.running_mean
    assert mean is not None
    assert theirs is not None
    assert torch.allclose(mean, 0.9 * theirs)  # the first decay is 1 / 10
    assert int(average.network.num_batches_tracked) == 1  # type: ignore[arg-type]


def test_stochastic_depth_drops_whole_images_of_residual_branches_while_training() -> None:
    net = build(TINY, dropout=0.0)
    plain = copy.deepcopy(net)
    assert stochastic_depth.attach(net, 0.9) == 2
    images = torch.randn(64, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(net.eval()(images), plain.eval()(images))
    branch = net.layers[3].project  # type: ignore[union-attr]
    seen = []
    branch.register_forward_hook(lambda module, inputs, output: seen.append(output))  # type: ignore[union-attr]
    torch.manual_seed(0)
    net.train()(images)
    kept = seen[0].abs().sum((1, 2, 3)) > 0
    assert 0 < kept.sum() < 20  # one in ten of 64
