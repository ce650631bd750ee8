"""A phone's conditions: temperature, frequencies, cores. Parsers of what its shell prints.

Everything here reads text that some device printed, so each gives None or nothing for what it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

THERMAL_NAMES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
MARK = "--nas--"

# One round trip for everything; each section is missing or empty where the device has no such thing.
COMMANDS: Mapping[str, str] = {
    "thermal": "dumpsys thermalservice",
    "battery": "dumpsys battery",
    "max_freq": "grep -H . /sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq",
    "cur_freq": "grep -H . /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq",
}
READ_ALL = "; ".join(f"echo {MARK}{name}; {command} 2>/dev/null" for name, command in COMMANDS.items())


@dataclass(frozen=True)
class Conditions:
    """What a device's sensors say at one moment; None where it has none.

    Temperatures in degrees Celsius, frequencies in kHz by core number.
    """

    thermal_status: int | None
    temperatures_c: Mapping[str, float]
    battery_c: float | None
    max_khz: Mapping[int, int]
    current_khz: Mapping[int, int]


def parse(text: str) -> Conditions:
    """Read what READ_ALL printed."""
    sections = {}
    for part in text.split(MARK)[1:]:
        name, _, content = part.partition("\n")
        sections[name.strip()] = content
    thermal = sections.get("thermal", "")
    return Conditions(
        thermal_status(thermal),
        temperatures(thermal),
        battery_temperature(sections.get("battery", "")),
        frequencies(sections.get("max_freq", "")),
        frequencies(sections.get("cur_freq", "")),
    )


def thermal_status(text: str) -> int | None:
    """`Thermal Status: N` of `dumpsys thermalservice` (Android 10 and later); 0 is none."""
    found = re.search(r"^\s*Thermal Status:\s*(\d{1,2})\s*$", text, re.MULTILINE)
    return int(found[1]) if found else None


def temperatures(text: str) -> dict[str, float]:
    """Sensors by name from `Temperature{mValue=…, mType=…, mName=…, mStatus=…}`.

    The dump has a cached section and one read from the hardware now; the latter is taken where it is there.
    """
    _, heading, hal = text.partition("Current temperatures from HAL")
    section = re.split(
        r"^\s*Current cooling devices", hal if heading else text, maxsplit=1, flags=re.MULTILINE
    )[0]
    found = {}
    for value, name in re.findall(
        r"Temperature\{mValue=(-?[\d.]+(?:E-?\d+)?), mType=-?\d+, mName=([^,}]*)", section
    ):
        try:
            found[name] = float(value)
        except ValueError:
            continue
    return found


def battery_temperature(text: str) -> float | None:
    """`temperature:` of `dumpsys battery`, which is in tenths of a degree."""
    found = re.search(r"^\s*temperature:\s*(-?\d{1,5})\s*$", text, re.MULTILINE)
    return int(found[1]) / 10 if found else None


def frequencies(text: str) -> dict[int, int]:
    """kHz by core number, from `grep -H .` over cpufreq's files."""
    pairs = re.findall(r"/cpu(\d{1,4})/cpufreq/\w+:(\d{1,9})\s*$", text, re.MULTILINE)
    return {int(core): int(khz) for core, khz in pairs}


def big_cores(max_khz: Mapping[int, int], threads: int) -> tuple[int, ...]:
    """The fastest cores: whole groups of equal top frequency, fastest first, until `threads` have one each.

    Empty where the frequencies are unknown or the cores are all alike: then there is nothing to choose.
    """
    if len(set(max_khz.values())) < 2:
        return ()
    chosen: list[int] = []
    for khz in sorted(set(max_khz.values()), reverse=True):
        if len(chosen) >= threads:
            break
        chosen += [core for core, value in max_khz.items() if value == khz]
    return tuple(sorted(chosen))


def mask(cores: tuple[int, ...]) -> str:
    """taskset's hexadecimal mask for `cores`."""
    return f"{sum(1 << core for core in cores):x}"


def objections(before: Conditions, after: Conditions) -> list[str]:
    """What speaks against a measurement made between the two readings."""
    found = []
    hottest = max(before.thermal_status or 0, after.thermal_status or 0)
    if hottest > 0:
        name = THERMAL_NAMES[min(hottest, len(THERMAL_NAMES) - 1)]
        found.append(f"the phone's thermal status is {hottest} ({name}); let it cool down")
    return found


def as_dict(before: Conditions, after: Conditions) -> dict[str, object]:
    """Plain values for a Measurement's `conditions`."""
    return {
        "thermal_status": [before.thermal_status, after.thermal_status],
        "temperatures_c": dict(after.temperatures_c),
        "battery_c": [before.battery_c, after.battery_c],
        "frequencies_khz": [_texts(before.current_khz), _texts(after.current_khz)],
        "max_frequencies_khz": _texts(before.max_khz),
    }


def _texts(values: Mapping[int, int]) -> dict[str, int]:
    return {str(core): khz for core, khz in values.items()}
