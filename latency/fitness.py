"""What is attached, and whether it is fit to measure."""

from __future__ import annotations

from typing import Any

from candidates import InputError, RunError
from latency import conditions as sensors
from latency import machine
from latency.adb.attached import Attached, attached
from latency.adb.transport import Transport
from latency.android import AndroidDevice

BUSY = 0.25  # of all cores, above which this machine is not quiet
HOT_BATTERY_C = 40.0


def fitness() -> list[dict[str, Any]]:
    """One entry for each device: name, description, formats it runs, and problems in sentences."""
    return [_host(), *(_phone(found) for found in attached())]


def _host() -> dict[str, Any]:
    import time

    before = machine.ticks()
    time.sleep(0.5)
    load = machine.others_load(before, machine.ticks())
    problems = []
    if load is not None and load > BUSY:
        problems.append(f"busy: other processes use {load:.0%} of all cores; stop them for sound numbers")
    return {
        "device": "cpu",
        "description": machine.cpu_model(),
        "state": "device",
        "formats": ["onnx", "tflite"],
        "problems": problems,
    }


def _phone(found: Attached) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "device": found.serial,
        "description": " ".join(filter(None, (found.model, found.device))) or f"through {found.through}",
        "state": found.state,
        "formats": [],
        "problems": [],
    }
    if found.state != "device":
        remedy = "allow USB debugging on it" if found.state == "unauthorized" else "plug it in again"
        entry["problems"].append(f"{found.state}: {remedy}")
        return entry
    transport = found.transport()
    try:
        entry["problems"] += _problems(transport)
        entry["formats"] = list(AndroidDevice(transport).formats)
    except (InputError, RunError) as error:
        entry["problems"].append(str(error))
    finally:
        transport.close()
    return entry


def _problems(transport: Transport) -> list[str]:
    now = sensors.parse(transport.run(sensors.READ_ALL, 15.0).out)
    problems = sensors.objections(now, now)
    if now.battery_c is not None and now.battery_c > HOT_BATTERY_C:
        problems.append(f"the battery is at {now.battery_c:.0f} °C; let it cool below {HOT_BATTERY_C:.0f} °C")
    return problems
