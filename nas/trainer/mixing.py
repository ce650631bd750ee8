"""Mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899): images mixed with their neighbours in the batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor
from torch.nn import functional as F

from nas.trainer import draws
from nas.trainer.erasing import inside
from nas.trainer.order import Indices


@dataclass(frozen=True)
class Targets:
    """Labels, and where images are mixed, the others' labels and each image's own share."""

    labels: Tensor
    others: Tensor | None = None
    share: Tensor | None = None


def loss(logits: Tensor, targets: Targets, label_smoothing: float) -> Tensor:
    """Mean cross-entropy in float32; of a mixed image, both labels' in proportion."""
    logits = logits.float()
    if targets.others is None or targets.share is None:
        return F.cross_entropy(logits, targets.labels, label_smoothing=label_smoothing)
    own, other = (
        F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
        for labels in (targets.labels, targets.others)
    )
    return (targets.share * own + (1 - targets.share) * other).mean()


def mixed(
    inputs: Tensor, labels: Tensor, indices: Indices, seed: int, epoch: int, mixup: float, cutmix: float
) -> tuple[Tensor, Targets]:
    """`inputs` mixed as the two methods' alphas say (0: not at all); a batch gets one of them, by turns of chance."""
    if not mixup and not cutmix:
        return inputs, Targets(labels)
    turn = draws.uniform(seed, epoch, indices[:1], "mixing", 1)[0, 0]
    cuts = bool(cutmix) and (not mixup or turn < 0.5)
    numbers = draws.uniform(seed, epoch, indices, "share", 3)
    share = betaincinv(*[cutmix if cuts else mixup] * 2, numbers[:, 0].astype(np.float64))
    share = np.maximum(share, 1 - share) if not cuts else share
    others = inputs.roll(1, 0)
    if cuts:
        mask, kept = _boxes(torch.from_numpy(share), torch.from_numpy(numbers[:, 1:]), inputs.shape[2:])
        inputs = torch.where(mask[:, None].to(inputs.device), others, inputs)
    else:
        kept = torch.from_numpy(share).float()
        weight = kept.to(inputs.device)[:, None, None, None]
        inputs = weight * inputs + (1 - weight) * others
    return inputs, Targets(labels, labels.roll(1, 0), kept.to(labels.device))


def _boxes(share: Tensor, centres: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
    """Rectangles of about 1 − `share` of the image, and the share that is really left outside them."""
    height, width = size
    side = (1 - share).sqrt()
    h, w = (side * height).round(), (side * width).round()
    top, left = (centres[:, 0] * height - h / 2).round(), (centres[:, 1] * width - w / 2).round()
    mask = inside(top, left, h, w, (height, width))
    return mask, 1 - mask.float().mean((1, 2))
