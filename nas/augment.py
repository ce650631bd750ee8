"""Augmentation of image batches on the device that trains on them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def random_crop_flip(images: Tensor, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Shift each image by up to `padding` pixels, zeros coming in, and mirror half of them.

    `images` is N×C×H×W and keeps its type; `generator` is on the CPU, so that the same seed gives the same
    crops on every device.
    """
    n = len(images)
    offsets = torch.randint(0, 2 * padding + 1, (2, n, 1), generator=generator)
    mirrored = torch.rand(n, 1, generator=generator) < (0.5 if flip else 0.0)
    return crop_flip(images, padding, offsets, mirrored)


def crop_flip(images: Tensor, padding: int, offsets: Tensor, mirrored: Tensor) -> Tensor:
    """Windows into `images` padded with zeros on every side, mirrored where `mirrored` (N×1) says so.

    `offsets`, 2×N×1, are each window's first row and column, from 0 to twice `padding`; both on the CPU.
    """
    n, _, height, width = images.shape
    rows = torch.arange(height) + offsets[0]
    columns = torch.arange(width).expand(n, width)
    columns = torch.where(mirrored, columns.flip(1), columns) + offsets[1]
    rows, columns = (index.to(images.device, non_blocking=True) for index in (rows, columns))
    padded = F.pad(images, (padding,) * 4)
    batch = torch.arange(n, device=images.device)[:, None, None]
    # Channels last while gathering: one pixel's channels are then copied together.
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
