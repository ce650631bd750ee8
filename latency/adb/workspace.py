"""A fresh folder on a device: files pushed into it are verified, and all of it is removed afterwards."""

from __future__ import annotations

import hashlib
import re
from shlex import quote

from candidates import RunError
from latency.adb.transport import DeviceGone, Finished, TimedOut, Transport

ROOT = "/data/local/tmp"  # the one place where a shell may write and run programs (/sdcard may not)
ATTEMPTS = 3
SHORT_SECONDS = 15.0
PUSH_SECONDS = 120.0


class Workspace:
    """A folder on the device, made by `open` and removed by `close`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._pushed: dict[str, str] = {}
        self.folder = ""

    def open(self) -> None:
        """Make the folder; RunError where the device does not let us."""
        done = self._transport.run(f"mktemp -d {ROOT}/nas-XXXXXXXXXX", SHORT_SECONDS)
        folder = done.out.strip()
        if done.code or not re.fullmatch(rf"{re.escape(ROOT)}/nas-[A-Za-z0-9]{{10}}", folder):
            raise RunError(
                f"{self._transport.serial} does not let us make a folder in {ROOT}: {done.last_words}"
            )
        self.folder = folder

    def put(self, name: str, content: bytes, mode: int = 0o644) -> str:
        """Push a file, verify its size and digest, push it again where they differ; its path on the device.

        A file that is there with the same content is left as it is.
        """
        path = f"{self.folder}/{name}"
        digest = hashlib.sha256(content).hexdigest()
        if self._pushed.get(name) == digest:
            return path
        problem = ""
        for _ in range(ATTEMPTS):
            try:
                self._transport.push(content, path, mode, PUSH_SECONDS)
                problem = self._difference(path, len(content), digest, mode)
            except (DeviceGone, TimedOut):
                raise
            except RunError as error:
                problem = str(error)
                if "No space" in problem:
                    break
            if not problem:
                self._pushed[name] = digest
                return path
        raise RunError(f"{name} ({len(content):,} bytes) could not be pushed to the device: {problem}")

    def run(self, arguments: list[str], seconds: float, prefix: list[str] | None = None) -> Finished:
        """Run a program in the folder, its process id kept so that it can be ended; every word is quoted."""
        words = " ".join(quote(word) for word in [*(prefix or []), *arguments])
        script = f"cd {quote(self.folder)} && echo $$ > pid && exec {words}"
        try:
            return self._transport.run(f"sh -c {quote(script)}", seconds)
        except TimedOut:
            self._end()
            raise

    def close(self) -> bool:
        """Remove the folder and end what still runs in it; False where the device cannot be reached."""
        if not self.folder:
            return True
        try:
            self._end()
            done = self._transport.run(f"rm -rf -- {quote(self.folder)}", SHORT_SECONDS)
        except RunError:
            return False
        return done.code == 0

    def _end(self) -> None:
        pid = quote(f"{self.folder}/pid")
        self._transport.run(f"[ ! -f {pid} ] || kill -9 $(cat {pid}) 2>/dev/null; rm -f {pid}", SHORT_SECONDS)

    def _difference(self, path: str, size: int, digest: str, mode: int) -> str:
        """What differs between the file on the device and what was pushed; empty where nothing does."""
        file = quote(path)
        # The execute bit gets lost on some devices, so it is set rather than trusted.
        command = (
            f"chmod {mode:o} {file} && wc -c < {file} && (sha256sum {file} || md5sum {file}) 2>/dev/null"
        )
        done = self._transport.run(command, SHORT_SECONDS * 2)
        words = done.out.split()
        if not words or words[0] != str(size):
            return f"{words[0] if words else 'no'} bytes arrived of {size} ({done.last_words})"
        if len(words) > 1 and len(words[1]) == 64 and words[1] != digest:
            return "its content arrived changed"
        return ""
