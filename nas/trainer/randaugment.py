"""RandAugment (arXiv 1909.13719): each image gets one of several operations at a common magnitude.

The colour operations are kornia's; magnitudes follow the paper's implementation for ImageNet, 10 being the
strongest. An operation's direction (brighter or darker, left or right) is drawn.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from kornia import enhance
from torch import Tensor

from nas.trainer.warp import rotated, shear_or_shift, warped

Operation = Callable[[Tensor, Tensor], Tensor]
"""Images N×C×H×W from 0 to 1 and signed strengths from −1 to 1 to images."""


def randaugmented(images: Tensor, numbers: Tensor, magnitude: float) -> Tensor:
    """One operation on each image; `numbers`, N×2 from 0 to 1, choose it and its direction."""
    operations = _COLOUR if images.shape[1] == 3 else _GRAY
    choice = (numbers[:, 0] * len(operations)).long()
    strength = torch.where(numbers[:, 1] < 0.5, -1.0, 1.0) * (magnitude / 10)
    result = images.clone()
    for number, operation in enumerate(operations):
        rows = torch.nonzero(choice == number)[:, 0]
        if len(rows):
            there = rows.to(images.device)
            result[there] = operation(images[there], strength[rows].to(images.device)).clamp(0, 1)
    return result


def _identity(images: Tensor, strength: Tensor) -> Tensor:
    return images


def _autocontrast(images: Tensor, strength: Tensor) -> Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp(min=1e-6), images)


def _equalize(images: Tensor, strength: Tensor) -> Tensor:
    return enhance.equalize(images)


def _posterize(images: Tensor, strength: Tensor) -> Tensor:
    return enhance.posterize(images, (8 - (4 * strength.abs()).round()).int())


def _solarize(images: Tensor, strength: Tensor) -> Tensor:
    thresholds = (1 - strength.abs())[:, None, None, None]
    return torch.where(images < thresholds, images, 1 - images)


def _saturation(images: Tensor, strength: Tensor) -> Tensor:
    return enhance.adjust_saturation_with_gray_subtraction(images, 1 + 0.9 * strength)


def _contrast(images: Tensor, strength: Tensor) -> Tensor:
    return enhance.adjust_contrast_with_mean_subtraction(images, 1 + 0.9 * strength)


def _brightness(images: Tensor, strength: Tensor) -> Tensor:
    return enhance.adjust_brightness_accumulative(images, 1 + 0.9 * strength)


def _sharpness(images: Tensor, strength: Tensor) -> Tensor:
    return enhance.sharpness(images, 1 + 0.9 * strength)


def _rotate(images: Tensor, strength: Tensor) -> Tensor:
    return rotated(images, 30 * strength.cpu())


def _along(entry: tuple[int, int], most: float) -> Operation:
    def operation(images: Tensor, strength: Tensor) -> Tensor:
        return warped(images, shear_or_shift(entry, most * strength.cpu()))

    return operation


_GRAY: tuple[Operation, ...] = (
    _identity,
    _autocontrast,
    _equalize,
    _posterize,
    _solarize,
    _contrast,
    _brightness,
    _sharpness,
    _rotate,
    _along((0, 1), 0.3),  # shears
    _along((1, 0), 0.3),
    _along((0, 2), 0.9),  # shifts: the grid is 2 wide, so by up to 45 % of the image
    _along((1, 2), 0.9),
)
_COLOUR = (*_GRAY, _saturation)
