"""Affine warps of image batches, each image by its own amount; what comes in from outside is black."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def warped(images: Tensor, matrices: Tensor) -> Tensor:
    """N×C×H×W sampled at `matrices`, N×2×3, which map output coordinates to input ones (both −1 to 1)."""
    grid = F.affine_grid(matrices.to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def rotated(images: Tensor, degrees: Tensor) -> Tensor:
    """Square images turned by `degrees`, one each."""
    radians = degrees * (math.pi / 180)
    return warped(images, matrix(cos=radians.cos(), sin=radians.sin()))


def matrix(cos: Tensor, sin: Tensor) -> Tensor:
    """N×2×3 rotations."""
    zeros = torch.zeros_like(cos)
    return torch.stack([torch.stack([cos, -sin, zeros], 1), torch.stack([sin, cos, zeros], 1)], 1)


def shear_or_shift(entry: tuple[int, int], amounts: Tensor) -> Tensor:
    """The identity with `amounts` in one place: (0, 1) and (1, 0) shear, (0, 2) and (1, 2) shift."""
    matrices = torch.eye(2, 3).repeat(len(amounts), 1, 1)
    matrices[:, entry[0], entry[1]] = amounts
    return matrices
