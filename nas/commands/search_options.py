"""nas-search's options as the settings that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def targets(texts: list[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """`--target` as the settings that it stands for."""
    from candidates.errors import InputError
    from nas.targets import parse_targets

    if not texts:
        return {}
    for name in ("target_ms", "device"):
        if name in given:
            raise InputError(
                f"--target and --{name.replace('_', '-')} exclude each other; give --target DEVICE=MILLISECONDS"
            )
    (device, target_ms), *others = parse_targets(texts).items()
    return {"device": device, "target_ms": target_ms, "also": dict(others)}


def without_password(values: dict[str, Any]) -> dict[str, Any]:
    """The settings as they are kept: the storage's password stays out of files (and in the environment)."""
    from nas.storage import place_at

    if values.get("storage") is None:
        return values
    return {**values, "storage": place_at(values["storage"], values["study"]).url}


def comparable(given: Mapping[str, Any]) -> dict[str, Any]:
    """The given options as a run keeps them: absolute paths, the device that `auto` found."""
    from nas.data import absolute, known_as
    from nas.prepared import ZERO_COST

    values = dict(given)
    if values.get("device") == "auto":
        values.pop("device")
    if "storage" in values:
        values = without_password({"study": "search", **values})
        values = {name: value for name, value in values.items() if name in given}
    if "data" in values:
        values["data"] = known_as(values["data"])
    if values.get("warm_start") not in (None, ZERO_COST):
        values["warm_start"] = absolute(values["warm_start"])
    return values
