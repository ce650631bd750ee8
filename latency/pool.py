"""Several devices of one kind as one: the next measurement goes to a free one, and all count on one scale.

No two phones of a kind are equally fast. A few architectures measured on each tell how many times the pool's
level (the geometric mean over its first members) a member takes; every measurement is divided by that.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from math import exp, log
from threading import Condition, Lock
from typing import Any

from candidates import Architecture, InputError, Layered, RunError, checks
from latency.device import Device, Lost, StayedAway
from latency.measurement import Measurement
from latency.model import Model, model_of
from latency.settings import Settings
from latency.summary import median

MOST_APART = 1.5  # times the pool's level, beyond which a member is of another kind
MOST_LOST = 5  # members during one measurement
LOOKING_SECONDS = 1.0  # how often members are looked for while none is free
AWAY_SECONDS = 600.0  # that a member which was waited for in vain is passed over


@dataclass(frozen=True)
class Level:
    """The pool's milliseconds on the shared architectures, in their order, and each member's scale."""

    ms: tuple[float, ...]
    scales: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"level_ms": list(self.ms), "scales": dict(self.scales)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Level:
        """Read what `to_dict` gave; InputError for anything else."""
        level = checks.sequence("the pool's level_ms", values.get("level_ms"))
        scales = checks.mapping("the pool's scales", values.get("scales"))
        return cls(
            tuple(checks.positive("the pool's level_ms", ms) for ms in level),
            {name: checks.positive("the pool's scale", scale) for name, scale in scales.items()},
        )


class Pool:
    """A Device made of several. `members` gives those that are there now by a key that stays theirs.

    Where none is there, a measurement waits for one, `seconds` at most. `free_first` picks among those that
    this process does not use, for members that others use too.
    """

    def __init__(
        self,
        name: str,
        members: Callable[[], Mapping[str, Device]],
        seconds: float = 60.0,
        free_first: Callable[[Mapping[str, Device]], str] = lambda free: next(iter(free)),
    ) -> None:
        self.name = name
        self._members, self._seconds, self._free_first = members, seconds, free_first
        self._changed, self._joining = Condition(), Lock()
        self._busy: set[str] = set()
        self._used: Counter[str] = Counter()
        self._refused: dict[str, str] = {}
        self._away: dict[str, float] = {}  # until when
        self._shared: tuple[Sequence[Layered], Settings] | None = None
        self.level: Level | None = None

    @property
    def members(self) -> Mapping[str, Device]:
        """Those that are there now and of the pool's kind."""
        return {key: found for key, found in self._members().items() if key not in self._refused}

    @property
    def formats(self) -> tuple[str, ...]:
        return self._any().formats

    def fingerprint(self) -> str:
        return f"pool-{self.name}"

    def runtime(self, form: str) -> tuple[str, str]:
        return self._any().runtime(form)

    @contextmanager
    def opened(self) -> Iterator[None]:
        with ExitStack() as stack:
            for member in self.members.values():
                stack.enter_context(member.opened())
            yield

    def operation_times(self, arch: Architecture, threads: int) -> Mapping[int, float] | None:
        with self._one() as (_, member):
            return member.operation_times(arch, threads)

    def measure(self, model: Model, settings: Settings) -> Measurement:
        """As Device has it, by a member that is free; one that is lost meanwhile is replaced by another."""
        in_vain = set()
        for _ in range(MOST_LOST):
            with suppress(Lost), self._one() as (key, member):
                try:
                    scale = self._scale(key, member)
                    return self._scaled(key, member.measure(model, settings), scale)
                except StayedAway as error:
                    self._away[key] = time.monotonic() + AWAY_SECONDS
                    in_vain.add(key)
                    if in_vain >= self.members.keys():
                        raise RunError(str(error)) from None
                    raise
        raise RunError(f"{self.name} was lost {MOST_LOST} times during one measurement; check its machine")

    def take_up(self, known: Mapping[str, Any]) -> None:
        """Count on a level that was found before, as its `to_dict` gives it; InputError for anything else."""
        self.level = Level.from_dict(checks.mapping(f"the level of the pool {self.name}", known))

    def share(self, archs: Sequence[Layered], threads: int) -> Level:
        """Put the members on one scale: on the level that was taken up, else on one found by measuring `archs`.

        Members without a scale are measured on `archs` before anything else. InputError where two members
        are not of one kind.
        """
        if self.level is not None and len(self.level.ms) != len(archs):
            raise InputError(
                f"the level of the pool {self.name} has {len(self.level.ms)} latencies; expected {len(archs)}"
            )
        self._any()  # waits for one
        self._shared = (archs, Settings(threads, blocks=1))
        members = self.members
        kinds = {member.runtime(member.formats[0]) for member in members.values()}
        if len(kinds) > 1:
            raise InputError(
                f"the devices of the pool {self.name} run models differently: "
                f"{' and '.join(sorted(' '.join(kind) for kind in kinds))}; give them the same runtime"
            )
        if self.level is None:
            self.level = self._found(members)
        return self.level

    def _found(self, members: Mapping[str, Device]) -> Level:
        """The geometric mean over the members, measured at the same time, and each one's scale."""
        with ThreadPoolExecutor(len(members)) as threads:
            found = list(threads.map(self._on_shared, members.values()))
        level = Level(tuple(exp(sum(map(log, times)) / len(times)) for times in zip(*found, strict=True)), {})
        for (key, member), times in zip(members.items(), found, strict=True):
            level = self._with(level, key, member, times)
        return level

    def _scale(self, key: str, member: Device) -> float:
        """How many times the pool's level a member takes; a newcomer is measured for it."""
        with self._joining:
            if self.level is None:
                if len(self.members) > 1:
                    raise InputError(
                        f"the devices of {self.name} are not on one scale, which a search puts them on; "
                        "measure on one of them"
                    )
                return 1.0
            if key not in self.level.scales:
                try:
                    self.level = self._with(self.level, key, member, self._on_shared(member))
                except InputError as error:
                    self._refused[key] = str(error)
                    raise Lost(str(error)) from None
            return self.level.scales[key]

    def _with(self, level: Level, key: str, member: Device, times: Sequence[float]) -> Level:
        scale = median([ms / usual for ms, usual in zip(times, level.ms, strict=True)])
        if not 1 / MOST_APART <= scale <= MOST_APART:
            raise InputError(
                f"{member.name} ({key}) takes {scale:.2f} times as long as the pool {self.name}; "
                "a pool is of devices of one kind, give this one a name of its own"
            )
        return replace(level, scales={**level.scales, key: scale})

    def _on_shared(self, member: Device) -> list[float]:
        assert self._shared is not None, "share() was called"
        archs, settings = self._shared
        return [member.measure(model_of(arch), settings).latency_ms for arch in archs]

    def _scaled(self, key: str, found: Measurement, scale: float) -> Measurement:
        """A member's measurement on the pool's scale; what it was before is with its conditions."""
        ends = found.interval_ms
        return replace(
            found,
            device=self.name,
            latency_ms=found.latency_ms / scale,
            p5_ms=found.p5_ms / scale,
            p95_ms=found.p95_ms / scale,
            interval_ms=None if ends is None else (ends[0] / scale, ends[1] / scale),
            block_medians_ms=tuple(ms / scale for ms in found.block_medians_ms),
            conditions={
                **found.conditions,
                "pool": {"member": key, "scale": scale, "as_measured_ms": found.latency_ms},
            },
        )

    def _any(self) -> Device:
        with self._one() as (_, member):
            return member

    @contextmanager
    def _one(self) -> Iterator[tuple[str, Device]]:
        """A member that nobody else in this process uses while the block runs, with its key."""
        key, member = self._taken(time.monotonic() + self._seconds)
        try:
            yield key, member
        finally:
            with self._changed:
                self._busy.discard(key)
                self._changed.notify_all()

    def _taken(self, until: float) -> tuple[str, Device]:
        while True:
            members = self.members
            with self._changed:
                now = time.monotonic()
                here = [key for key in members if self._away.get(key, now) <= now]
                # The least used first, so that none gets hotter than the others.
                keys = sorted(set(here or members) - self._busy, key=lambda key: (self._used[key], key))
                if keys:
                    key = self._free_first({key: members[key] for key in keys})
                    self._busy.add(key)
                    self._used[key] += 1
                    return key, members[key]
                self._changed.wait(LOOKING_SECONDS)
            if not members and time.monotonic() > until:
                why = "".join(f"; {reason}" for reason in self._refused.values())
                raise RunError(
                    f"no device {self.name} was there for {self._seconds:.0f} s (--device-timeout); check its "
                    f"cable and its machine{why}"
                )
