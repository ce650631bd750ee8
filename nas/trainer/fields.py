"""What each setting of a recipe may be: a function from name and value to the checked value."""

from __future__ import annotations

from collections.abc import Callable

from candidates import checks
from candidates.errors import InputError

Kind = Callable[[str, object], object]

OPTIMIZERS = ("sgd", "rmsprop-tf", "adam", "adamw")
SCHEDULES = ("constant", "cosine", "one-cycle", "plateau", "exponential", "cyclical", "linear", "table")
PRECISIONS = ("float32", "bfloat16", "float16")
CROPS = ("resized", "padded", "none")
INTERPOLATIONS = ("bilinear", "bicubic")
_MOST = 1_000_000


def _whole(minimum: int = 1, maximum: int = _MOST) -> Kind:
    return lambda name, value: checks.integer(name, value, minimum, maximum)


def _number(minimum: float = 0.0, maximum: float = float(_MOST)) -> Kind:
    return lambda name, value: checks.number(name, _numeric(value), minimum, maximum)


def _positive(name: str, value: object) -> object:
    return checks.positive(name, checks.number(name, _numeric(value), -float(_MOST), float(_MOST)))


def _numeric(value: object) -> object:
    """YAML 1.1 reads 1e-5 as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _word(*allowed: str) -> Kind:
    return lambda name, value: checks.one_of(name, value, allowed)


def _truth(name: str, value: object) -> object:
    if not isinstance(value, bool):
        raise InputError(f"{name} is {checks.shown(value)}; expected true or false")
    return value


def _maybe(kind: Kind) -> Kind:
    return lambda name, value: None if value is None else kind(name, value)


def _flip(name: str, value: object) -> object:
    # YAML reads a bare true or false as a truth value.
    word = {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value
    return checks.one_of(name, word, ("auto", "true", "false"))


def _range(minimum: float, maximum: float) -> Kind:
    def check(name: str, value: object) -> object:
        items = list(value) if isinstance(value, tuple | list) else []
        if len(items) != 2:
            raise InputError(f"{name} is {checks.shown(value)}; expected two numbers, such as [0.5, 1.0]")
        low, high = (checks.number(name, _numeric(item), minimum, maximum) for item in items)
        if low > high:
            raise InputError(f"{name} is {checks.shown(value)}; expected the smaller number first")
        return (low, high)

    return check


def _table(name: str, value: object) -> object:
    rows = list(value) if isinstance(value, tuple | list) else []
    if not rows or not all(isinstance(row, tuple | list) and len(row) == 2 for row in rows):
        raise InputError(f"{name} is {checks.shown(value)}; expected pairs such as [[1, 0.01], [19, 0.005]]")
    table = tuple(
        (
            checks.number(f"{name}'s epoch", _numeric(row[0]), 1.0, float(_MOST)),
            checks.number(f"{name}'s value", _numeric(row[1]), 0.0, float(_MOST)),
        )
        for row in rows
    )
    if [epoch for epoch, _ in table] != sorted({epoch for epoch, _ in table}) or table[0][0] != 1.0:
        raise InputError(f"{name} is {checks.shown(value)}; expected rising epochs that begin with 1")
    return table


_SHARE = _number(0.0, 1.0)

KINDS: dict[str, Kind] = {
    "epochs": _whole(),
    "batch": _whole(2),
    "accumulate": _whole(),
    "precision": _word(*PRECISIONS),
    "channels_last": _truth,
    "compile": _truth,
    "optimizer": _word(*OPTIMIZERS),
    "lr": _positive,
    "lr_batch": _maybe(_whole()),
    "momentum": _number(0.0, 0.9999),
    "nesterov": _truth,
    "beta2": _number(0.0, 0.999999),
    "rms_decay": _number(0.0, 0.999999),
    "epsilon": _positive,
    "weight_decay": _SHARE,
    "weight_decay_table": _maybe(_table),
    "decay_norm_and_bias": _truth,
    "clip_norm": _maybe(_positive),
    "schedule": _word(*SCHEDULES),
    "warmup_epochs": _number(),
    "min_lr": _number(),
    "decay_factor": _number(1e-6, 1.0),
    "decay_epochs": _positive,
    "staircase": _truth,
    "rise": _number(0.0, 0.99),
    "patience": _whole(0),
    "cycle_epochs": _positive,
    "lr_table": _maybe(_table),
    "ema_decay": _maybe(_number(0.0, 0.999999)),
    "label_smoothing": _number(0.0, 0.99),
    "dropout": _number(0.0, 0.99),
    "stochastic_depth": _number(0.0, 0.99),
    "mixup": _number(0.0, 100.0),
    "cutmix": _number(0.0, 100.0),
    "bn_momentum": _number(1e-4, 1.0),
    "bn_reestimate": _truth,
    "zero_classifier": _truth,
    "crop": _word(*CROPS),
    "crop_padding": _number(0.0, 0.5),
    "crop_area": _range(0.001, 1.0),
    "crop_ratio": _range(0.1, 10.0),
    "interpolation": _word(*INTERPOLATIONS),
    "flip": _flip,
    "rotation": _number(0.0, 180.0),
    "randaugment_ops": _whole(0, 10),
    "randaugment_magnitude": _number(0.0, 10.0),
    "erasing": _SHARE,
    "eval_crop": _maybe(_number(0.1, 1.0)),
    "eval_shapes": _whole(1, 100),
    "image_sizes": _maybe(_table),
    "teacher_weight": _SHARE,
    "teacher_temperature": _number(0.1, 100.0),
    "epoch_fraction": _number(0.001, 1.0),
    "balanced": _truth,
    "keep_best": _whole(0, 1000),
}
