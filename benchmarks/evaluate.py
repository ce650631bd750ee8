"""From a point to its latency: our directly written graph against PyTorch's exporter, in alternating pairs.

python -m benchmarks.evaluate              time until the latency is known
python -m benchmarks.evaluate --agree      whether the two graphs take the same time to run
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import typer

from nas import cpu

cpu.prepare()

import torch  # noqa: E402

import latency  # noqa: E402
from candidates import Architecture, build, zoo  # noqa: E402
from candidates.export.onnx_file import write_onnx  # noqa: E402
from candidates.onnx_writer import onnx_model  # noqa: E402


def main(model: str = "mnasnet-a1", pairs: int = 5, agree: bool = False) -> None:
    """Time the two ways from an architecture to its latency, or compare the two graphs' latencies."""
    arch = zoo.load(model)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if agree:
            _agreement(arch, Path(folder), pairs)
        else:
            _speed(arch, Path(folder), pairs)


def _direct(arch: Architecture) -> float:
    start = time.perf_counter()
    latency.measure(arch, blocks=1)
    return time.perf_counter() - start


def _exported(arch: Architecture, folder: Path) -> float:
    start = time.perf_counter()
    file = folder / "exported.onnx"
    torch.onnx.export(
        build(arch).eval(),
        (torch.zeros(1, arch.channels_in, arch.resolution, arch.resolution),),
        str(file),
        dynamo=True,
        verbose=False,
        external_data=False,
    )
    latency.measure(file, blocks=1)
    return time.perf_counter() - start


def _graph_seconds(arch: Architecture) -> float:
    start = time.perf_counter()
    onnx_model(arch).SerializeToString()
    return time.perf_counter() - start


def _session_seconds(content: bytes) -> float:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    start = time.perf_counter()
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return time.perf_counter() - start


def _speed(arch: Architecture, folder: Path, pairs: int) -> None:
    _direct(arch), _exported(arch, folder)  # imports and first calls
    rows = []
    print("pair   direct s   exporter s   ratio")
    for pair in range(pairs):
        direct, exported = _direct(arch), _exported(arch, folder)
        rows.append((direct, exported))
        print(f"{pair + 1:4d}   {direct:8.2f}   {exported:10.2f}   {exported / direct:5.1f}", flush=True)
    graphs = statistics.median(_graph_seconds(arch) for _ in range(11))
    content = onnx_model(arch).SerializeToString()
    sessions = statistics.median(_session_seconds(content) for _ in range(11))
    print(
        f"median: {statistics.median(a for a, _ in rows):.2f} s against {statistics.median(b for _, b in rows):.2f} s"
    )
    print(f"of ours, building the graph {1000 * graphs:.0f} ms and the session {1000 * sessions:.0f} ms")


def _agreement(arch: Architecture, folder: Path, pairs: int) -> None:
    """Alternating measurements of the direct and the exported graph."""
    exported = folder / "exported.onnx"
    write_onnx(arch, build(arch).eval(), exported)
    ratios = []
    print("pair   direct ms   exported ms   ratio")
    for pair in range(pairs):
        order = (arch, exported) if pair % 2 == 0 else (exported, arch)
        times = {id(one): latency.measure(one, blocks=1).latency_ms for one in order}  # type: ignore[arg-type]
        direct, other = times[id(arch)], times[id(exported)]
        ratios.append(direct / other)
        print(f"{pair + 1:4d}   {direct:9.3f}   {other:11.3f}   {direct / other:5.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f} (within 0.95 to 1.05 wanted)")


if __name__ == "__main__":
    typer.run(main)
