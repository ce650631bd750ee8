"""Several devices as one: who measures next, on which scale, and what becomes of a lost one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Lock

import pytest

from candidates import Architecture, InputError, RunError, zoo
from latency.device import Lost, StayedAway
from latency.measurement import Measurement
from latency.model import Model, model_of
from latency.pool import Pool
from latency.registry import resolve
from latency.settings import Settings

ARCHS = [zoo.load(name) for name in ("mnasnet-small", "mnasnet-a1", "mnasnet-b1")]
ONE = Settings(blocks=1)


@dataclass
class Phone:
    """A device whose latencies are an architecture's multiply-adds, `slower` times."""

    name: str
    slower: float = 1.0
    seconds: float = 0.0
    version: str = "1"
    gone: bool = False
    known_gone: bool = False
    stays: bool = False  # among the members though it is gone, as a phone of this machine does
    waited: int = 0
    measured: list[str] = field(default_factory=list)
    using: Lock = field(default_factory=Lock)

    @property
    def formats(self) -> tuple[str, ...]:
        return ("onnx",)

    def fingerprint(self) -> str:
        return f"print-{self.name}"

    def runtime(self, form: str) -> tuple[str, str]:
        return "onnxruntime", self.version

    def opened(self) -> AbstractContextManager[None]:
        return nullcontext()

    def operation_times(self, arch: Architecture, threads: int) -> Mapping[int, float] | None:
        return None

    def measure(self, model: Model, settings: Settings) -> Measurement:
        assert self.using.acquire(blocking=False), "two measurements at once on one phone"
        try:
            time.sleep(self.seconds)
            if self.gone:
                self.known_gone = True
                self.waited += 1
                if self.stays:
                    raise StayedAway(f"{self.name} did not come back within 60 s")
                raise Lost(f"{self.name} is lost")
            self.measured.append(model.name)
            assert model.architecture is not None
            ms = self.slower * true_ms(model)
            return Measurement(
                model.name, ms, 0.9 * ms, 1.1 * ms, 0.01, 50, 1, self.name, "onnxruntime", "1",
                interval_ms=(0.95 * ms, 1.05 * ms), conditions={"serial": self.name},
            )  # fmt: skip
        finally:
            self.using.release()


def true_ms(model: Model) -> float:
    assert model.architecture is not None
    return model.architecture.multiply_adds() / 1e7


def pool_of(*phones: Phone, seconds: float = 0.0) -> Pool:
    return Pool("kind", lambda: {p.fingerprint(): p for p in phones if p.stays or not p.gone}, seconds)


def test_every_member_is_put_on_the_pools_scale() -> None:
    pool = pool_of(Phone("one", 1.0), Phone("two", 1.21))
    level = pool.share(ARCHS, 1)
    assert level.scales == pytest.approx({"print-one": 1 / 1.1, "print-two": 1.1})
    model = model_of(ARCHS[0])
    found = [pool.measure(model, ONE) for _ in range(2)]
    assert {m.conditions["pool"]["member"] for m in found} == {"print-one", "print-two"}
    for m in found:
        assert m.latency_ms == pytest.approx(1.1 * true_ms(model))
        assert (m.p5_ms, m.p95_ms) == pytest.approx((0.99 * true_ms(model), 1.21 * true_ms(model)))
        about = m.conditions["pool"]
        assert about["as_measured_ms"] == pytest.approx(about["scale"] * m.latency_ms)
        assert m.device == "kind"
        assert Measurement.from_dict(m.to_dict()) == m


def test_free_members_measure_at_the_same_time_and_each_one_at_a_time() -> None:
    phones = [Phone("one", seconds=0.2), Phone("two", seconds=0.2)]
    pool = pool_of(*phones)
    pool.take_up({"level_ms": [1.0], "scales": {phone.fingerprint(): 1.0 for phone in phones}})
    start = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda arch: pool.measure(model_of(arch), ONE), [*ARCHS, ARCHS[0]]))
    assert time.monotonic() - start < 0.7
    assert [len(phone.measured) for phone in phones] == [2, 2]


def test_a_newcomer_is_measured_on_the_shared_architectures_first() -> None:
    phones = [Phone("one")]
    pool = Pool("kind", lambda: {p.fingerprint(): p for p in phones})
    pool.share(ARCHS, 1)
    phones[:] = [Phone("two", 1.25)]
    found = pool.measure(model_of(ARCHS[1]), ONE)
    assert found.latency_ms == pytest.approx(true_ms(model_of(ARCHS[1])))
    assert phones[0].measured == [*(arch.name for arch in ARCHS), ARCHS[1].name]
    assert pool.level is not None
    assert pool.level.scales == pytest.approx({"print-one": 1.0, "print-two": 1.25})


def test_a_resumed_run_keeps_its_level_though_the_phones_are_others() -> None:
    before = pool_of(Phone("one")).share(ARCHS, 1)
    pool = pool_of(Phone("two", 0.8))
    pool.take_up(before.to_dict())
    assert pool.share(ARCHS, 1) == before
    assert pool.measure(model_of(ARCHS[2]), ONE).latency_ms == pytest.approx(true_ms(model_of(ARCHS[2])))


def test_a_level_that_is_none_is_refused() -> None:
    pool = pool_of(Phone("one"))
    for wrong in ({}, {"level_ms": [1.0], "scales": {"a": 0}}, {"level_ms": 3, "scales": {}}, [1]):
        with pytest.raises(InputError, match=r"the (level of the )?pool"):
            pool.take_up(wrong)  # type: ignore[arg-type]
    pool.take_up({"level_ms": [1.0], "scales": {}})
    with pytest.raises(InputError, match="has 1 latencies; expected 3"):
        pool.share(ARCHS, 1)


def test_a_lost_member_is_replaced_by_another() -> None:
    first, second = Phone("one"), Phone("two")
    pool = Pool("kind", lambda: {p.fingerprint(): p for p in (first, second) if not p.known_gone})
    pool.share(ARCHS, 1)
    first.gone = True
    for _ in range(3):
        assert pool.measure(model_of(ARCHS[0]), ONE).conditions["pool"]["member"] == "print-two"
    assert first.known_gone


def test_one_that_was_waited_for_in_vain_is_passed_over() -> None:
    one, two = Phone("one"), Phone("two", stays=True)
    pool = pool_of(one, two)
    pool.share(ARCHS, 1)
    two.gone = True
    for _ in range(4):
        assert pool.measure(model_of(ARCHS[0]), ONE).conditions["serial"] == "one"
    assert two.waited == 1
    one.gone, one.stays = True, True
    with pytest.raises(RunError, match="did not come back within 60 s"):
        pool.measure(model_of(ARCHS[0]), ONE)
    assert (one.waited, two.waited) == (1, 2)  # where all are away each is asked once


def test_where_none_is_there_one_is_waited_for() -> None:
    phone = Phone("one", gone=True)
    with pytest.raises(RunError, match=r"no device kind was there for 0 s \(--device-timeout\)"):
        pool_of(phone).measure(model_of(ARCHS[0]), ONE)
    pool = pool_of(phone, seconds=20.0)
    with ThreadPoolExecutor(1) as threads:
        found = threads.submit(pool.measure, model_of(ARCHS[0]), ONE)
        time.sleep(0.1)
        assert not found.done()
        phone.gone = False
        assert found.result(timeout=10).latency_ms == pytest.approx(true_ms(model_of(ARCHS[0])))


def test_what_is_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match=r"takes 2\.00 times as long as the pool kind"):
        pool_of(Phone("one"), Phone("two"), Phone("three"), Phone("odd", 2.0 ** (4 / 3))).share(ARCHS, 1)
    with pytest.raises(InputError, match="run models differently: onnxruntime 1 and onnxruntime 2"):
        pool_of(Phone("one"), Phone("two", version="2")).share(ARCHS, 1)
    phones = [Phone("one")]
    pool = Pool("kind", lambda: {p.fingerprint(): p for p in phones})
    pool.share(ARCHS, 1)
    phones.append(Phone("slow", 3.0))
    for _ in range(3):  # a newcomer of another kind fails no measurement
        assert pool.measure(model_of(ARCHS[0]), ONE).conditions["pool"]["member"] == "print-one"


@pytest.mark.parametrize("name", ["cpu,cpu:litert", "pixel,auto", "pixel,"])
def test_a_pool_on_this_machine_is_of_phones(name: str) -> None:
    with pytest.raises(InputError, match="expected phones in a pool"):
        resolve(name)


def test_devices_that_are_not_on_one_scale_are_not_measured_as_one() -> None:
    model = model_of(ARCHS[0])
    with pytest.raises(InputError, match="the devices of kind are not on one scale"):
        pool_of(Phone("one"), Phone("two", 1.3)).measure(model, ONE)
    assert pool_of(Phone("one")).measure(model, ONE).latency_ms == true_ms(model)
