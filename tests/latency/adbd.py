"""A real adbd on loopback and an adb server of our own, for the tests that need them."""

import os
import socket
import subprocess
import time
from pathlib import Path

KEYS = Path("/data/misc/adb/adb_keys")
ROOT = Path("/data/local/tmp")
SECONDS = 15.0


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


_kept = {}


def kept_port():
    """A port of ours on which nothing listens: refused until `adb_server` takes it, and no one else can."""
    kept = socket.socket()
    kept.bind(("127.0.0.1", 0))
    _kept[kept.getsockname()[1]] = kept
    return kept.getsockname()[1]


def wait_for(condition, what):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, f"{what} took over {SECONDS} s"
        time.sleep(0.02)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Process:
    """A program that serves on a loopback port until it is stopped; only what was started is ended."""

    def __init__(self, port, command, env):
        self.port, self.command, self.env, self.process = port, command, env, None

    def start(self):
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(lambda: listens(self.port), self.command[0])
        return self

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Phone(Process):
    """adbd; `tools` are scripts that stand in for a phone's own commands (getprop, dumpsys, cmd, …)."""

    def __init__(self, program, folder, tools=None, small=False):
        bin_folder = folder / "bin"
        bin_folder.mkdir(exist_ok=True)
        for name, script in (tools or {}).items():
            (bin_folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (bin_folder / name).chmod(0o755)
        port = free_port()
        command = [str(program)]
        if small:  # a device with 2 MiB of room, in a mount namespace of its own
            script = 'mount -t tmpfs -o size=2m tmpfs "$1" && exec "$2"'
            command = ["unshare", "-m", "sh", "-c", script, "sh", str(ROOT), str(program)]
        super().__init__(
            port, command, {"ADBD_PORT": str(port), "PATH": f"{bin_folder}:{os.environ['PATH']}"}
        )
        self.serial = f"127.0.0.1:{port}"


def adb_server(port):
    if port in _kept:
        _kept.pop(port).close()
    return Process(port, ["adb", "nodaemon", "server"], {"ANDROID_ADB_SERVER_PORT": str(port)})


def left_behind():
    """What measurements left on the device."""
    return sorted(path.name for path in ROOT.glob("nas-*"))
