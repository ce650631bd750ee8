"""Directly to a device over TCP or USB, where no adb server runs; adb-shell speaks the protocol.

The protocol's plain shell has no exit status and one stream for everything, so the status is printed by the
shell and read back.
"""

from __future__ import annotations

import io
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from candidates import InputError, RunError
from latency.adb.keys import ensure_key, key_path, signer
from latency.adb.transport import MAX_OUTPUT, DeviceGone, Finished, TimedOut

if TYPE_CHECKING:
    from pathlib import Path

MARK = "nas-exit-status="
CONNECT_SECONDS = 5.0
AUTH_SECONDS = 10.0  # for a person to tap "allow" on the phone


class Unauthorised(RunError):
    """The device knows none of our keys."""


class DirectTransport:
    """One device, reached without a server; connects when first used."""

    def __init__(self, serial: str, key: Path | None = None) -> None:
        self._serial = serial
        self._key = key or key_path()
        self._device: Any = None

    @property
    def serial(self) -> str:
        return self._serial

    def run(self, command: str, timeout: float) -> Finished:
        deadline = time.monotonic() + timeout
        with self._errors():
            device = self._connected()
            # The status goes on a line of its own, also after output that ends without a line break.
            full = f"({command}\n); nas_s=$?; echo; echo {MARK}$nas_s"
            pieces, size = [], 0
            for piece in device.streaming_shell(
                full, transport_timeout_s=timeout, read_timeout_s=timeout, decode=False
            ):
                pieces.append(piece)
                size += len(piece)
                if size > MAX_OUTPUT:
                    self.close()
                    raise RunError(f"{command[:60]!r} printed over {MAX_OUTPUT >> 20} MiB; stopped reading")
                if time.monotonic() > deadline:
                    raise TimeoutError
        text, mark, code = b"".join(pieces).decode(errors="replace").rpartition(MARK)
        if not mark or not code.strip().isdigit():
            self.close()
            raise DeviceGone(f"{self._serial} ended a command without its exit status")
        return Finished(int(code), text.removesuffix("\n").removesuffix("\n"))

    def push(self, content: bytes, path: str, mode: int, timeout: float) -> None:
        from adb_shell.exceptions import PushFailedError

        try:
            with self._errors():
                self._connected().push(
                    io.BytesIO(content),
                    path,
                    st_mode=0o100000 | mode,
                    transport_timeout_s=timeout,
                    read_timeout_s=timeout,
                )
        except PushFailedError as error:
            reason = error.args[0] if error.args else b""
            said = bytes(reason).decode(errors="replace") if isinstance(reason, bytes | bytearray) else reason
            self.close()  # the stream's place in the protocol is not known after a refusal
            raise RunError(f"{self._serial} refuses {path}: {said}") from None

    def reconnect(self) -> None:
        self.close()
        with self._errors():
            self._connected()

    def close(self) -> None:
        if self._device is not None:
            device, self._device = self._device, None
            with suppress(OSError, *_usb_errors()):
                device.close()

    def _connected(self) -> Any:
        if self._device is None:
            device = _open(self._serial)
            device.connect(
                rsa_keys=[signer(ensure_key(self._key))],
                transport_timeout_s=CONNECT_SECONDS,
                auth_timeout_s=AUTH_SECONDS,
                read_timeout_s=CONNECT_SECONDS,
                auth_callback=self._asking,
            )
            self._device = device
        return self._device

    def _asking(self, _device: object) -> None:
        self._asked = True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from adb_shell import exceptions as adb

        self._asked = False
        try:
            yield
        except (adb.TcpTimeoutException, adb.AdbTimeoutError, TimeoutError) as error:
            connected = self._device is not None
            self.close()
            if self._asked:
                raise Unauthorised(_UNAUTHORISED.format(self._serial, self._key)) from None
            if not connected:
                raise DeviceGone(f"{self._serial} does not answer: {error}") from None
            raise TimedOut(f"{self._serial} did not answer in time") from None
        except adb.DeviceAuthError:
            self.close()
            raise Unauthorised(_UNAUTHORISED.format(self._serial, self._key)) from None
        except adb.PushFailedError:
            raise
        except _lost(adb) as error:
            asked = self._asked
            self.close()
            if type(error).__name__ == "USBErrorBusy":
                raise DeviceGone(
                    f"{self._serial} is in use by another program; end that, or share the phone by adb start-server"
                ) from None
            if asked:  # adbd hangs up on a key that it does not know
                raise Unauthorised(_UNAUTHORISED.format(self._serial, self._key)) from None
            raise DeviceGone(f"{self._serial} is gone: {error or type(error).__name__}") from None


_UNAUTHORISED = (
    "{} does not know the key {}; allow this computer in the dialogue on the phone "
    "(Settings, Developer options, USB debugging) and try again"
)


def _lost(adb: Any) -> tuple[type[Exception], ...]:
    return (
        OSError,
        EOFError,
        adb.AdbConnectionError,
        adb.AdbCommandFailureException,
        adb.InvalidChecksumError,
        adb.InvalidCommandError,
        adb.InvalidResponseError,
        adb.UsbReadFailedError,
        adb.UsbWriteFailedError,
        adb.UsbDeviceNotFoundError,
        *_usb_errors(),
    )


def _usb_errors() -> tuple[type[Exception], ...]:
    """What libusb raises by itself, which adb-shell lets through."""
    try:
        from usb1 import USBError
    except (ImportError, OSError):  # libusb is missing, and no phone can be on USB
        return ()
    return (USBError,)


def usb_serials() -> list[str]:
    """Serials of the phones on USB; empty where libusb is missing or may not look."""
    try:
        from adb_shell.transport.usb_transport import UsbTransport

        return [str(device.serial_number) for device in UsbTransport.find_all_adb_devices()]
    except Exception:  # libusb1 raises its own kinds, and OSError where the library is missing
        return []


def split_address(text: str) -> tuple[str, int] | None:
    """Host and port of `host:port` (or `[v6]:port`); None where it is not of that form."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        return None
    return host.strip("[]"), int(port)


def _open(serial: str) -> Any:
    from adb_shell.adb_device import AdbDevice, AdbDeviceUsb

    where = split_address(serial)
    if where is None:
        try:
            return _telling(AdbDeviceUsb)(serial=serial)
        except Exception as error:
            raise InputError(
                f"{serial!r} is neither host:port nor a phone on USB that can be opened: {error}"
            ) from None
    return _telling(AdbDevice)(_tcp_transport(*where), default_transport_timeout_s=CONNECT_SECONDS)


def _telling(kind: Any) -> Any:
    """adb-shell's device `kind`, but one that hears a refusal in the middle of a push.

    adb-shell drops what the device writes while it waits for an acknowledgement, and would wait for ever.
    """
    from adb_shell import constants
    from adb_shell.adb_message import AdbMessage
    from adb_shell.exceptions import PushFailedError

    class Telling(kind):  # type: ignore[misc]
        def _filesync_flush(self, adb_info: Any, filesync_info: Any) -> None:
            content = filesync_info.send_buffer[: filesync_info.send_idx]
            message = AdbMessage(constants.WRTE, adb_info.local_id, adb_info.remote_id, content)
            self._io_manager.send(message, adb_info)
            command, data = self._read_until([constants.OKAY, constants.WRTE], adb_info)
            if command == constants.WRTE:
                # FAIL, four bytes of length, the reason: in one packet or in several.
                said = bytes(data)
                while len(said) < 8 or len(said) < 8 + min(int.from_bytes(said[4:8], "little"), 4096):
                    said += bytes(self._read_until([constants.WRTE], adb_info)[1])
                raise PushFailedError(said[8:])
            filesync_info.send_idx = 0

    return Telling


def _tcp_transport(host: str, port: int) -> Any:
    from adb_shell.transport.tcp_transport import TcpTransport

    class NoDelay(TcpTransport):  # type: ignore[misc]
        """Adds what adb-shell's lacks: TCP_NODELAY (44 ms a round trip without), whole writes, hang-ups."""

        def connect(self, transport_timeout_s: float | None) -> None:
            super().connect(transport_timeout_s)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def bulk_read(self, numbytes: int, transport_timeout_s: float | None) -> bytes:
            data: bytes = super().bulk_read(numbytes, transport_timeout_s)
            if not data:
                raise ConnectionResetError("the device closed the connection")
            return data

        def bulk_write(self, data: bytes, transport_timeout_s: float | None) -> int:
            view, deadline = memoryview(data), time.monotonic() + (transport_timeout_s or 3600.0)
            while view:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([], [self._connection], [], left)[1]:
                    raise TimeoutError("sending took too long")
                view = view[self._connection.send(view) :]
            return len(data)

    return NoDelay(host, port)
