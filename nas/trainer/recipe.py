"""A full training's settings: a flat list of named values, read strictly from YAML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from candidates import checks
from candidates.errors import InputError
from candidates.files import expanded, read_text
from nas.trainer import fields as kinds

FORMAT = 1
_FOLDER = Path(__file__).parent.parent / "recipes"

Table = tuple[tuple[float, float], ...]
"""Values by epoch: (first epoch, counted from 1; value from then on)."""


@dataclass(frozen=True)
class Recipe:
    """Every setting of a full training; docs/training.md says what each does.

    `batch` is the number of images in an update, all devices and accumulation steps together; `lr` holds for
    a batch of `lr_batch` and scales with `batch` (no `lr_batch`: it does not scale).
    """

    epochs: int = 60
    batch: int = 128
    accumulate: int = 1
    precision: str = "float32"
    channels_last: bool = True
    compile: bool = False

    optimizer: str = "sgd"
    lr: float = 0.1
    lr_batch: int | None = 256
    momentum: float = 0.9
    nesterov: bool = True
    beta2: float = 0.999
    rms_decay: float = 0.9
    epsilon: float = 1e-3
    weight_decay: float = 5e-4
    weight_decay_table: Table | None = None
    decay_norm_and_bias: bool = False
    clip_norm: float | None = None

    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    min_lr: float = 0.0
    decay_factor: float = 0.97
    decay_epochs: float = 2.4
    staircase: bool = True
    rise: float = 0.3
    patience: int = 5
    cycle_epochs: float = 10.0
    lr_table: Table | None = None

    ema_decay: float | None = None
    label_smoothing: float = 0.0
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    bn_momentum: float = 0.1
    bn_reestimate: bool = False
    zero_classifier: bool = True

    crop: str = "padded"
    crop_padding: float = 0.125
    crop_area: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bilinear"
    flip: str = "auto"
    rotation: float = 0.0
    randaugment_ops: int = 0
    randaugment_magnitude: float = 9.0
    erasing: float = 0.0
    eval_crop: float | None = 1.0
    eval_shapes: int = 1

    image_sizes: Table | None = None
    teacher_weight: float = 0.5
    teacher_temperature: float = 2.0
    epoch_fraction: float = 1.0
    balanced: bool = False
    keep_best: int = 3

    def __post_init__(self) -> None:
        for field in fields(self):
            value = kinds.KINDS[field.name](field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if self.schedule == "table" and self.lr_table is None:
            raise InputError(
                "schedule is 'table' but there is no lr_table; expected [[1, 0.01], [19, 0.005], …]"
            )
        if self.image_sizes is not None and min(size for _, size in self.image_sizes) < 8:
            raise InputError(
                f"image_sizes is {_plain(self.image_sizes)}; expected sizes of at least 8 pixels"
            )
        if self.warmup_epochs > self.epochs:
            raise InputError(
                f"warmup_epochs is {self.warmup_epochs:g}; expected at most the {self.epochs} epochs "
                "(--epochs shortens it in proportion)"
            )
        if self.batch % self.accumulate:
            raise InputError(
                f"accumulate is {self.accumulate}; expected a divisor of the batch of {self.batch}"
            )

    @property
    def peak_lr(self) -> float:
        """The learning rate that the schedule's factors multiply, for this recipe's batch."""
        return self.lr if self.lr_batch is None else self.lr * self.batch / self.lr_batch

    def to_dict(self) -> dict[str, Any]:
        """Plain values, tuples as lists."""
        return {"format": FORMAT, **{name: _plain(value) for name, value in asdict(self).items()}}

    def to_yaml(self) -> str:
        """The resolved recipe, which `load` reads back to an equal one."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False, default_flow_style=None, allow_unicode=True)

    def with_values(self, values: Mapping[str, object]) -> Recipe:
        """This recipe with some of its values replaced; InputError for an unknown one or a wrong value."""
        given = dict(values)
        checks.known_keys("the recipe", given, [field.name for field in fields(self)])
        return replace(self, **given)  # type: ignore[arg-type] # __post_init__ checks the values


def shortened(recipe: Recipe, epochs: int) -> Recipe:
    """`recipe` in that many epochs; a warm-up that would take more than a quarter of them takes a quarter."""
    return replace(recipe, epochs=epochs, warmup_epochs=min(recipe.warmup_epochs, epochs / 4))


def names() -> tuple[str, ...]:
    """The recipes that come with this package."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def load(text: str) -> Recipe:
    """The recipe of that name, or in that YAML file; an InputError names file, key, value and what is allowed."""
    if text in names():
        path = _FOLDER / f"{text}.yaml"
    else:
        path = expanded("recipe", text)
        if not path.is_file() and not path.suffix:
            checks.one_of("recipe", text, names())
    return _parse(read_text(path), str(path))


def _parse(content: str, where: str) -> Recipe:
    try:
        values = checks.mapping("the recipe", yaml.safe_load(content))
        checks.format_number("the recipe", values, FORMAT)
        return Recipe().with_values({key: value for key, value in values.items() if key != "format"})
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{where} cannot be read as YAML: {reason}") from None


def overridden(recipe: Recipe, settings: Iterable[str]) -> Recipe:
    """`recipe` with each `key=value` of `settings`; the value is YAML."""
    values: dict[str, object] = {}
    for setting in settings:
        key, sign, text = setting.partition("=")
        if not sign:
            raise InputError(f"--set {setting} has no '='; expected key=value, such as --set lr=0.05")
        try:
            values[key.strip()] = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError, ValueError):
            raise InputError(f"--set {setting}: {text!r} cannot be read as a YAML value") from None
    try:
        return recipe.with_values(values)
    except InputError as error:
        raise InputError(f"--set: {error}") from None


def _plain(value: object) -> object:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
