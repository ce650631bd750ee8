"""Accuracy of a network on a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.trainer.loading import Batches
from nas.trainer.order import Indices

EVAL_BATCH = 128


@dataclass(frozen=True)
class Score:
    """Top-1 and top-5 accuracy from 0 to 1 and mean cross-entropy over `images`; `unreadable` were left out."""

    top1: float
    top5: float
    loss: float
    images: int
    unreadable: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@torch.no_grad()
def score(
    network: nn.Module,
    batches: Batches,
    normalise: Callable[[Tensor], Tensor],
    rank: int = 0,
    ranks: int = 1,
    total: Callable[[Tensor], Tensor] = lambda sums: sums,
    confusion: Tensor | None = None,
) -> Score:
    """Score `network`, in float32, on all of `batches`, this process's share; `total` sums over processes.

    `confusion`, classes × classes, is added to where given: rows are the true labels, columns the answers.
    """
    network.eval()
    sums = torch.zeros(5, dtype=torch.float64, device=next(network.parameters()).device)
    for batch in batches.epoch(0, eval_plan(batches.groups, rank, ranks)):
        known = batch.labels >= 0
        logits = network(normalise(batch.pixels)).float()[known]
        labels = batch.labels[known]
        ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
        loss = F.cross_entropy(logits, labels, reduction="sum")
        found = (ranked[:, 0].sum(), ranked.sum(), loss, known.sum(), (~known).sum())
        sums += torch.stack([value.double() for value in found])
        if confusion is not None:
            confusion.index_put_((labels.cpu(), logits.argmax(1).cpu()), torch.tensor(1), accumulate=True)
    first, fifth, losses, images, unreadable = total(sums).tolist()
    seen = max(images, 1.0)
    return Score(first / seen, fifth / seen, losses / seen, int(images), int(unreadable))


def eval_plan(groups: Sequence[Indices], rank: int = 0, ranks: int = 1) -> list[Indices]:
    """Positions for each batch of an evaluation, this process's share of them; a batch is of one group."""
    mine = [group[rank::ranks] for group in groups]
    return [part[at : at + EVAL_BATCH] for part in mine for at in range(0, len(part), EVAL_BATCH)]
