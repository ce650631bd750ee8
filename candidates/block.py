"""A block of identical layers, as text.

The grammar is that of the MnasNet reference (tensorflow/tpu, models/official/mnasnet), where a block is
`r1_k3_s11_e1_i32_o16_se0.25_noskip`: repeats, kernel, stride by height and width, expansion, input and
output channels, squeeze-and-excite ratio, and no identity skip. Three things are added: `conv` (a plain
convolution in place of the inverted bottleneck), `pool` (a skip that always connects) and the name of an
activation other than ReLU. `dsconv` is read as what it is, an expansion of 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from candidates import checks
from candidates.errors import InputError

OPERATIONS = ("conv", "mbconv")
SKIPS = ("none", "identity", "pool")
ACTIVATIONS = ("relu", "relu6", "hswish", "swish")

_MOST = {
    "repeats": 10_000,
    "kernel": 999,
    "expansion": 1000,
    "in_channels": 1_000_000,
    "out_channels": 1_000_000,
}


@dataclass(frozen=True)
class Block:
    """A group of `repeats` layers; only the first has the stride and changes the channels.

    `operation` is `mbconv` (1×1 expansion, depthwise convolution, linear 1×1 projection; an expansion of 1
    is a depthwise-separable convolution) or `conv` (one k×k convolution). `se` is the squeeze-and-excite
    ratio to the layer's input channels, 0 for none. `skip` is `identity` (where the shape allows), `pool`
    (average pooling and a 1×1 projection where the shape changes, so that it always connects) or `none`.
    """

    repeats: int
    kernel: int
    stride: tuple[int, int]
    expansion: int
    in_channels: int
    out_channels: int
    se: float = 0.0
    skip: str = "identity"
    operation: str = "mbconv"
    activation: str = "relu"

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            checks.integer(name, getattr(self, name), maximum=most)
        if self.kernel % 2 == 0:
            raise InputError(f"kernel is {self.kernel}; expected an odd number, so that padding is symmetric")
        if (
            not isinstance(self.stride, tuple)
            or len(self.stride) != 2
            or any(s not in (1, 2) for s in self.stride)
        ):
            raise InputError(f"stride is {self.stride}; expected (height, width), each 1 or 2")
        checks.number("se", self.se, 0.0, 1.0)
        checks.one_of("skip", self.skip, SKIPS)
        checks.one_of("operation", self.operation, OPERATIONS)
        checks.one_of("activation", self.activation, ACTIVATIONS)
        if self.operation == "conv" and (self.expansion != 1 or self.se):
            raise InputError("a plain convolution (conv) has expansion 1 and no squeeze-and-excite")

    @classmethod
    def parse(cls, text: str) -> Block:
        """Read a block string; an InputError quotes the wrong token and says what was expected."""
        if not isinstance(text, str):
            raise InputError(
                f"block {checks.shown(text)} is not text; expected a block string such as r1_k3_s11_e1_i32_o16"
            )
        values: dict[str, Any] = {}
        for token in text.split("_"):
            field, value = _parse_token(text, token)
            if field in values:
                raise InputError(
                    f"block {checks.shown(text)}: token {checks.shown(token)} sets {field} a second time"
                )
            values[field] = value
        separable = values.get("operation") == "dsconv"
        if separable:
            values["operation"] = "mbconv"
        if separable or values.get("operation") == "conv":
            values.setdefault("expansion", 1)
        if separable and values["expansion"] != 1:
            raise InputError(
                f"block {checks.shown(text)}: a depthwise-separable block (dsconv) has expansion 1"
            )
        for field, letter in _REQUIRED.items():
            if field not in values:
                raise InputError(
                    f"block {checks.shown(text)} has no token for {field}; expected {letter}, as in {_EXAMPLE}"
                )
        try:
            return cls(**values)
        except InputError as error:
            raise InputError(f"block {checks.shown(text)}: {error}") from None

    def __str__(self) -> str:
        tokens = [
            f"r{self.repeats}_k{self.kernel}_s{self.stride[0]}{self.stride[1]}",
            f"e{self.expansion}_i{self.in_channels}_o{self.out_channels}",
        ]
        if self.se:
            tokens.append(f"se{self.se!r}")
        if self.skip != "identity":
            tokens.append({"none": "noskip", "pool": "pool"}[self.skip])
        if self.operation != "mbconv":
            tokens.append(self.operation)
        if self.activation != "relu":
            tokens.append(self.activation)
        return "_".join(tokens)


_EXAMPLE = "r1_k3_s11_e1_i32_o16_se0.25_noskip"
_REQUIRED = {
    "repeats": "r and a whole number",
    "kernel": "k and an odd number",
    "stride": "s and two digits",
    "expansion": "e and a whole number",
    "in_channels": "i and a whole number",
    "out_channels": "o and a whole number",
}
_WORDS = {
    "noskip": ("skip", "none"),
    "pool": ("skip", "pool"),
    "conv": ("operation", "conv"),
    "dsconv": ("operation", "dsconv"),
    "mbconv": ("operation", "mbconv"),
    **{name: ("activation", name) for name in ACTIVATIONS},
}


def _stride(digits: str) -> tuple[int, int]:
    return int(digits[0]), int(digits[1])


# letter: field, what its value looks like, how to read it, what to say when it does not fit
_LETTERS: dict[str, tuple[str, re.Pattern[str], Callable[[str], Any], str]] = {
    "r": ("repeats", re.compile(r"[1-9]\d{0,5}", re.ASCII), int, "a whole number above 0, such as r3"),
    "k": ("kernel", re.compile(r"\d{0,2}[13579]", re.ASCII), int, "an odd number, such as k3"),
    "s": (
        "stride",
        re.compile(r"[12]{2}", re.ASCII),
        _stride,
        "two digits of 1 or 2 (height, width), such as s22",
    ),
    "e": ("expansion", re.compile(r"[1-9]\d{0,5}", re.ASCII), int, "a whole number above 0, such as e6"),
    "i": ("in_channels", re.compile(r"[1-9]\d{0,5}", re.ASCII), int, "a whole number above 0, such as i16"),
    "o": ("out_channels", re.compile(r"[1-9]\d{0,5}", re.ASCII), int, "a whole number above 0, such as o24"),
    "se": ("se", re.compile(r"\d+(\.\d+)?(e-?\d+)?", re.ASCII), float, "a ratio from 0 to 1, such as se0.25"),
}


def _parse_token(text: str, token: str) -> tuple[str, Any]:
    if token in _WORDS:
        return _WORDS[token]
    for letters in ("se", token[:1]):
        if letters and token.startswith(letters) and letters in _LETTERS:
            field, pattern, read, expected = _LETTERS[letters]
            value = token[len(letters) :]
            if not pattern.fullmatch(value) or not math.isfinite(float(value)):
                raise InputError(
                    f"block {checks.shown(text)}: token {checks.shown(token)}: expected {expected}"
                )
            return field, read(value)
    raise InputError(
        f"block {checks.shown(text)}: token {checks.shown(token)} is unknown; expected r, k, s, e, i, o or se with a value, "
        f"or one of {', '.join(sorted(_WORDS))}, as in {_EXAMPLE}"
    )
