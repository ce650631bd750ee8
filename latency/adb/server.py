"""Through a running adb server, which holds the USB devices; adbutils knows the server's protocol."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from candidates import RunError
from latency.adb.transport import MAX_OUTPUT, DeviceGone, Finished, TimedOut

CHUNK = 64 * 1024  # the sync protocol's largest piece
CONNECT_SECONDS = 5.0


def address() -> tuple[str, int]:
    """Where the adb server is or would be, by adb's own environment variables."""
    port = os.environ.get("ANDROID_ADB_SERVER_PORT", "")
    return (
        os.environ.get("ANDROID_ADB_SERVER_ADDRESS") or "127.0.0.1",
        int(port) if port.isascii() and port.isdigit() else 5037,
    )


def is_running() -> bool:
    """Whether an adb server answers; none is ever started from here."""
    try:
        with socket.create_connection(address(), timeout=0.5):
            return True
    except OSError:
        return False


def attached() -> list[tuple[str, str]]:
    """Serial and state (device, unauthorized, offline, …) of what the server knows."""
    with _errors("the adb server"):
        return [(d.serial, d.state) for d in _client().list()]


def connect_tcp(host_port: str) -> str:
    """Ask the server to connect to a device on the network; its answer."""
    with _errors("the adb server"):
        return str(_client().connect(host_port, timeout=CONNECT_SECONDS))


class ServerTransport:
    """One of the server's devices, over the shell v2 and sync protocols."""

    def __init__(self, serial: str) -> None:
        self._serial = serial

    @property
    def serial(self) -> str:
        return self._serial

    def run(self, command: str, timeout: float) -> Finished:
        deadline = time.monotonic() + timeout
        with _errors(self._serial), self._open(deadline) as connection:
            connection.send_command(f"shell,v2,raw:{command}")
            connection.check_okay()
            return _read_shell(connection.conn, deadline, command)

    def push(self, content: bytes, path: str, mode: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        with _errors(self._serial), self._open(deadline) as connection:
            connection.send_command("sync:")
            connection.check_okay()
            sock: socket.socket = connection.conn
            name = f"{path},{0o100000 | mode}".encode()
            try:
                sock.sendall(b"SEND" + struct.pack("<I", len(name)) + name)
                for start in range(0, len(content), CHUNK):
                    piece = content[start : start + CHUNK]
                    sock.sendall(b"DATA" + struct.pack("<I", len(piece)) + piece)
                sock.sendall(b"DONE" + struct.pack("<I", int(time.time())))
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused meanwhile: the reason is waiting to be read
            answer = _exactly(sock, 8, deadline)
            if answer[:4] == b"FAIL":
                reason = _exactly(sock, min(struct.unpack("<I", answer[4:])[0], 4096), deadline)
                raise RunError(f"{self._serial} refuses {path}: {reason.decode(errors='replace')}")
            if answer[:4] != b"OKAY":
                raise RunError(f"{self._serial} answers {answer!r} to a push; expected OKAY")

    def reconnect(self) -> None:
        if not is_running():
            raise DeviceGone("the adb server is not running")
        state = dict(attached()).get(self._serial)
        if state is None and ":" in self._serial:
            connect_tcp(self._serial)
            state = dict(attached()).get(self._serial)
        if state != "device":
            raise DeviceGone(f"{self._serial} is {state or 'not attached'}")

    def close(self) -> None:
        """Nothing is kept open between commands."""

    @contextmanager
    def _open(self, deadline: float) -> Iterator[Any]:
        if not is_running():  # adbutils would start one of its own
            raise DeviceGone("the adb server is not running (any more); start it with: adb start-server")
        connection = _client().device(self._serial).open_transport(timeout=deadline - time.monotonic())
        try:
            connection.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.conn.settimeout(max(0.1, deadline - time.monotonic()))
            yield connection
        finally:
            connection.close()


def _client() -> Any:
    from adbutils import AdbClient

    host, port = address()
    return AdbClient(host=host, port=port, socket_timeout=CONNECT_SECONDS)


@contextmanager
def _errors(who: str) -> Iterator[None]:
    """What can go wrong on the way to the server, as our two errors."""
    from adbutils import AdbError, AdbTimeout

    try:
        yield
    except (AdbTimeout, TimeoutError):
        raise TimedOut(f"{who} did not answer in time") from None
    except (AdbError, OSError, EOFError) as error:
        raise DeviceGone(f"{who} is gone: {error or type(error).__name__}") from None


def _read_shell(sock: socket.socket, deadline: float, command: str) -> Finished:
    """Packets of one byte of kind (1 out, 2 err, 3 exit), four of length, and content."""
    streams = {1: bytearray(), 2: bytearray()}
    while True:
        kind, length = struct.unpack("<BI", _exactly(sock, 5, deadline))
        content = _exactly(sock, length, deadline) if length <= MAX_OUTPUT else b""
        if kind == 3 and content:
            out, err = (streams[k].decode(errors="replace") for k in (1, 2))
            return Finished(content[0], out, err)
        if kind in streams:
            streams[kind] += content
        if length > MAX_OUTPUT or sum(map(len, streams.values())) > MAX_OUTPUT:
            raise RunError(f"{command[:60]!r} printed over {MAX_OUTPUT >> 20} MiB; stopped reading")


def _exactly(sock: socket.socket, count: int, deadline: float) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)
        part = sock.recv(min(count - len(parts), 1 << 20))
        if not part:
            raise EOFError("the connection was closed")
        parts += part
    return bytes(parts)
