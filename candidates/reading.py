"""Networks from JSON, whichever way they are described."""

from __future__ import annotations

from candidates.architecture import Architecture
from candidates.baseline import Baseline


def network_from_dict(values: dict[str, object]) -> Architecture | Baseline:
    """An Architecture from JSON with `blocks`, a Baseline from JSON with `layers`; InputError otherwise."""
    if "layers" in values and "blocks" not in values:
        return Baseline.from_dict(values)
    return Architecture.from_dict(values)
