import subprocess
import sys

import pytest

import latency
from candidates import Architecture, InputError, RunError, zoo
from candidates.onnx_writer import onnx_model
from latency import bursts
from latency.model import Model

TINY = Architecture.from_blocks(
    ["r1_k3_s22_e1_i8_o8"], stem=8, head=16, resolution=16, classes=3, name="tiny"
)


def test_import_is_light():
    code = (
        "import sys, latency;"
        "print(*({'onnxruntime', 'torch', 'onnx', 'numpy', 'ai_edge_litert'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_an_architecture_is_measured():
    found = latency.measure(TINY, blocks=1, min_runs=60, min_seconds=0.01)
    assert found.model == "tiny"
    assert 0 < found.p5_ms <= found.latency_ms <= found.p95_ms
    assert found.count >= 60
    assert found.runtime == "onnxruntime"
    assert found.runtime_version.count(".") >= 2
    assert found.reference == "mnasnet-a1"
    assert found.latency_ms < found.reference_ms
    assert found.interval_ms[0] <= found.latency_ms <= found.interval_ms[1]
    assert found.digest == f"architecture:{TINY.id}"
    assert found.blocks == len(found.block_medians_ms) == 1


def test_a_file_is_measured_and_a_bigger_network_takes_longer(tmp_path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(onnx_model(TINY, batch=None).SerializeToString())
    small = latency.measure(path, blocks=2, min_runs=20, min_seconds=0, reference=False)
    assert (small.blocks, small.reference, small.drift) == (2, None, None)
    assert small.count >= 20
    large = latency.measure(zoo.load("mnasnet-small"), blocks=1, min_runs=20, min_seconds=0, reference=False)
    assert large.latency_ms > 3 * small.latency_ms


def test_more_seconds_mean_more_runs():
    short = latency.measure(TINY, blocks=1, min_runs=20, min_seconds=0, reference=False)
    long = latency.measure(TINY, blocks=1, min_runs=20, min_seconds=0.1, reference=False)
    assert long.count > short.count
    assert long.seconds > 0.1  # of which others may have taken a good part


def test_wrong_input_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.onnx.*does not exist"):
        latency.measure(tmp_path / "nothing.onnx")
    with pytest.raises(InputError, match=r"not an \.onnx or \.tflite"):
        latency.measure(tmp_path)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(InputError, match=r"broken\.onnx is not a model that ONNX Runtime loads"):
        latency.measure(broken)
    with pytest.raises(InputError, match="threads is 0"):
        latency.measure(TINY, threads=0)
    with pytest.raises(InputError, match="device 'toaster'"):
        latency.measure(TINY, device="toaster")


def test_digest_of_a_file_is_of_its_content(tmp_path):
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "c.onnx").write_bytes(b"y")
    a, b, c = (Model(n, path=tmp_path / f"{n}.onnx").digest() for n in "abc")
    assert a == b != c


class Slow:
    """An inference that takes `times` in turn, on a clock of its own."""

    def __init__(self, monkeypatch, times):
        self.now, self.calls, self.times = 0, 0, times
        monkeypatch.setattr(bursts.time, "perf_counter_ns", lambda: self.now)
        monkeypatch.setattr(bursts.time, "perf_counter", lambda: self.now / 1e9)

    def __call__(self):
        self.now += int(1e6 * self.times(self.calls))
        self.calls += 1


def test_warm_up_goes_on_until_runs_get_no_faster(monkeypatch):
    infer = Slow(monkeypatch, lambda n: 5.0 if n > 20 else 25.0 - n)
    assert 24 <= len(bursts.warm_up(infer)) <= 30


def test_warm_up_ends_in_time_when_it_never_settles(monkeypatch):
    infer = Slow(monkeypatch, lambda n: 100.0 * 0.98**n)
    bursts.warm_up(infer, max_seconds=1.0)
    assert infer.now < 1.2e9


def test_runs_that_bring_a_model_back_into_the_caches_are_not_counted(monkeypatch):
    # A clock of its own shows what is counted: after each change of model 4 runs take twice as long.
    clock = Slow(monkeypatch, lambda n: 5.0)
    last, since = None, 0

    def of(name):
        def infer():
            nonlocal last, since
            last, since = name, since + 1 if last == name else 1
            clock.times = lambda n: 10.0 if since <= 4 else 5.0
            clock()

        return infer

    found = bursts.block(of("model"), of("reference"), min_runs=20, min_seconds=0)
    assert {t for b in found.bursts for t in b.times_ms} == {5.0}
    assert {b.reference_ms for b in found.bursts} == {5.0}
    assert [len(b.times_ms) for b in found.bursts] == [8, 8, 8]


def test_only_the_first_run_of_a_burst_is_dropped_where_nothing_comes_between(monkeypatch):
    infer = Slow(monkeypatch, lambda n: 5.0)
    warm = len(bursts.warm_up(infer))
    infer.calls = 0
    bursts.block(infer, None, min_runs=24, min_seconds=0)
    assert infer.calls == warm + 3 * 9


def test_a_burst_lasts_long_enough_and_no_longer():
    assert (bursts.settling(100.0), bursts.counted(100.0)) == (1, 8)
    assert (bursts.settling(6.0), bursts.counted(6.0)) == (6, 8)
    assert (bursts.settling(0.3), bursts.counted(0.3)) == (6, 200)


def test_a_model_that_loads_and_does_not_run_is_an_error(tmp_path):
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])]
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    node = helper.make_node("Reshape", ["x", "s"], ["y"])
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [3, 3])
    graph = helper.make_graph([node], "g", values, out, [shape])
    path = tmp_path / "bad.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    with pytest.raises((RunError, InputError), match=r"bad\.onnx"):
        latency.measure(path)


class Clock:
    """Time as a process sees it that others keep from the core now and then."""

    wall = own = 0.0

    def perf_counter(self):
        return self.wall

    def perf_counter_ns(self):
        return round(1e9 * self.wall)

    def thread_time(self):
        return self.own

    def busy(self, milliseconds, share=1.0):
        def run():
            self.wall += milliseconds / 1e3
            self.own += share * milliseconds / 1e3

        return run


def test_a_reference_that_others_keep_from_the_core_shows(monkeypatch):
    """Where the model's short runs are spared, the correction would make it look fast."""
    clock = Clock()
    monkeypatch.setattr(bursts, "time", clock)
    alone = bursts.block(clock.busy(0.2), clock.busy(2.0), 10, 0.01)
    starved = bursts.block(clock.busy(0.2), clock.busy(2.0, share=0.3), 10, 0.01)
    assert alone.cpu_share == pytest.approx(1.0)
    assert starved.cpu_share == pytest.approx(0.3)
