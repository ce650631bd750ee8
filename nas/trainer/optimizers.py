"""The recipe's optimiser."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from nas.trainer.recipe import Recipe
from nas.trainer.rmsprop import RMSpropTF


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """The optimiser with its parameters in one or two groups; `decayed` says which weight decay applies to.

    Biases and batch normalisation are not decayed unless the recipe says so.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    every = recipe.decay_norm_and_bias
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1 or every], "decayed": True},
        {
            "params": [p for p in parameters if not (p.ndim > 1 or every)],
            "decayed": False,
            "weight_decay": 0.0,
        },
    ]
    groups = [group for group in groups if group["params"]]
    # Fused kernels undo float16's loss scale themselves, which clipping gradients does not go with.
    fused = recipe.precision != "float16"
    if recipe.optimizer == "sgd":
        nesterov = recipe.nesterov and recipe.momentum > 0
        return torch.optim.SGD(groups, recipe.peak_lr, recipe.momentum, nesterov=nesterov, fused=fused)
    if recipe.optimizer == "rmsprop-tf":
        return RMSpropTF(groups, recipe.peak_lr, recipe.rms_decay, recipe.momentum, recipe.epsilon)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    betas = (recipe.momentum, recipe.beta2)
    return kind(groups, recipe.peak_lr, betas, recipe.epsilon, weight_decay=0.0, fused=fused)


def set_rates(optimizer: Optimizer, lr: float, weight_decay: float) -> None:
    """Set the learning rate of every group, and the weight decay of those that have one."""
    for group in optimizer.param_groups:
        group["lr"] = lr
        if group["decayed"]:
            group["weight_decay"] = weight_decay
