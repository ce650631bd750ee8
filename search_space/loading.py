"""Spaces as YAML: those that come with the toolkit by name, a user's by path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from candidates import checks
from candidates.block import ACTIVATIONS, SKIPS
from candidates.errors import InputError
from candidates.files import expanded, read_text
from search_space.choice import Value
from search_space.options import NAMES, OPERATIONS, BlockOptions
from search_space.space import SETTINGS, FactorizedSpace

FORMAT = 1
_FOLDER = Path(__file__).parent / "spaces"
_MOST_OPTIONS = 100_000  # combinations in one block, since a block's networks are listed in a table


def space_names() -> tuple[str, ...]:
    """The names that `load_space` knows."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def load_space(name: str) -> FactorizedSpace:
    """The space called `name`, or that of a YAML file's path; an InputError gives file, key and value."""
    return parse_space(space_text(name), name)


def space_text(name: str) -> str:
    """The YAML of the space called `name`, or of a file's path."""
    path = expanded("the space", name)
    if path.suffix not in (".yaml", ".yml"):
        path = _FOLDER / f"{checks.one_of('the space', name, space_names())}.yaml"
    return read_text(path)


def parse_space(text: str, origin: str) -> FactorizedSpace:
    """A space from its YAML; `origin` is named in errors."""
    try:
        return _space(_parse(text), Path(origin).stem)
    except InputError as error:
        raise InputError(f"{origin}: {error}") from None


class _StrictLoader(yaml.SafeLoader):
    """Safe loading that also refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise InputError(
                        f"line {key.start_mark.line + 1}: the key {checks.shown(key.value)} is there twice"
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_text(self, node: Any) -> object:
        """A scalar as it is written."""
        return self.construct_scalar(node)


# A space has no dates, and PyYAML's reading of them fails in more ways than one.
_StrictLoader.add_constructor("tag:yaml.org,2002:timestamp", _StrictLoader.construct_text)


def _parse(text: str) -> dict[str, object]:
    try:
        values = yaml.load(text, _StrictLoader)
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # A number of thousands of digits is a ValueError.
        raise InputError(f"is not YAML: {' '.join(str(error).split())[:200]}") from None
    return checks.mapping("the file", values)


def _space(values: dict[str, object], default_name: str) -> FactorizedSpace:
    checks.format_number("the space", values, FORMAT)
    checks.known_keys("the space", values, ["format", "name", "choices", "blocks", *SETTINGS])
    settings = {name: values[name] for name in SETTINGS if name in values}
    checks.integer("stem", settings.get("stem", SETTINGS["stem"]))
    shared = _choices("choices", values.get("choices", {}))
    rows = checks.sequence("blocks", values.get("blocks"))
    if not rows:
        raise InputError("blocks is empty; expected at least one block")
    activation = checks.one_of("activation", values.get("activation", SETTINGS["activation"]), ACTIVATIONS)
    blocks = tuple(_block(i, row, shared, activation) for i, row in enumerate(rows, start=1))
    space = FactorizedSpace(checks.text("name", values.get("name", default_name)), blocks, settings)
    _try_values(space)
    return space


def _try_values(space: FactorizedSpace) -> None:
    """Refuse here, with the file, settings and values that no architecture can have."""
    first = {choice.name: choice.values[0] for choice in space.choices}
    space.decode(first)
    for choice in space.choices:
        for value in choice.values[1:]:
            space.decode({**first, choice.name: value})


def _block(number: int, row: object, shared: dict[str, tuple[Value, ...]], activation: str) -> BlockOptions:
    where = f"blocks[{number}]"
    values = checks.mapping(where, row)
    checks.known_keys(where, values, ["stride", "channels", "layers", "choices"])
    for key in ("stride", "channels", "layers"):
        if key not in values:
            raise InputError(f"{where} has no {key}; expected a whole number")
    stride = checks.integer(f"{where}.stride", values["stride"], maximum=2)
    options = {**shared, **_choices(f"{where}.choices", values.get("choices", {}))}
    if "op" not in options:
        raise InputError(f"{where} has no choice op; expected a list such as [mbconv3, mbconv6]")
    if "mbconv" in options["op"] and "expansion" not in options:
        raise InputError(f"{where}: the operation mbconv needs a choice expansion, such as [3, 6]")
    if "expansion" in options and "mbconv" not in options["op"]:
        raise InputError(f"{where}: the choice expansion has no effect without the operation mbconv")
    block = BlockOptions(
        number=number,
        stride=(stride, stride),
        channels=checks.integer(f"{where}.channels", values["channels"], maximum=100_000),
        layers=checks.integer(f"{where}.layers", values["layers"], maximum=1000),
        values=options,
        activation=activation,
    )
    if block.size > _MOST_OPTIONS:
        raise InputError(f"{where} has {block.size:,} combinations; expected at most {_MOST_OPTIONS:,}")
    return block


def _choices(where: str, values: object) -> dict[str, tuple[Value, ...]]:
    found = checks.mapping(where, values)
    checks.known_keys(where, found, NAMES)
    return {name: _values(f"{where}.{name}", name, found[name]) for name in NAMES if name in found}


def _values(where: str, name: str, values: object) -> tuple[Value, ...]:
    listed = checks.sequence(where, values)
    if not listed:
        raise InputError(f"{where} is empty; expected at least one value")
    checked = tuple(_CHECKS[name](f"{where}[{i}]", value) for i, value in enumerate(listed, start=1))
    if len(set(checked)) != len(checked):
        raise InputError(f"{where} has a value twice in {list(checked)}")
    return checked


def _operation(where: str, value: object) -> Value:
    if not isinstance(value, str) or not OPERATIONS.fullmatch(value):
        raise InputError(
            f"{where} is {checks.shown(value)}; expected conv, dsconv, mbconv or mbconv<expansion>"
        )
    return value


def _kernel(where: str, value: object) -> Value:
    kernel = checks.integer(where, value, maximum=99)
    if kernel % 2 == 0:
        raise InputError(f"{where} is {kernel}; expected an odd number")
    return kernel


def _delta(where: str, value: object) -> Value:
    return checks.integer(where, value, minimum=-1000, maximum=1000)


def _width(where: str, value: object) -> Value:
    checks.positive(where, value)
    return checks.number(where, value, maximum=1e4)


_CHECKS: dict[str, Callable[[str, object], Value]] = {
    "op": _operation,
    "expansion": lambda where, value: checks.integer(where, value, maximum=99),
    "kernel": _kernel,
    "se": lambda where, value: checks.number(where, value, 0.0, 1.0),
    "skip": lambda where, value: checks.one_of(where, value, SKIPS),
    "width": _width,
    "layers": _delta,
}
