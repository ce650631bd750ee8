"""The store of past measurements: SQLite in the user's cache folder, safe with several processes.

A measurement is found again by model digest, device fingerprint, runtime and its version, threads, and how it
was asked for (at least as many blocks). Everything ever measured stays, which is what `history` shows.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from candidates import InputError, RunError
from latency.device import Device
from latency.folders import cache_folder
from latency.measurement import Measurement
from latency.model import Model
from latency.settings import Settings

SCHEMA = 1
BUSY_SECONDS = 30.0  # to wait for another process's write

_CREATE = """
CREATE TABLE IF NOT EXISTS measurements (
    id INTEGER PRIMARY KEY,
    digest TEXT NOT NULL, fingerprint TEXT NOT NULL, runtime TEXT NOT NULL, runtime_key TEXT NOT NULL,
    threads INTEGER NOT NULL, blocks INTEGER NOT NULL, reference INTEGER NOT NULL, valid INTEGER NOT NULL,
    measured_at TEXT NOT NULL, content TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_model ON measurements (digest, fingerprint, runtime, runtime_key, threads);
"""


class Store:
    """Measurements in one SQLite file; each call opens and closes it, so that processes can share it."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_folder() / "measurements.db"

    def find(self, model: Model, device: Device, settings: Settings) -> Measurement | None:
        """The newest valid measurement that answers the same question, or None."""
        runtime, key = _runtime(model, device)
        with self._open() as database:
            row = database.execute(
                "SELECT content FROM measurements WHERE digest = ? AND fingerprint = ? AND runtime = ? AND "
                "runtime_key = ? AND threads = ? AND blocks >= ? AND reference = ? AND valid = 1 "
                "ORDER BY id DESC LIMIT 1",
                (_question(model, settings), device.fingerprint(), runtime, key, settings.threads,
                 settings.blocks, int(settings.reference)),
            ).fetchone()  # fmt: skip
        return None if row is None else _read(row[0])

    def add(self, model: Model, device: Device, settings: Settings, found: Measurement) -> None:
        """Keep a measurement."""
        runtime, key = _runtime(model, device)
        with self._open() as database:
            database.execute(
                "INSERT INTO measurements (digest, fingerprint, runtime, runtime_key, threads, blocks, "
                "reference, valid, measured_at, content) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (_question(model, settings), device.fingerprint(), runtime, key, settings.threads,
                 settings.blocks, int(settings.reference), int(found.valid), found.measured_at or "",
                 json.dumps(found.to_dict())),
            )  # fmt: skip

    def history(self, digest: str) -> list[Measurement]:
        """Every measurement of a model on any device, the oldest first."""
        with self._open() as database:
            rows = database.execute(
                "SELECT content FROM measurements WHERE digest = ? OR digest LIKE ? ORDER BY id",
                (digest, f"{digest}#%"),
            ).fetchall()
        return [_read(row[0]) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_SECONDS)) as database:
                version = database.execute("PRAGMA user_version").fetchone()[0]
                if version > SCHEMA:
                    raise InputError(
                        f"{self.path} has format {version}; this version reads format {SCHEMA}; a newer "
                        "version wrote it, set XDG_CACHE_HOME to another folder to go on"
                    )
                if version < SCHEMA:
                    write_ahead(database)
                    database.executescript(
                        f"BEGIN IMMEDIATE; {_CREATE} PRAGMA user_version = {SCHEMA}; COMMIT;"
                    )
                with database:
                    yield database
        except sqlite3.OperationalError as error:  # locked, read-only, a full disk: the file itself is sound
            raise RunError(f"{self.path}: {error}; set XDG_CACHE_HOME to another folder to go on") from None
        except sqlite3.Error as error:
            raise RunError(f"{self.path}: {error}; remove the file to start a new store") from None


def write_ahead(database: sqlite3.Connection) -> None:
    """Readers and a writer at the same time. SQLite does not wait for others here, so this does."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _question(model: Model, settings: Settings) -> str:
    """The model, and how many images of it at once where not one."""
    return model.digest() if settings.batch == 1 else f"{model.digest()}#batch={settings.batch}"


def _runtime(model: Model, device: Device) -> tuple[str, str]:
    return device.runtime(model.form_on(device.formats))


def _read(text: str) -> Measurement:
    try:
        return Measurement.from_dict(json.loads(text))
    except ValueError as error:
        raise RunError(f"the store holds a measurement that cannot be read: {error}") from None


def measured(
    model: Model, device: Device, settings: Settings, store: Store, fresh: bool = False
) -> tuple[Measurement, bool]:
    """The stored answer and True, or a new measurement, which is kept, and False."""
    if not fresh:
        known = store.find(model, device, settings)
        if known is not None:
            # The same model, and the same device, may go by another name.
            return replace(known, model=model.name, device=device.name), True
    found = device.measure(model, settings)
    store.add(model, device, settings, found)
    return found, False
