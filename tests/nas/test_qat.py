"""Quantisation-aware fine-tuning: what it repairs, and that it leaves a network of the same kind."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from candidates import Architecture, RunError, build, zoo
from candidates.export.running import of_network
from candidates.preprocessing import FILE, Preprocessing
from nas.calibration import load_calibration, training_images
from nas.candidate import Candidate
from nas.data import load_data
from nas.packing import Packing, pack
from nas.qat import RoundedActivation, RoundedKernel, fine_tuned
from nas.recipe import Recipe
from nas.training import DeviceData, train

ARCH = Architecture.from_blocks(
    ["r1_k3_s22_e3_i16_o24_se0.25", "r1_k3_s11_e3_i24_o32_hswish"],
    stem=16, head=64, stem_stride=1, resolution=8, channels_in=1, classes=10,
)  # fmt: skip


def test_kernels_are_rounded_per_channel_and_gradients_pass() -> None:
    kernel = torch.randn(4, 3, 3, 3) * torch.tensor([0.01, 0.1, 1.0, 10.0]).view(4, 1, 1, 1)
    kernel.requires_grad_()
    found = RoundedKernel()(kernel)
    step = kernel.detach().abs().amax((1, 2, 3)) / 127
    assert bool(((found - kernel).abs() <= step.view(4, 1, 1, 1) * 0.501).all())
    found.sum().backward()
    assert torch.equal(kernel.grad, torch.ones_like(kernel))


def test_activations_have_256_levels_and_zero_stays_zero() -> None:
    rounded = RoundedActivation()
    values = torch.linspace(-1.0, 3.0, 5000)
    found = rounded(values)
    assert len(found.unique()) <= 256
    assert float((found - values).abs().max()) <= 4 / 255
    assert float(rounded(torch.zeros(1))) == 0.0


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained network whose first channels differ thousandfold in scale, with the same float answers."""
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    data = DeviceData.put(load_data("digits"), torch.device("cpu"))
    net = build(ARCH, seed=0)
    train(net, data, Recipe(epochs=8, peak_lr=0.3, crop_padding=0.0), seed=0)
    factors = torch.exp(torch.empty(16).uniform_(-3.5, 3.5, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():  # ReLU lets a positive factor through, and the next kernel takes it out again
        net.layers[0].conv.norm.weight *= factors
        net.layers[0].conv.norm.bias *= factors
        net.layers[1].expand.conv.weight /= factors.view(1, -1, 1, 1)
    folder = tmp_path_factory.mktemp("uneven")
    ARCH.save(folder / "architecture.json")
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, folder / "model.safetensors")
    mean, std = (tuple(t.flatten().tolist()) for t in (data.mean, data.std))
    (folder / FILE).write_text(json.dumps(Preprocessing(8, 8, mean, std).to_dict()))
    return folder


def test_what_int8_spoils_is_repaired(uneven: Path, tmp_path: Path) -> None:
    weights, notes = uneven / "model.safetensors", []
    with pytest.raises(RunError, match="a drop of more than 1 points"):
        pack(Candidate(ARCH), weights, Packing(["tflite-int8"], tmp_path / "plain", "digits"))
    packing = Packing(["onnx-int8", "tflite", "tflite-int8"], tmp_path / "tuned", "digits", 0.02, qat=15)
    written = {item.format: item for item in pack(Candidate(ARCH), weights, packing, note=notes.append).files}
    for name in ("onnx-int8", "tflite-int8"):
        check = written[name].check
        assert check is not None
        assert check.drop is not None
        assert check.drop <= 0.02
    assert written["tflite"].check.difference <= 1e-4  # the float file keeps the weights that were trained
    assert len(notes) == 15
    assert "quantisation-aware fine-tuning" in (tmp_path / "tuned" / "README.md").read_text()


@pytest.mark.parametrize("name", ["enet-v2", "vgg-like", "resnet-like"])
def test_baselines_are_fine_tuned_too_and_keep_their_names(name: str) -> None:
    arch = zoo.load(name).for_input(32 if name == "enet-v2" else 8, 1, 10).scaled(0.25)
    net = build(arch).eval()
    with torch.no_grad():
        net.layers[-1].linear.weight *= 1e-3  # probabilities as a trained network has them, not 0 and 1
    images = np.random.default_rng(0).standard_normal((20, 1, arch.resolution, arch.resolution), np.float32)
    before = of_network(net)(images)
    tuned = fine_tuned(net, lambda indices: images[indices], len(images), 2)
    assert tuned.state_dict().keys() == net.state_dict().keys()
    assert np.array_equal(of_network(net)(images), before)
    assert not np.array_equal(of_network(tuned)(images), before)


def test_the_same_seed_gives_the_same_network() -> None:
    net = build(ARCH).eval()
    preprocessing = load_calibration("digits", ARCH).preprocessing
    count, images = training_images("digits", preprocessing)
    assert count == 640
    first, second = (fine_tuned(net, images, 64, 1, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
