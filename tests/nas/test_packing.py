"""A trained network packed in every format, against real images."""

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import latency
from candidates import Architecture, InputError, RunError, build, labels
from candidates import preprocessing as preprocessing_file
from candidates.export import FORMATS, export, load_network
from candidates.export.running import of_network, open_exported, quantisation
from candidates.preprocessing import Preprocessing
from nas.calibration import load_calibration
from nas.candidate import Candidate
from nas.data import load_data
from nas.packing import Packing, pack
from nas.recipe import Recipe
from nas.training import DeviceData, train

ARCH = Architecture.from_blocks(
    ["r1_k3_s22_e3_i16_o24_se0.25", "r1_k3_s11_e3_i24_o32_hswish"],
    stem=16,
    head=64,
    stem_stride=1,
    resolution=8,
    channels_in=1,
    classes=10,
    name="digits-net",
)
NAMES = tuple(str(digit) for digit in range(10))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder: a network that knows scikit-learn's digits."""
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    data = DeviceData.put(load_data("digits"), torch.device("cpu"))
    net = build(ARCH, seed=0)
    outcome = train(net, data, Recipe(epochs=8, peak_lr=0.3, crop_padding=0.0), seed=0)
    assert outcome.accuracy > 0.9
    folder = tmp_path_factory.mktemp("trained")
    ARCH.save(folder / "architecture.json")
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / "model.safetensors")
    mean, std = (tuple(t.flatten().tolist()) for t in (data.mean, data.std))
    values = Preprocessing(8, 8, mean, std, "the training images").to_dict()
    (folder / preprocessing_file.FILE).write_text(json.dumps(values))
    (folder / labels.FILE).write_text(labels.labels_text(NAMES))
    return folder


@pytest.fixture(scope="module")
def packed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "dist"
    scores = {"top1": 0.95, "images": 1157}
    record = {"validation": scores, "test": None, "epochs": 6, "data": {"name": "digits"}}
    candidate = Candidate(ARCH, accuracy=0.95, found={"training": record})
    pack(candidate, trained / "model.safetensors", Packing([*FORMATS], out, "digits"))
    return out


def images() -> tuple[np.ndarray, np.ndarray]:
    samples = load_calibration("digits", ARCH).samples
    assert samples.labels is not None
    return samples.images[:200], samples.labels[:200]


def test_the_folder_holds_models_card_preprocessing_and_labels(packed: Path) -> None:
    assert {path.name for path in packed.iterdir()} == {
        "model.py", "architecture.json", "model.safetensors", "model.onnx", "model-int8.onnx", "model.tflite",
        "model-int8.tflite", "model-int8-weights.tflite", "candidate.json", "preprocessing.json", "labels.txt", "README.md",
    }  # fmt: skip
    assert (packed / "labels.txt").read_text().splitlines() == list(NAMES)
    size = {path.name: path.stat().st_size for path in packed.iterdir()}
    assert size["model-int8-weights.tflite"] < 0.6 * size["model.tflite"]


@pytest.mark.parametrize("name", ["model.onnx", "model.tflite", "."])
def test_float_files_compute_what_pytorch_does(packed: Path, trained: Path, name: str) -> None:
    pixels, _ = images()
    expected = of_network(load_network(ARCH, trained / "model.safetensors"))(pixels)
    found = open_exported(packed / name)(pixels)
    assert np.abs(found - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", ["model-int8.onnx", "model-int8.tflite", "model-int8-weights.tflite"])
def test_int8_files_classify_as_pytorch_does(packed: Path, trained: Path, name: str) -> None:
    pixels, truth = images()
    expected = of_network(load_network(ARCH, trained / "model.safetensors"))(pixels)
    found = open_exported(packed / name)(pixels)
    assert (found.argmax(1) == truth).mean() > 0.9
    assert 0 < np.abs(found - expected).max() < 0.25 * np.abs(expected).max()


def test_the_int8_tflite_file_is_integers_from_end_to_end(packed: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(packed / "model-int8.tflite"))
    interpreter.allocate_tensors()
    details = interpreter.get_tensor_details()
    assert {np.dtype(d["dtype"]).name for d in details} == {"int8", "int32"}
    kernels = [d for d in details if d["name"].endswith("conv.weight")]
    assert all(len(d["quantization_parameters"]["scales"]) > 1 for d in kernels) or not kernels
    assert any(len(d["quantization_parameters"]["scales"]) > 1 for d in details)
    recorded = json.loads((packed / "preprocessing.json").read_text())["quantised"]
    assert recorded == {"model-int8.tflite": quantisation(packed / "model-int8.tflite")}
    assert recorded["model-int8.tflite"]["input"]["type"] == "int8"


def test_the_int8_onnx_file_has_u8_activations_and_s8_weights_per_channel(packed: Path) -> None:
    import onnx

    graph = onnx.load(packed / "model-int8.onnx").graph
    types = {i.name: (i.data_type, list(i.dims)) for i in graph.initializer}
    zeros = [types[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"]
    assert {kind for kind, _ in zeros} == {onnx.TensorProto.UINT8}
    weights = [kind for name, kind in types.items() if name.endswith("_quantized") and len(kind[1]) == 4]
    assert weights
    assert {kind for kind, _ in weights} == {onnx.TensorProto.INT8}
    assert any(len(dims) == 1 and dims[0] > 1 for name, (_, dims) in types.items() if name.endswith("_scale"))


def test_the_card_says_what_it_is_worth(packed: Path) -> None:
    text = (packed / "README.md").read_text()
    for words in (
        "digits-net", f"{ARCH.parameters():,}", f"{ARCH.multiply_adds():,}", "validation accuracy: 95.00% top-1 on 1157 validation images of digits, after 6 epochs",
        "top-1", "model-int8.tflite", "labels.txt", "mbconv 3×3", "subtract mean",
    ):  # fmt: skip
        assert words in text


@pytest.mark.parametrize("name", ["model-int8.onnx", "model-int8.tflite"])
def test_int8_files_are_measured_on_this_machine(packed: Path, name: str) -> None:
    device = "cpu" if name.endswith(".onnx") else "cpu:litert"
    measured = latency.measure(
        packed / name, device, blocks=1, min_runs=10, min_seconds=0.01, reference=False
    )
    assert measured.latency_ms > 0
    assert measured.model == name


def test_an_export_is_exported_again_measured_and_with_its_preprocessing(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = functools.partial(latency.measure, blocks=1, min_runs=10, min_seconds=0.01, reference=False)
    monkeypatch.setattr(latency, "measure", quick)
    pack(
        Candidate.load(packed / "architecture.json"),
        packed / "model.safetensors",
        Packing(["torch", "tflite"], tmp_path / "x", measure="cpu"),
    )
    before, after = (Preprocessing.load(folder / "preprocessing.json") for folder in (packed, tmp_path / "x"))
    assert before == after
    (row,) = [line for line in (tmp_path / "x" / "README.md").read_text().splitlines() if "litert" in line]
    assert "| model.tflite |" in row
    assert (tmp_path / "x" / "labels.txt").read_text() == (packed / "labels.txt").read_text()


@pytest.mark.parametrize("name", ["onnx-int8", "tflite-int8"])
def test_too_much_accuracy_lost_keeps_nothing(trained: Path, tmp_path: Path, name: str) -> None:
    out, net = tmp_path / "dist", load_network(ARCH, trained / "model.safetensors")
    samples = load_calibration("digits", ARCH).samples
    dark = replace(samples, calibration=samples.calibration * 0.01)  # ranges that no real image keeps to
    with pytest.raises(RunError, match=r"top-1 on 1000 images and PyTorch 9.*, a drop of more than 1 points"):
        export(ARCH, net, ["tflite", name], out, samples=dark)
    assert not out.exists()


def test_float_input_and_output_on_request(trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "dist"
    packing = Packing(["tflite-int8"], out, "digits", float_io=True)
    (item,) = pack(Candidate(ARCH), trained / "model.safetensors", packing).files
    assert quantisation(item.path) == {}
    assert item.check is not None
    assert item.check.top1 is not None
    assert item.check.top1 > 0.9


def test_an_accuracy_of_the_search_is_called_so(tmp_path: Path) -> None:
    found = Candidate(ARCH, accuracy=0.5, found={"proxy": {"name": "digits", "epochs": 5}})
    pack(found, None, Packing(["tflite"], tmp_path / "x"))
    text = (tmp_path / "x" / "README.md").read_text()
    assert "accuracy of the proxy training: 50.00% (proxy name digits; proxy epochs 5)" in text


def test_the_card_has_what_was_measured_on_each_device_and_nothing_predicted(tmp_path: Path) -> None:
    predicted = {"predicted": True, "latency_ms": 9.87, "std_ms": 0.2, "device": "cpu", "valid": True}
    measured = {"latency_ms": 1.234, "p5_ms": 1.2, "p95_ms": 1.3, "device": "cpu:litert", "count": 50, "reasons": 5,
                "valid": False}  # fmt: skip
    candidate = Candidate(ARCH, latency_ms=9.87, measurement={**predicted, "also": {"cpu:litert": measured}})
    pack(candidate, None, Packing(["torch"], tmp_path / "x"))
    card = (tmp_path / "x" / "README.md").read_text()
    assert "9.87" not in card
    assert "| 1.23 ms |" in card


def test_an_untrained_network_is_quantised_for_measuring(tmp_path: Path) -> None:
    """Its classes need not be the data's, and no accuracy is told or asked for."""
    arch = ARCH.for_input(classes=40)
    written = pack(
        Candidate(arch), None, Packing(["onnx-int8", "tflite-int8"], tmp_path / "x", "digits")
    ).files
    assert [item.path.name for item in written] == ["model-int8.onnx", "model-int8.tflite"]
    assert all(item.check is not None and item.check.top1 is None for item in written)
    assert not (tmp_path / "x" / "labels.txt").exists()
    assert "untrained (seed 0)" in (tmp_path / "x" / "README.md").read_text()


def npz(path: Path, count: int, classes: int = 10, channels: int = 1) -> str:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)
    np.savez(path, x_train=pixels, y_train=np.arange(count) % classes)
    return str(path)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (
            (60, 10, 1),
            r"gives 1[0-9] images to calibrate with|gives 48 images to check on; expected at least 100",
        ),
        ((300, 7, 1), "has 7 classes and the network 10"),
        ((300, 10, 3), r"has images of 3 channel\(s\); the network takes 1"),
    ],
)
def test_calibration_images_that_do_not_fit_are_refused(tmp_path: Path, shape, words: str) -> None:
    data = npz(tmp_path / "few.npz", *shape)
    with pytest.raises(InputError, match=words):
        load_calibration(data, ARCH)


def test_classes_are_matched_by_name() -> None:
    order = ("9", *NAMES[:9])
    plain, other = load_calibration("digits", ARCH), load_calibration("digits", ARCH, labels=order)
    assert [order[i] for i in other.samples.labels] == [NAMES[i] for i in plain.samples.labels]
    with pytest.raises(InputError, match="has the class '9', which the network was not trained on"):
        load_calibration("digits", ARCH, labels=(*NAMES[:9], "ten"))


def test_calibration_and_checks_share_no_image() -> None:
    samples = load_calibration("digits", ARCH).samples
    assert len(samples.calibration) == 128
    assert len(samples.images) == len(samples.labels) == 1000
    first = {image.tobytes() for image in samples.calibration}
    assert sum(image.tobytes() in first for image in samples.images) <= 2  # the data set repeats few images


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"std": [0.0]}, "std is 0.0; expected a number above 0"),
        ({"mean": []}, "mean has 0 channels and std 1"),
        ({"mean": "x"}, "mean is 'x'; expected a list"),
        ({"resize": 4}, "resize is 4; expected a whole number of at least 8"),
        ({"format": 9}, "has format 9"),
        ({"colour": 1}, "key is 'colour'"),
    ],
)
def test_preprocessing_files_are_checked(tmp_path: Path, damage, words: str) -> None:
    values = Preprocessing.usual(8, 1).to_dict() | damage
    (tmp_path / "preprocessing.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=words):
        Preprocessing.load(tmp_path / "preprocessing.json")


def test_preprocessing_crops_the_centre_and_normalises() -> None:
    pixels = np.arange(36, dtype=np.uint8).reshape(1, 1, 6, 6)
    found = replace(Preprocessing.usual(4, 1), resize=6).applied(pixels)
    assert found.shape == (1, 1, 4, 4)
    assert found[0, 0, 0, 0] == pytest.approx((7 / 255 - 0.5) / 0.5)
