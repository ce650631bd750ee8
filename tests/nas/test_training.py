import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from candidates import Architecture, build, zoo
from nas import training
from nas.augment import crop_flip, draw_crops
from nas.data import DataSet, Images, load_data
from nas.graphs import WARM_UP, Graphed, graphed
from nas.proxy import Proxy
from nas.recipe import Recipe
from nas.training import DeviceData, evaluate, one_cycle, reestimate_statistics, set_rate, train

SMALL = Architecture.from_blocks(["r1_k3_s22_e3_i16_o24", "r1_k3_s22_e3_i24_o40_se0.25"], stem=16, head=64)


@pytest.fixture(scope="module")
def digits() -> Proxy:
    return Proxy.prepare(load_data("digits"), Recipe(epochs=10, peak_lr=0.1), device="cpu")


def test_what_has_learned_the_training_split_scores_on_the_validation_split(digits: Proxy) -> None:
    outcome = digits.train(SMALL, seed=0)
    assert outcome.accuracy > 0.7
    assert outcome.loss < 1.2


def test_the_references_momentum_without_new_statistics_would_rank_noise(digits: Proxy) -> None:
    net = build(digits.architecture(SMALL), seed=0, dropout=0.0)
    learned = train(net, digits.placed, digits.recipe, seed=0)
    # The same weights with statistics that have moved by a momentum of 0.01 in a hundred steps only.
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.mul_(1 - 0.99**100)
            module.running_var.mul_(1 - 0.99**100).add_(0.99**100)
    stale, _ = evaluate(net, digits.placed)
    reestimate_statistics(net, digits.placed)
    again, _ = evaluate(net, digits.placed)
    assert again == pytest.approx(learned.accuracy, abs=0.01)
    assert stale < again


def test_the_seed_decides_the_outcome_bit_for_bit(digits: Proxy) -> None:
    quick = replace(digits, recipe=replace(digits.recipe, epochs=1))
    first, again, other = (quick.train(SMALL, seed) for seed in (1, 1, 2))
    assert (first.accuracy, first.loss) == (again.accuracy, again.loss)
    assert first.loss != other.loss


class Recording:
    """Stands for a device's recording: work is noted first, and done each time that it is replayed."""

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.replays = fails, 0

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing\nand more")

        def replay() -> None:
            self.replays += 1
            work()

        return replay


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.filterwarnings("ignore:training without a CUDA graph")
def test_replayed_steps_train_as_those_that_are_called(
    digits: Proxy, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = replace(digits, recipe=replace(digits.recipe, epochs=1))
    called = quick.train(SMALL, seed=1)
    recording = Recording(fails)
    monkeypatch.setattr(training, "graphed", lambda step, device: Graphed(step, recording, device))
    replayed = quick.train(SMALL, seed=1)
    assert (replayed.accuracy, replayed.loss) == (called.accuracy, called.loss)
    steps = len(digits.data.train) // digits.recipe.batch
    assert recording.replays == (0 if fails else steps - WARM_UP)


def test_what_cannot_be_recorded_is_said_once() -> None:
    seen: list[float] = []
    step = Graphed(lambda x: seen.append(float(x)), Recording(fails=True), torch.device("cpu"))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for number in range(6):
            step(torch.tensor(float(number)))
    (warning,) = said
    reason = "operation not permitted when stream is capturing"
    assert str(warning.message) == f"training without a CUDA graph, which is slower: {reason}"
    assert seen == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_recorded_step_is_given_its_inputs_in_place() -> None:
    seen: list[tuple[float, int]] = []
    step = Graphed(lambda x: seen.append((float(x), x.data_ptr())), Recording(), torch.device("cpu"))
    for number in range(WARM_UP + 3):
        step(torch.tensor(float(number)))
    assert [value for value, _ in seen] == [float(number) for number in range(WARM_UP + 3)]
    assert len({place for _, place in seen[WARM_UP:]}) == 1
    assert graphed(step, torch.device("cpu")) is step


def test_a_rate_that_is_a_tensor_is_set_in_place() -> None:
    weight = nn.Parameter(torch.ones(2))
    rate = torch.tensor(0.5)
    optimizer = torch.optim.SGD([{"params": [weight]}], lr=rate, fused=True)
    held = optimizer.param_groups[0]["lr"]
    set_rate(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] is held
    weight.grad = torch.ones(2)
    optimizer.step()
    assert weight.tolist() == [0.75, 0.75]


def test_a_zoo_network_trains_at_the_proxys_size_with_its_input_channels(digits: Proxy) -> None:
    arch = digits.architecture(zoo.load("mnasnet-a1"))
    assert (arch.resolution, arch.channels_in, arch.classes) == (8, 1, 10)


def test_fewer_images_than_a_batch_still_train() -> None:
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (7, 3, 8, 8), np.uint8), np.array([0, 1, 0, 1, 0, 1, 0]))
    data = DataSet("tiny", ("a", "b"), images, images)
    outcome = Proxy.prepare(data, Recipe(epochs=1), device="cpu").train(SMALL, seed=0)
    assert 0.0 <= outcome.accuracy <= 1.0


def test_statistics_are_those_of_the_training_pixels() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, 3, 6, 6), np.uint8)
    data = DataSet(
        "x", ("a", "b"), Images(pixels, np.zeros(50, np.int64)), Images(pixels, np.zeros(50, np.int64))
    )
    placed = DeviceData.put(data, torch.device("cpu"))
    normalised = placed.normalised(placed.train[0])
    assert normalised.mean((0, 2, 3)).abs().max() < 1e-4
    assert (normalised.std((0, 2, 3)) - 1).abs().max() < 1e-2
    assert normalised.is_contiguous(memory_format=torch.channels_last)


def test_crops_are_shifts_with_zeros_and_flips_are_mirrors() -> None:
    images = torch.arange(1, 1 + 2 * 3 * 5 * 5, dtype=torch.float32).reshape(2, 3, 5, 5)
    seen = set()
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        out = crop_flip(images, 1, *draw_crops(2, 1, True, generator))
        assert out.shape == images.shape
        for image, result in zip(images, out, strict=True):
            matches = [
                (dy, dx, flipped)
                for dy in range(3)
                for dx in range(3)
                for flipped in (False, True)
                if torch.equal(result, _shifted(image, dy, dx, flipped))
            ]
            assert len(matches) == 1
            seen.add(matches[0])
    assert len(seen) == 18


def _shifted(image: torch.Tensor, dy: int, dx: int, flipped: bool) -> torch.Tensor:
    window = nn.functional.pad(image, (1, 1, 1, 1))[:, dy : dy + 5, dx : dx + 5]
    return window.flip(2) if flipped else window


def test_the_learning_rate_rises_and_falls_once() -> None:
    factors = [one_cycle(step / 100, 0.3) for step in range(101)]
    peak = factors.index(max(factors))
    assert peak == 30
    assert max(factors) == pytest.approx(1.0)
    assert factors[:31] == sorted(factors[:31])
    assert factors[30:] == sorted(factors[30:], reverse=True)
    assert factors[-1] < 1e-3


def test_the_order_in_which_images_are_stored_does_not_matter_to_the_statistics() -> None:
    """2,000 images stored class by class, the classes of different brightness."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 500)
    pixels = np.clip(rng.normal(60 * labels[:, None, None, None], 20, (2000, 1, 8, 8)), 0, 255).astype(
        np.uint8
    )
    images = Images(pixels, labels)
    data = DeviceData.put(DataSet("x", ("a", "b", "c", "d"), images, images), torch.device("cpu"))
    net = build(SMALL.for_input(8, 1, 4, min_map=2), seed=0, dropout=0.0)
    reestimate_statistics(net, data)
    first = next(module for module in net.modules() if isinstance(module, nn.BatchNorm2d))
    stem = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        outputs = stem(data.normalised(data.train[0]))
    assert first.running_mean is not None
    assert (first.running_mean - outputs.mean((0, 2, 3))).abs().max() < 0.1 * outputs.std()
