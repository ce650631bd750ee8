"""nas-export as its user meets it: what it prints, and the one line that wrong input gets."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from candidates import Architecture, InputError, build, zoo
from candidates.preprocessing import Preprocessing
from nas.commands.app import status
from nas.commands.export import FORMATS, app
from nas.data import open_source

SMALL = Architecture.from_blocks(
    ["r1_k3_s11_e1_i8_o8"], stem=8, head=16, resolution=8, channels_in=1, classes=10, name="small"
)


@pytest.fixture
def run(capfd, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.setattr("nas.cpu.prepare", lambda: None)
    SMALL.save(tmp_path / "small.json")

    def command(*arguments):
        capfd.readouterr()
        code = status(app, "nas-export", [str(argument) for argument in arguments])
        return SimpleNamespace(code=code, **capfd.readouterr()._asdict())

    return command


@pytest.fixture
def refused(run, tmp_path):
    """The command must end with one line that matches `words`, and leave no `out`."""

    def command(words, *arguments, code=2):
        found = run(*arguments, "--out", "out")
        assert found.code == code, found.err
        assert found.err.count("\n") == 1, found.err
        assert re.search(words, found.err), found.err
        assert "(a bug;" not in found.err
        assert not (tmp_path / "out").exists()
        assert not list(tmp_path.glob(".out*"))

    return command


@pytest.fixture
def trained(tmp_path):
    from safetensors.torch import save_file

    folder = tmp_path / "trained"
    folder.mkdir()
    SMALL.save(folder / "architecture.json")
    save_file(build(SMALL, seed=4).state_dict(), folder / "model.safetensors")
    return folder


def test_json_is_one_document_with_every_check(run):
    formats = "torch,tflite,tflite-int8,onnx-int8"
    done = run("small.json", "--format", formats, "--calibrate", "digits", "--out", "out", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["id"], found["untrained"]) == (SMALL.id, True)
    by_name = {file["path"].rpartition("/")[2]: file for file in found["files"]}
    assert by_name["model.tflite"]["difference"] <= 1e-4
    assert by_name["model.tflite"]["compared_on"] == {
        "images": 32,
        "source": "images of digits (scikit-learn)",
    }
    assert 0 < by_name["model-int8.tflite"]["agreement"] <= 1
    assert by_name["model-int8.onnx"]["top1"] is None
    assert done.err == ""


def test_lines_for_people(run, trained):
    done = run(trained, "--format", "onnx-int8", "--calibrate", "digits", "--max-drop", "100", "--out", "out")
    assert done.code == 0, done.err
    assert re.search(r"out/model-int8.onnx  \(top-1 .*% on 1000 images, PyTorch .*points lost\)", done.out)
    assert "untrained" not in done.out
    assert re.search(r"weights: from .*trained", (trained.parent / "out" / "README.md").read_text())


def test_a_baseline_with_weights_from_a_file(run, tmp_path):
    arch = zoo.load("resnet-like").scaled(0.25)
    torch.save(build(arch, seed=2).state_dict(), tmp_path / "w.pt")
    done = run(
        "resnet-like", "--width", "0.25", "--weights", "w.pt", "--format", "torch,tflite", "--out", "out"
    )
    assert done.code == 0, done.err
    exported = json.loads((tmp_path / "out" / "architecture.json").read_text())
    assert exported["id"] == arch.id
    again = run("out", "--format", "tflite", "--out", "again")
    assert again.code == 0, again.err
    assert (tmp_path / "again" / "model.tflite").read_bytes() == (
        tmp_path / "out" / "model.tflite"
    ).read_bytes()


def test_the_commands_formats_are_the_exports():
    from candidates import export

    assert FORMATS == export.FORMATS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "tflite-int8"], "--format tflite-int8 needs real images; .* with --calibrate"),
        (["--format", "tflite8"], "--format is 'tflite8'; .*did you mean tflite"),
        (["--layout", "keras"], "--layout is 'keras'; expected one of own, timm, torchvision"),
        (["--layout", "timm"], "--layout timm is for --weights, which is missing"),
        (["--weights", "none.pth"], "--weights none.pth is not a file"),
        (["--weights", "small.json"], "small.json (holds more than tensors|cannot be read as weights)"),
        (["--width", "0"], "width is 0"),
        (["--resolution", "1"], "resolution is 1; expected|resolution 1 "),
        (["--max-drop", "101"], "101"),
        (["--float-io"], "--float-io is for tflite-int8"),
        (["--qat", "2"], "--qat 2 is for int8 formats"),
        (["--qat", "2", "--format", "onnx-int8"], "--qat 2 needs trained weights, which small.json does not"),
        (["--measure", "cuda:77"], "device 'cuda:77' is not there"),
        (["--measure", "cpu:tpu"], "device 'cpu:tpu' is unknown"),
        (["--calibrate", "none"], "data 'none' does not exist"),
        (["--calibrate", "few.npz"], r"few.npz gives \d+ images to .*; expected at least"),
    ],
)
def test_wrong_use(refused, tmp_path, arguments, words):
    pixels = np.zeros((50, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "few.npz", x_train=pixels, y_train=np.arange(50) % 10)
    refused(words, "small.json", *arguments)


def test_weights_that_do_not_fit_are_listed(refused, tmp_path):
    torch.save(build(zoo.architecture("mnasnet-small").scaled(0.5)).state_dict(), tmp_path / "w.pth")
    refused("w.pth does not fit small in the own layout; missing: .*without a place: .*shapes: ", "small.json",
            "--weights", "w.pth")  # fmt: skip
    refused("w.pth does not fit mnasnet-a1 in the timm layout; missing: conv_stem.weight, ", "mnasnet-a1",
            "--weights", "w.pth", "--layout", "timm")  # fmt: skip
    refused("--layout torchvision is for MnasNets; enet-v2", "enet-v2", "--weights", "w.pth", "--layout",
            "torchvision")  # fmt: skip


def test_a_trained_folder_keeps_its_own(refused, trained, tmp_path):
    refused("has trained weights; --width and --resolution are for bare", trained, "--width", "0.5")
    torch.save({}, tmp_path / "w.pth")
    refused("has weights of its own; give --weights with a bare", trained, "--weights", "w.pth")
    (trained / "labels.txt").write_text("a\nb\n")
    refused("labels.txt has 2 lines; expected 10", trained)
    (trained / "labels.txt").unlink()
    (trained / "preprocessing.json").write_text("{")
    refused("preprocessing.json: the preprocessing cannot be read as JSON", trained)
    (trained / "preprocessing.json").write_text(json.dumps(Preprocessing.usual(16, 3).to_dict()))
    refused("preprocessing.json is for 16×16×3; the network takes 8×8×1", trained)


def test_a_calibration_set_of_other_classes_or_with_an_empty_one(refused, trained, tmp_path):
    for name, count in (("a", 130), ("b", 0)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("L", (8, 8), number).save(tmp_path / "photos" / name / f"{number}.png")
    refused("photos/b holds no images", trained, "--format", "tflite-int8", "--calibrate", "photos")
    Image.new("L", (8, 8)).save(tmp_path / "photos" / "b" / "0.png")
    refused("has 2 classes and the network 10", trained, "--format", "tflite-int8", "--calibrate", "photos")


def test_the_quantiser_is_asked_for_before_anything_is_written(refused, monkeypatch):
    monkeypatch.setattr("candidates.export.tflite_file.find_spec", lambda name: None)
    words = "need the AI Edge Quantizer, which is not installed; pip install ai-edge-quantizer"
    refused(words, "small.json", "--format", "onnx,tflite-int8", "--calibrate", "digits", code=1)


def test_untrained_weights_stay_untrained_through_another_export(run, tmp_path):
    from nas.trainer.trained import open_trained

    assert run("small.json", "--format", "torch,onnx", "--out", "one").code == 0
    done = run("one", "--format", "torch", "--out", "two", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["untrained"] is True
    assert "weights: untrained" in (tmp_path / "two" / "README.md").read_text()
    for text in ("one", "one/model.onnx"):
        with pytest.raises(InputError, match="one is an export of untrained weights; train the candidate"):
            open_trained(text)


def test_small_inputs_get_the_network_that_latency_and_training_have(run, tmp_path):
    from nas.commands.latency import model

    done = run("mnasnet-a1", "--resolution", "32", "--format", "torch", "--out", "out")
    assert done.code == 0, done.err
    exported = json.loads((tmp_path / "out" / "architecture.json").read_text())
    assert exported["id"] == model("mnasnet-a1", 32).architecture.id


def test_an_export_does_not_replace_what_it_is_made_from(run, trained, tmp_path):
    dist = tmp_path / "dist"
    assert run(trained, "--format", "torch", "--out", dist).code == 0
    before = {path.name: path.read_bytes() for path in dist.iterdir()}
    for what in ([dist], [dist / "architecture.json", "--weights", dist / "model.safetensors"]):
        done = run(*what, "--format", "onnx", "--out", dist)
        assert done.code == 2
        assert "dist is the folder that is exported; choose another" in done.err
    assert {path.name: path.read_bytes() for path in dist.iterdir()} == before


def test_what_is_trained_from_an_untrained_export_is_trained(run, tmp_path):
    from nas.find_candidate import find_candidate, find_weights
    from nas.trainer import session
    from nas.trainer.data import choose
    from nas.trainer.recipe import Recipe

    assert run("small.json", "--format", "torch", "--out", "one").code == 0
    known = find_candidate("one")
    data = choose(open_source("digits"))
    folder = session.new_training(
        "x", known.architecture, "digits", data, Recipe(), 0, tmp_path / "t", known=known
    )
    (folder.path / "model.safetensors").write_bytes((tmp_path / "one" / "model.safetensors").read_bytes())
    assert find_weights("one") is None
    assert find_weights("t") is not None


def test_a_training_or_a_search_is_not_written_over(run, tmp_path):
    for name, whose in (("training.json", "a training's"), ("run.json", "a search's")):
        out = tmp_path / name.removesuffix(".json")
        out.mkdir()
        for file in (name, "model.safetensors", "architecture.json"):
            (out / file).write_text("mine")
        done = run("small.json", "--format", "onnx", "--out", out)
        assert done.code == 2
        assert f"is {whose} folder; choose another" in done.err
        assert (out / "model.safetensors").read_text() == "mine"


def test_measuring_nothing_is_refused(refused):
    words = "--measure cpu:litert runs tflite files, and --format is onnx; add one that it runs"
    refused(words, "small.json", "--format", "onnx", "--measure", "cpu:litert")
    refused(
        "--measure cpu runs onnx files, and --format is torch",
        "small.json",
        "--format",
        "torch",
        "--measure",
        "cpu",
    )


def test_labels_beside_weights_from_anywhere_are_not_theirs(run, tmp_path):
    (tmp_path / "dl").mkdir()
    torch.save(build(SMALL, seed=4).state_dict(), tmp_path / "dl" / "w.pth")
    (tmp_path / "dl" / "labels.txt").write_text("a\nb\n")
    done = run("small.json", "--weights", "dl/w.pth", "--out", "out")
    assert done.code == 0, done.err
    assert not (tmp_path / "out" / "labels.txt").exists()
