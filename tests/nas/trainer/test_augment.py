from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from candidates.preprocessing import Preprocessing
from nas.trainer import draws, mixing
from nas.trainer.augment import Augmenter
from nas.trainer.erasing import erased
from nas.trainer.loading import Batch
from nas.trainer.order import epoch_order, updates
from nas.trainer.randaugment import _COLOUR, randaugmented
from nas.trainer.recipe import Recipe
from nas.trainer.warp import rotated

PRE = Preprocessing(16, 16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
ALL = Recipe(rotation=15, randaugment_ops=2, erasing=1.0, crop_padding=0.25)


def batch(indices: list[int]) -> Batch:
    """The images of these numbers, each always the same."""
    pixels = [np.random.default_rng(i).integers(0, 256, (3, 16, 16), np.uint8) for i in indices]
    return Batch(torch.from_numpy(np.stack(pixels)), torch.tensor(indices) % 4, np.array(indices))


def augmenter(recipe: Recipe = ALL, seed: int = 0) -> Augmenter:
    return Augmenter(recipe, PRE, seed, torch.device("cpu"))


def test_what_happens_to_an_image_depends_on_seed_epoch_and_index_alone() -> None:
    whole = augmenter()(batch(list(range(12))), epoch=3)
    again = augmenter()(batch([11, 4, 7]), epoch=3)
    torch.testing.assert_close(again, whole[[11, 4, 7]])
    assert not torch.allclose(augmenter()(batch([4]), epoch=4), whole[[4]])
    assert not torch.allclose(augmenter(seed=1)(batch([4]), epoch=3), whole[[4]])


def test_without_augmentation_images_are_only_normalised() -> None:
    recipe = Recipe(crop="none", flip="false")
    images = batch([1, 2])
    found = augmenter(recipe)(images, epoch=0)
    expected = torch.from_numpy(PRE.applied(images.pixels.numpy()))
    torch.testing.assert_close(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)


@given(st.integers(0, 2**63), st.integers(0, 10_000), st.integers(0, 2**40))
@settings(max_examples=50, deadline=None)
def test_draws_are_numbers_from_zero_to_below_one(seed: int, epoch: int, index: int) -> None:
    found = draws.uniform(seed, epoch, np.array([index]), "x", 8)
    assert found.shape == (1, 8)
    assert (found >= 0).all()
    assert (found < 1).all()


def test_draws_are_uniform_and_independent() -> None:
    found = draws.uniform(0, 0, np.arange(20_000), "x", 2)
    assert np.abs(found.mean(0) - 0.5).max() < 0.01
    assert np.abs(found.var(0) - 1 / 12).max() < 0.002
    other = draws.uniform(0, 0, np.arange(20_000), "y", 2)
    pairs = np.corrcoef(np.concatenate([found, other], 1).T) - np.eye(4)
    assert np.abs(pairs).max() < 0.03
    assert abs(np.corrcoef(found[1:, 0], found[:-1, 0])[0, 1]) < 0.03


def test_a_rotation_by_a_quarter_turns_the_image() -> None:
    images = torch.rand(2, 3, 8, 8)
    turned = rotated(images, torch.tensor([90.0, 0.0]))
    torch.testing.assert_close(turned[0], torch.rot90(images[0], 1, (1, 2)), atol=1e-4, rtol=0)
    torch.testing.assert_close(turned[1], images[1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("number", range(len(_COLOUR)))
def test_every_operation_keeps_images_images(number: int) -> None:
    images = torch.rand(4, 3, 16, 16)
    for magnitude in (0.0, 5.0, 10.0):
        choice = torch.tensor([[(number + 0.5) / len(_COLOUR), side] for side in (0.1, 0.9, 0.2, 0.8)])
        found = randaugmented(images, choice, magnitude)
        assert found.shape == images.shape
        assert float(found.min()) >= 0
        assert float(found.max()) <= 1


def test_randaugment_of_grayscale() -> None:
    images = torch.rand(64, 1, 16, 16)
    found = randaugmented(images, torch.rand(64, 2), 9.0)
    assert found.shape == images.shape
    assert (found != images).flatten(1).any(1).sum() > 32


def test_erasing_takes_a_rectangle_of_the_allowed_area() -> None:
    torch.manual_seed(0)
    found = erased(torch.ones(200, 3, 32, 32), torch.rand(200, 5), 1.0)
    gone = (found == 0).all(1)
    shares = gone.float().mean((1, 2))
    assert float(shares.min()) > 0.01
    assert float(shares.max()) < 0.36
    for mask in gone[:20]:
        rows, columns = torch.nonzero(mask.any(1))[:, 0], torch.nonzero(mask.any(0))[:, 0]
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert torch.equal(erased(found, torch.rand(200, 5), 0.0), found)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_a_mixed_batch_weighs_both_labels_by_what_is_left_of_each_image(mixup: float, cutmix: float) -> None:
    n = 32
    inputs = torch.arange(n, dtype=torch.float32)[:, None, None, None].expand(n, 3, 16, 16)
    labels = torch.arange(n)
    found, targets = mixing.mixed(inputs, labels, np.arange(n), 0, 0, mixup, cutmix)
    assert targets.others is not None
    assert targets.share is not None
    expected = targets.share * labels + (1 - targets.share) * targets.others
    torch.testing.assert_close(found.mean((1, 2, 3)), expected, atol=1e-3, rtol=1e-4)
    assert float(targets.share.std()) > 0.05


def test_the_mixed_loss_is_the_labels_losses_in_proportion() -> None:
    logits = torch.randn(2, 5)
    one, other = torch.tensor([0, 1]), torch.tensor([2, 3])
    plain = [mixing.loss(logits, mixing.Targets(labels), 0.1) for labels in (one, other)]
    mixed = mixing.loss(logits, mixing.Targets(one, other, torch.tensor([0.25, 0.25])), 0.1)
    assert float(mixed) == pytest.approx(0.25 * float(plain[0]) + 0.75 * float(plain[1]), rel=1e-5)


def test_partial_epochs_share_a_pass_over_all_images() -> None:
    labels = np.zeros(10, np.int64)
    parts = [epoch_order(labels, 0, epoch, fraction=0.5) for epoch in range(4)]
    assert sorted(np.concatenate(parts[:2])) == sorted(np.concatenate(parts[2:])) == list(range(10))
    assert not np.array_equal(np.concatenate(parts[:2]), np.concatenate(parts[2:]))


def test_balanced_epochs_visit_every_class_equally_often() -> None:
    labels = np.array([0] * 90 + [1] * 8 + [2] * 2)
    found = labels[epoch_order(labels, 0, 0, balanced=True)]
    assert len(found) == 100
    assert np.bincount(found).min() >= 32


def test_processes_and_accumulation_share_an_update_without_overlap() -> None:
    order = np.random.default_rng(0).permutation(50)
    whole = updates(order, 16, 0, 0, 1, 1)
    assert len(whole) == 3
    for number, update in enumerate(whole):
        parts = [p for rank in (0, 1) for p in updates(order, 16, 0, rank, 2, 4)[number]]
        assert {len(part) for part in parts} == {2}
        assert np.array_equal(np.concatenate(parts), update[0])
    assert [len(u[0]) for u in updates(np.arange(7), 16, 0, 0, 1, 1)] == [7]  # fewer images than a batch
    assert np.array_equal(updates(order, 16, 2, 0, 1, 1)[0][0], whole[2][0])
