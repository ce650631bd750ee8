"""Several searches on one study: they must agree in all that decides what a trial means."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from candidates.errors import InputError
from nas.settings import SearchSettings

if TYPE_CHECKING:
    from optuna import Study

KEY = "search"
_OPTIONS = {"devices": "device", "targets": "target"}  # that decide what is not called as they are
# Every machine may have its own: where the data lies, how many workers, how far to go on.
_OWN = (
    "data", "device", "also", "sampler", "seed", "trials", "workers", "measure_cores", "gpus", "per_gpu",
    "retries", "trial_timeout", "device_timeout", "ray", "storage", "study", "latency", "confirm", "warm_start", "space",
)  # fmt: skip


def agree(study: Study, settings: SearchSettings, found: dict[str, Any]) -> None:
    """Keep what this search means by a trial with the study; an InputError where another meant something else.

    `found` is what is not in the settings: the space's text, the data's description, the devices' identity.
    """
    mine = {name: value for name, value in settings.to_dict().items() if name not in _OWN} | found
    mine = json.loads(json.dumps(mine))  # as the study gives it back
    before = study.user_attrs.get(KEY)
    if before is None:
        study.set_user_attr(KEY, mine)
        study.set_user_attr("settings", settings.to_dict())
        return
    for name, value in mine.items():
        option = _OPTIONS.get(name, name).replace("_", "-")
        if name not in before:
            raise InputError(
                f"study {study.study_name} was started by an earlier version, which did not keep its --{option}; "
                "take another --study"
            )
        if before[name] != value:
            raise InputError(
                f"--{option} is {_short(value)}, but study {study.study_name} was started with "
                f"{_short(before[name])}; join with the same, or take another --study"
            )


def joined_settings(study: Study) -> SearchSettings:
    """The settings that a study was started with; InputError where it is none of a search."""
    values = study.user_attrs.get("settings")
    if not isinstance(values, dict):
        raise InputError(f"study {study.study_name} was not made by nas-search; it has no settings")
    return SearchSettings.from_dict(values)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
