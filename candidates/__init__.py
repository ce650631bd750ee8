"""What an architecture is, and all that is made from one: networks, costs, files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from candidates import zoo
from candidates.architecture import Architecture
from candidates.baseline import Baseline
from candidates.block import Block
from candidates.errors import InputError, RunError
from candidates.layered import Layered

if TYPE_CHECKING:
    from candidates.network import Network

__all__ = ["Architecture", "Baseline", "Block", "InputError", "Layered", "RunError", "build", "zoo"]


def build(arch: Layered, seed: int = 0, dropout: float = 0.2) -> Network:
    """The PyTorch network of `arch`, in training mode; input N×C×H×W float32, output N×classes logits.

    `seed` alone decides the weights. torch takes seconds to import, so that waits until here.
    """
    from candidates.network import build_network

    return build_network(arch.spec(), seed, dropout)
