"""From a batch of bytes to the network's input, on the device: crop, flip, rotate, augment, normalise, erase."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from candidates.preprocessing import Preprocessing
from nas.augment import crop_flip
from nas.trainer import draws
from nas.trainer.erasing import erased
from nas.trainer.loading import Batch
from nas.trainer.randaugment import randaugmented
from nas.trainer.recipe import Recipe
from nas.trainer.schedules import at_epoch
from nas.trainer.warp import rotated


class Augmenter:
    """Augments training images as a recipe says; what happens to one is decided by seed, epoch and its index."""

    def __init__(self, recipe: Recipe, preprocessing: Preprocessing, seed: int, device: torch.device) -> None:
        self._recipe, self._seed = recipe, seed
        self._padding = (
            round(recipe.crop_padding * preprocessing.resolution) if recipe.crop == "padded" else 0
        )
        # Photographs stand being mirrored; grayscale images are often of writing, which does not.
        self._flip = len(preprocessing.mean) == 3 if recipe.flip == "auto" else recipe.flip == "true"
        self.normalise = Normaliser(preprocessing, device)

    def __call__(self, batch: Batch, epoch: int) -> Tensor:
        """N×C×S×S float32, normalised, channels last in memory where the recipe says so.

        S is the network's input size, or the size of the epoch where the recipe has a table of sizes.
        """
        recipe = self._recipe

        def uniform(name: str, count: int) -> Tensor:
            return torch.from_numpy(draws.uniform(self._seed, epoch, batch.indices, name, count))

        pixels = batch.pixels
        if self._padding or self._flip:
            numbers = uniform("shift", 3)
            offsets = (numbers[:, :2].T[..., None] * (2 * self._padding + 1)).long()
            mirrored = numbers[:, 2:] < (0.5 if self._flip else 0.0)
            pixels = crop_flip(pixels, self._padding, offsets, mirrored)
        if recipe.rotation or recipe.randaugment_ops:
            images = pixels.float() / 255
            if recipe.rotation:
                degrees = (2 * uniform("rotation", 1)[:, 0] - 1) * recipe.rotation
                images = rotated(images, degrees)
            for number in range(recipe.randaugment_ops):
                choice = uniform(f"randaugment {number}", 2)
                images = randaugmented(images, choice, recipe.randaugment_magnitude)
            pixels = (images * 255).clamp_(0, 255)
        inputs = self.normalise(pixels, recipe.channels_last)
        if recipe.erasing:
            inputs = erased(inputs, uniform("erasing", 5), recipe.erasing)
        size = inputs.shape[-1] if recipe.image_sizes is None else round(at_epoch(recipe.image_sizes, epoch))
        if size == inputs.shape[-1]:
            return inputs
        return F.interpolate(inputs, size, mode="bilinear", antialias=True)


class Normaliser:
    """Bytes to float32 with the training images' mean 0 and deviation 1."""

    def __init__(self, preprocessing: Preprocessing, device: torch.device) -> None:
        mean, std = (
            np.array(values, np.float32).reshape(1, -1, 1, 1)
            for values in (preprocessing.mean, preprocessing.std)
        )
        self._scale = torch.from_numpy(1 / (255 * std)).to(device)
        self._shift = torch.from_numpy(-mean / std).to(device)

    def __call__(self, pixels: Tensor, channels_last: bool = True) -> Tensor:
        """Normalise N×C×H×W values from 0 to 255."""
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return torch.addcmul(self._shift, pixels.float(), self._scale).contiguous(memory_format=layout)
