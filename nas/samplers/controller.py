"""MnasNet's controller: an LSTM that emits a point choice by choice, and its update by PPO.

Tan et al., arXiv 1807.11626v3, section 4.3; Schulman et al., Proximal Policy Optimization, arXiv 1707.06347.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

HIDDEN = 64
RATE = 0.01  # of Adam; a hundred trials leave ten updates
EPOCHS = 8  # passes over a batch
CLIP = 0.2
ENTROPY = 0.01


class Controller(nn.Module):
    """The policy over sequences with `sizes[i]` values at step i; `seed` alone decides its first weights."""

    def __init__(self, sizes: Sequence[int], seed: int) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        # What was chosen last goes in: one row for each value of each choice, and one to begin with.
        self.embedding = nn.Embedding(1 + sum(sizes), HIDDEN)
        self.cell = nn.LSTMCell(HIDDEN, HIDDEN)
        self.heads = nn.ModuleList(nn.Linear(HIDDEN, size) for size in sizes)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-0.1, 0.1, generator=generator)
            for head in self.heads:
                for parameter in head.parameters():
                    parameter.zero_()  # the first draws are uniform

    def sample(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """`count` sequences of indices (count × choices), drawn with `rng`."""
        drawn = np.zeros((count, len(self.sizes)), dtype=np.int64)
        with torch.no_grad():
            given, state = self._begin(count)
            for step in range(len(self.sizes)):
                state = self.cell(self.embedding(given), state)
                chances = self.heads[step](state[0]).double().softmax(dim=1).numpy()
                reached = chances.cumsum(axis=1) < rng.random((count, 1))
                drawn[:, step] = np.minimum(reached.sum(axis=1), self.sizes[step] - 1)
                given = self._token(step, torch.from_numpy(drawn[:, step]))
        return drawn

    def assess(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability (n) of sequences (n × choices), and the mean entropy of their steps."""
        given, state = self._begin(len(indices))
        total, entropy = torch.zeros(len(indices)), torch.zeros(())
        for step in range(len(self.sizes)):
            state = self.cell(self.embedding(given), state)
            logs = self.heads[step](state[0]).log_softmax(dim=1)
            total = total + logs.gather(1, indices[:, step : step + 1])[:, 0]
            entropy = entropy - (logs.exp() * logs).sum(dim=1).mean() / len(self.sizes)
            given = self._token(step, indices[:, step])
        return total, entropy

    def _begin(self, count: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        blank = torch.zeros(count, HIDDEN)
        return torch.zeros(count, dtype=torch.int64), (blank, blank)

    def _token(self, step: int, indices: Tensor) -> Tensor:
        return 1 + sum(self.sizes[:step]) + indices


def update(
    controller: Controller,
    optimizer: torch.optim.Optimizer,
    indices: NDArray[np.int64],
    advantages: Sequence[float],
) -> None:
    """EPOCHS passes of PPO's clipped objective with an entropy bonus over one batch."""
    sequences, gains = torch.from_numpy(indices), torch.tensor(advantages, dtype=torch.float32)
    with torch.no_grad():
        before, _ = controller.assess(sequences)
    for _ in range(EPOCHS):
        logs, entropy = controller.assess(sequences)
        ratio = (logs - before).exp()
        clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
        loss = -torch.minimum(ratio * gains, clipped * gains).mean() - ENTROPY * entropy
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
