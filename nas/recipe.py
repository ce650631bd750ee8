"""A training's settings."""

from __future__ import annotations

from dataclasses import dataclass

from candidates import checks


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum under a one-cycle learning rate: the proxy's.

    `peak_lr` holds for a batch of 64 and scales with the batch. Weight decay leaves out biases and batch
    normalisation. `flip` mirrors images, which colour photographs stand and digits do not (None: colour
    images only). `zero_classifier` starts the classifier at zero: the reference's initialisation is made for
    1000 classes and gives ten of them logits so large that a short training spends its steps undoing them.
    """

    epochs: int = 5
    batch: int = 32
    peak_lr: float = 0.03
    warmup: float = 0.3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    dropout: float = 0.0
    crop_padding: float = 1 / 8
    flip: bool | None = None
    zero_classifier: bool = True

    def __post_init__(self) -> None:
        checks.integer("epochs", self.epochs)
        checks.integer("batch", self.batch, minimum=2)
        checks.positive("peak_lr", self.peak_lr)
        checks.number("warmup", self.warmup, 0.0, 1.0)
        for name in ("momentum", "weight_decay", "label_smoothing", "dropout", "crop_padding"):
            checks.number(name, getattr(self, name), 0.0, 1.0)
