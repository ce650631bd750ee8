"""nas-search --benchmark-proxy: real trainings of a few candidates, and what they say of a whole search."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from nas.commands.app import status
from nas.commands.search import app
from nas.commands.search_benchmark import words
from nas.proxy_benchmark import Findings, GpuLog, GpuUse, Sample, parsed, peak_rss_mb
from nas.settings import SearchSettings
from nas.workers.making import MPS, mps_pipe, sharing_note
from tests.nas.conftest import SPACE, Lab

SAMPLE = Sample("abc", 2_000_000, 30.0, 400.0, 2, 512.0, None)
FINDINGS = Findings(
    "cpu", 2, {"name": "digits", "train_images": 640, "validation_images": 1157, "size": 8}, 5, 32,
    (SAMPLE, replace(SAMPLE, id="def", seconds=90.0)), 60, (),
)  # fmt: skip


@pytest.mark.parametrize("workers", [1, 2])
def test_candidates_are_trained_as_the_search_would_and_nothing_is_written(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "little.yaml").write_text(SPACE)
    options = f"--benchmark-proxy --json --space little.yaml --epochs 1 --proxy-samples 64 --trials 50 --workers {workers}"
    assert status(app, "nas-search", options.split()) == 0
    found = json.loads(capsys.readouterr().out)
    assert [path.name for path in tmp_path.iterdir()] == ["little.yaml"]
    assert (found["workers"], found["epochs"], found["device"]) == (workers, 1, "cpu")
    assert found["data"]["train_images"] == 64
    assert len(found["samples"]) == (3 if workers == 1 else 4)
    assert all(sample["seconds"] > 0 and sample["images_per_second"] > 0 for sample in found["samples"])
    assert all(sample["peak_rss_mb"] > 50 and sample["gpu_mb"] is None for sample in found["samples"])
    each = sum(sample["seconds"] for sample in found["samples"]) / len(found["samples"])
    assert found["candidates_per_hour"] == pytest.approx(3600 * workers / each)
    assert found["hours_of_training"] == pytest.approx(50 * each / workers / 3600)


def test_what_is_wrong_is_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(app, "nas-search", ["--benchmark-proxy", "--data", str(tmp_path / "none")]) == 2
    said = capsys.readouterr().err
    assert "none' does not exist" in said
    assert said.count("\n") == 1


def test_the_words_have_the_time_of_all_trials() -> None:
    said = words(FINDINGS)
    assert "120 candidates an hour" in said  # two workers, a minute each on average
    assert "--trials 60: about 30 min of training" in said
    assert "2 workers" in said
    gpu = replace(FINDINGS, gpus=(GpuUse("Some GPU", 0.5, 100.0, 1000.0),))
    assert "Some GPU: 50% busy on average, 100 of 1000 MB" in words(gpu)


def test_what_nvidia_smi_says_is_read_and_other_words_are_refused() -> None:
    text = "GPU-11-aa, NVIDIA H200, 37, 1024, 143771\nGPU-22-bb, NVIDIA Odd, Name, 0, 5, 80000\n"
    found = parsed(text)
    assert found["11-aa"] == GpuUse("NVIDIA H200", 0.37, 1024.0, 143771.0)
    assert found["22-bb"].name == "NVIDIA Odd, Name"
    with pytest.raises(ValueError, match="N/A"):
        parsed("GPU-1, NVIDIA A100, [N/A], [N/A], 40960")
    with pytest.raises(ValueError, match="not enough values"):
        parsed("No devices were found")


def test_the_gpus_that_are_told_are_those_that_train(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """nvidia-smi lists all of the machine's, PyTorch those that it was given, by other numbers."""
    uuids = {0: "44-dd", 1: "22-bb"}
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: len(uuids))
    monkeypatch.setattr(
        "torch.cuda.get_device_properties", lambda number: SimpleNamespace(uuid=uuids[number])
    )
    text = "".join(
        f"GPU-{uuid}, {uuid[3]}, {use}, 1, 9\n" for uuid, use in (("11-aa", 1), ("22-bb", 2), ("44-dd", 99))
    )
    for gpus, names in ((None, ["d"]), ("1", ["b"]), ("all", ["d", "b"])):
        log = GpuLog(lab.settings(gpus=gpus))
        log._looks = [parsed(text), parsed(text)]
        assert [use.name for use in log.used()] == names
    uuids[0] = "a part of a GPU"
    log = GpuLog(lab.settings())
    log._looks = [parsed(text)]
    assert log.used() == ()


def test_the_peak_of_memory_counts_what_was_given_back() -> None:
    block = bytearray(200_000_000)
    block[::4096] = b"x" * len(block[::4096])
    del block
    assert (peak_rss_mb() or 0) > 200


def test_workers_of_one_gpu_share_it_by_mps_where_its_daemon_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SearchSettings(1.0, gpus="all", per_gpu=3)
    monkeypatch.setenv(MPS, str(tmp_path))
    assert mps_pipe() is None
    assert "take turns on it" in str(sharing_note(settings))
    (tmp_path / "control").touch()
    assert mps_pipe() == str(tmp_path)
    assert "at once, by CUDA MPS" in str(sharing_note(settings))
    assert sharing_note(replace(settings, per_gpu=1)) is None
