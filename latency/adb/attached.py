"""Which devices are attached, and which of them the user means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from candidates import InputError, RunError, checks
from latency.adb import direct, server
from latency.adb.direct import DirectTransport, Unauthorised
from latency.adb.server import ServerTransport
from latency.adb.transport import Transport
from latency.folders import config_folder

DESCRIBE = "for p in ro.product.model ro.product.device; do getprop $p 2>/dev/null || echo; done"
DESCRIBE_SECONDS = 10.0


@dataclass(frozen=True)
class Attached:
    """One attached device; `state` is adb's word, `device` when it can be used."""

    serial: str
    state: str
    model: str = ""
    device: str = ""
    through: str = "server"

    def __str__(self) -> str:
        names = " ".join(name for name in (self.model, f"({self.device})" if self.device else "") if name)
        return f"{self.serial} {names}".strip() + ("" if self.state == "device" else f" [{self.state}]")

    def transport(self) -> Transport:
        """The way to this device."""
        return ServerTransport(self.serial) if self.through == "server" else DirectTransport(self.serial)


def attached(addresses: Sequence[str] = ()) -> list[Attached]:
    """Every attached device: the server's where one runs, otherwise those on USB and at `addresses`."""
    if server.is_running():
        known = dict(server.attached())
        for address in addresses:
            if known.get(address) != "device":
                server.connect_tcp(address)
        return [_described(serial, state, "server") for serial, state in server.attached()]
    return [_described(serial, "device", "direct") for serial in (*addresses, *direct.usb_serials())]


def _described(serial: str, state: str, through: str) -> Attached:
    bare = Attached(serial, state, through=through)
    if state != "device":
        return bare
    transport = bare.transport()
    try:
        lines = transport.run(DESCRIBE, DESCRIBE_SECONDS).out.splitlines()
    except Unauthorised:
        return Attached(serial, "unauthorized", through=through)
    except RunError:
        return Attached(serial, "offline", through=through)
    finally:
        transport.close()
    model, device = ([line.strip() for line in lines] + ["", ""])[:2]
    return Attached(serial, state, model, device, through)


def find(name: str) -> Attached:
    """The attached device that `name` means: an alias, serial, host:port, device name or part of a model."""
    meant = aliases().get(name.lower(), name)
    addresses = [meant] if direct.split_address(meant) else []
    return choose(name, meant, attached(addresses))


def choose(name: str, meant: str, there: Sequence[Attached]) -> Attached:
    """The one of `there` that `meant` matches; an InputError lists what is attached and what to do."""
    low = meant.lower()
    exact = [a for a in there if low in (a.serial.lower(), a.device.lower())]
    found = exact or [a for a in there if low and low in a.model.lower()]
    listed = ", ".join(map(str, there)) or "none"
    if not found:
        blocked = [a for a in there if a.state == "unauthorized"]
        if blocked and len(blocked) == len(there):
            raise InputError(_unauthorised(name, blocked[0], listed))
        raise InputError(
            f"device {name!r} matches no attached phone (attached: {listed}); attach it with USB debugging "
            "on, give its serial or host:port, or use --device cpu" + (" or cuda" if low == "gpu" else "")
        )
    if len(found) > 1:
        raise InputError(
            f"device {name!r} matches {len(found)} phones: {', '.join(map(str, found))}; give a serial"
        )
    if found[0].state == "unauthorized":
        raise InputError(_unauthorised(name, found[0], listed))
    if found[0].state != "device":
        raise InputError(
            f"device {name!r} is {found[0].state} (attached: {listed}); plug it in again, or: adb reconnect"
        )
    return found[0]


def _unauthorised(name: str, found: Attached, listed: str) -> str:
    return (
        f"device {name!r} is unauthorised: {found.serial} does not know this computer's key "
        f"(attached: {listed}); unlock the phone and allow USB debugging in its dialogue"
    )


def aliases() -> Mapping[str, str]:
    """The user's aliases, in lower case, from devices.yaml in the configuration folder."""
    path = config_folder() / "devices.yaml"
    if not path.exists():
        return {}
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    where = str(path)
    values = checks.mapping(where, content or {})
    checks.known_keys(where, values, ["aliases"])
    named = checks.mapping(f"{where}: aliases", values.get("aliases") or {})
    return {key.lower(): checks.text(f"{where}: alias {key}", value) for key, value in named.items()}
