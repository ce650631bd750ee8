import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from candidates import InputError, RunError, build, zoo
from candidates.export import Exported, export, load_network, readme
from candidates.export.checking import Checker
from candidates.export.samples import Samples
from candidates.network import read_safetensors

ARCH = zoo.load("mnasnet-small").for_input(resolution=32, channels_in=1, classes=10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "net"
    export(ARCH, load_network(ARCH, None), ["torch", "onnx"], out)
    return out


def test_the_folder_holds_the_named_files_and_nothing_else(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.py", "architecture.json", "model.safetensors", "model.onnx", "README.md"}
    assert [path.name for path in folder.parent.iterdir()] == ["net"]


def test_model_py_needs_torch_alone(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "elsewhere")
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from model import load; import torch\n"
        "net = load(); assert not net.training\n"
        "assert not {'candidates', 'nas', 'latency', 'safetensors', 'onnx'} & set(sys.modules)\n"
        "print(net(torch.ones(1, 1, 32, 32)).tolist())"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
        check=True,
    )
    with torch.no_grad():
        expected = build(ARCH, seed=0).eval()(torch.ones(1, 1, 32, 32))
    assert np.allclose(json.loads(found.stdout), expected.numpy(), atol=1e-5)


def test_the_onnx_file_takes_any_batch_and_agrees(folder: Path) -> None:
    onnx.checker.check_model(str(folder / "model.onnx"))
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    for batch in (1, 5):
        image = torch.randn(batch, 1, 32, 32)
        with torch.no_grad():
            expected = build(ARCH, seed=0).eval()(image).numpy()
        found = session.run(None, {"input": image.numpy()})[0]
        assert np.abs(found - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())


def test_trained_weights_are_exported(folder: Path, tmp_path: Path) -> None:
    net = build(ARCH, seed=5)
    from safetensors.torch import save_file

    save_file(net.state_dict(), tmp_path / "w.safetensors")
    again = load_network(ARCH, tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


def test_weights_of_another_architecture_or_cut_short_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not hold the weights"):
        load_network(zoo.load("mnasnet-a1"), folder / "model.safetensors")
    data = (folder / "model.safetensors").read_bytes()
    for size in (0, 4, 100, len(data) - 1):
        (tmp_path / "cut.safetensors").write_bytes(data[:size])
        with pytest.raises(InputError, match=r"cut\.safetensors"):
            load_network(ARCH, tmp_path / "cut.safetensors")


def test_our_reader_and_the_safetensors_library_agree(folder: Path) -> None:
    from safetensors.torch import load_file

    ours, theirs = (read(folder / "model.safetensors") for read in (read_safetensors, load_file))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_failed_export_leaves_what_was_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "net"
    shutil.copytree(folder, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr("candidates.export.checking.TOLERANCE", -1.0)
    with pytest.raises(RuntimeError, match="was not kept"):
        export(ARCH, load_network(ARCH, None), ["torch", "onnx"], out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_files_of_somebody_elses_project_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(InputError, match=r"README\.md exists and is not an earlier export's"):
        export(ARCH, load_network(ARCH, None), ["torch"], tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_an_earlier_export_is_replaced_all_of_it(tmp_path: Path) -> None:
    out, other = tmp_path / "net", ARCH.for_input(classes=3)
    export(ARCH, load_network(ARCH, None), ["torch", "onnx"], out, _with_labels)
    (out / "notes.txt").write_text("mine")
    export(other, load_network(other, None), ["tflite"], out)
    assert {path.name for path in out.iterdir()} == {"README.md", "model.tflite", "notes.txt"}


def _with_labels(written: list[Exported]) -> dict[str, str]:
    return {**readme(ARCH)(written), "labels.txt": "one\n", "preprocessing.json": "{}"}


@pytest.mark.parametrize(("wrong", "kept"), [(10, True), (11, False)])
def test_an_int8_file_may_lose_what_is_allowed_and_no_more(wrong: int, kept: bool) -> None:
    count = 1000  # 0.99 is no binary fraction: as accuracies the difference would exceed 0.01
    truth = np.zeros(count, np.int64)
    images = np.arange(count, dtype=np.float32).reshape(count, 1, 1, 1)
    samples = Samples(images[:1], images, truth, "numbers")

    def classify(images: np.ndarray, wrong: int = 0) -> np.ndarray:
        logits = np.zeros((len(images), 2), np.float32)
        logits[np.arange(len(images)), (images.reshape(-1) < wrong).astype(int)] = 1
        return logits

    checker = Checker(ARCH, classify, samples, 0.01)
    with nullcontext() if kept else pytest.raises(RunError, match="a drop of more than 1 points"):
        assert checker.as_accurate("it", lambda images: classify(images, wrong)).drop == pytest.approx(0.01)


def test_a_folder_on_another_file_system_is_exported_into(folder: Path, tmp_path: Path) -> None:
    """As a folder that is mounted into a container is."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    with tempfile.TemporaryDirectory(dir=memory) as there:
        out = tmp_path / "out"
        out.symlink_to(there)
        for formats in (["torch", "onnx"], ["onnx"]):
            export(ARCH, load_network(ARCH, None), formats, out)
        assert {path.name for path in out.iterdir()} == {"model.onnx", "README.md"}
