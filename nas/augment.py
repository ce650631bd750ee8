"""Augmentation of image batches on the device that trains on them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def draw_crops(count: int, padding: int, flip: bool, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What `crop_flip` is to do with `count` images: shifts of up to `padding` pixels, half of them mirrored.

    `generator` is on the CPU, so that the same seed gives the same crops on every device.
    """
    offsets = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=generator)
    return offsets, torch.rand(count, 1, generator=generator) < (0.5 if flip else 0.0)


def crop_flip(images: Tensor, padding: int, offsets: Tensor, mirrored: Tensor) -> Tensor:
    """Windows into `images` (N×C×H×W) padded with zeros on every side, mirrored where `mirrored` (N×1) says so.

    `offsets`, 2×N×1, are each window's first row and column, from 0 to twice `padding`; both on one device.
    """
    n, _, height, width = images.shape
    rows = torch.arange(height, device=offsets.device) + offsets[0]
    columns = torch.arange(width, device=offsets.device).expand(n, width)
    columns = torch.where(mirrored, columns.flip(1), columns) + offsets[1]
    rows, columns = (index.to(images.device, non_blocking=True) for index in (rows, columns))
    padded = F.pad(images, (padding,) * 4)
    batch = torch.arange(n, device=images.device)[:, None, None]
    # Channels last while gathering: one pixel's channels are then copied together.
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
