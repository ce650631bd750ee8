"""What a training leaves behind, and how it ends when something is wrong."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from candidates import Architecture, zoo
from candidates.errors import InputError, RunError
from candidates.export import load_network
from nas.calibration import _class_order
from nas.data import load_data, open_source
from nas.find_candidate import find_candidate, find_weights
from nas.proxy import Proxy
from nas.recipe import Recipe as ProxyRecipe
from nas.trainer import checkpoints, evaluating, session
from nas.trainer import recipe as recipes
from nas.trainer.checkpoints import checkpoint_paths
from nas.trainer.data import choose
from nas.trainer.folder import open_training
from nas.trainer.init import initial_weights
from nas.trainer.recipe import Recipe
from nas.trainer.teacher import Teacher
from nas.trainer.trained import open_trained
from tests.nas.trainer.conftest import Kill, Trainer, save_photos

QUICK = Recipe(epochs=4, batch=8, lr=0.05, lr_batch=None, ema_decay=0.7, keep_best=1)


def test_a_training_learns_and_leaves_its_folder(trainer: Trainer) -> None:
    folder = trainer.make("t", replace(QUICK, epochs=8))
    result = trainer.run("t")
    assert result is not None
    path = trainer.path / "t"
    assert {p.name for p in path.iterdir() if not p.name.startswith(".")} == {
        "recipe.yaml", "training.json", "architecture.json", "candidate.json", "preprocessing.json", "labels.txt",
        "metrics.csv", "result.json", "model.safetensors", "checkpoints",
    }  # fmt: skip
    assert not list(path.glob("*/*.safetensors"))
    assert result == json.loads((path / "result.json").read_text())
    assert result["validation"]["top1"] > 0.8  # the classes differ in colour
    assert (result["validation"]["images"], result["test"]["images"]) == (12, 6)
    assert result["test_images_used"] == "once, after the last epoch"
    rows = list(csv.DictReader((path / "metrics.csv").open()))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 9))
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert len(checkpoint_paths(path)) <= 2  # the best and the last
    assert open_training(path).finished
    assert open_training(path).recipe == folder.recipe


def test_a_training_folder_is_a_candidate_with_its_weights(trainer: Trainer) -> None:
    trainer.make("t", QUICK)
    with pytest.raises(KeyboardInterrupt):
        trainer.run("t", Kill(4))
    path = trainer.path / "t"
    with pytest.raises(InputError, match="has not finished; go on with: nas-train --resume"):
        find_weights(str(path))
    assert find_candidate(str(path)).accuracy is None
    result = trainer.run("t")
    assert result is not None
    found = find_candidate(str(path))
    assert found.accuracy == result["accuracy"]
    assert found.found["training"]["epochs"] == 4
    weights = find_weights(str(path))
    assert weights == path / "model.safetensors"
    state = checkpoints.load(list(checkpoint_paths(path).values())[-1], found.architecture.id)
    shipped = load_network(found.architecture, weights).state_dict()
    for name, tensor in state["average"]["weights"].items():  # the averaged weights are those shipped
        assert torch.equal(shipped[name], tensor)
    assert not torch.equal(
        state["network"]["layers.0.conv.conv.weight"], shipped["layers.0.conv.conv.weight"]
    )


def test_a_finished_training_is_not_trained_again(trainer: Trainer) -> None:
    trainer.make("t", replace(QUICK, epochs=1))
    first = trainer.run("t")
    before = trainer.weights("t")
    assert trainer.run("t") is not None
    assert trainer.weights("t") == before
    assert first is not None


def test_divergence_stops_with_the_step_and_the_last_good_checkpoint(trainer: Trainer) -> None:
    trainer.make(
        "t", replace(QUICK, lr=0.01, schedule="table", lr_table=((1, 0.01), (2, 1e6)), ema_decay=None)
    )
    with pytest.raises(
        RunError, match=r"diverged at step \d+ \(epoch 2\).*last good checkpoint is .*step-000000004.pt"
    ):
        trainer.run("t")
    assert not (trainer.path / "t" / "model.safetensors").exists()
    state = checkpoints.load(
        trainer.path / "t" / "checkpoints" / "step-000000004.pt",
        open_training(trainer.path / "t").architecture.id,
    )
    assert all(torch.isfinite(t).all() for t in state["network"].values())


def test_a_full_disk_leaves_the_last_good_checkpoint(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer.make("t", QUICK)
    written = []

    def write(path: Path, data: Any) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        Path(path).write_bytes(data)

    monkeypatch.setattr("nas.trainer.checkpoints.write_bytes", write)
    with pytest.raises(
        RunError, match=r"cannot be written: No space left on device; the last good .*step-000000008.pt"
    ):
        trainer.run("t")
    monkeypatch.undo()
    assert trainer.run("t") is not None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("cut", "cannot be read.*is it cut short"),
        ("pickle", "holds pickled code or is no checkpoint: it is not read"),
        ("other", "is of the architecture 'abc', but the folder's is"),
        ("newer", "has format 9; this version reads format 1"),
        ("text", "holds pickled code or is no checkpoint|cannot be read"),
        ("bare", "average is 5; expected a mapping"),
    ],
)
def test_a_damaged_checkpoint_is_refused(trainer: Trainer, content: str, words: str) -> None:
    trainer.make("t", QUICK)
    with pytest.raises(KeyboardInterrupt):
        trainer.run("t", Kill(6))
    (path,) = checkpoint_paths(trainer.path / "t").values()
    state = torch.load(path, weights_only=True)
    if content == "cut":
        path.write_bytes(path.read_bytes()[:-2000])
    elif content == "pickle":
        torch.save({"format": 1, "id": Path("/tmp")}, path)
    elif content == "text":
        path.write_text("not a checkpoint")
    elif content == "bare":
        torch.save(state | {"average": 5}, path)
    else:
        torch.save(state | ({"id": "abc"} if content == "other" else {"format": 9}), path)
    with pytest.raises(InputError, match=words):
        trainer.run("t")


def test_other_data_are_refused_on_resume(trainer: Trainer, tmp_path: Path) -> None:
    trainer.make("t", QUICK)
    for data, words in (
        (
            save_photos(tmp_path / "four", 3, classes=4),
            "has the classes class0, .*class3, but .* was trained on class0",
        ),
        (save_photos(tmp_path / "more", 13), "has changed since the training began"),
    ):
        trainer.data = data
        with pytest.raises(InputError, match=words):
            trainer.run("t")


def test_unreadable_images_are_replaced_and_counted_or_refused(tmp_path: Path) -> None:
    data = save_photos(tmp_path / "photos", 40)
    bad = data / "train" / "class0" / "7.png"
    bad.write_bytes(bad.read_bytes()[:100])
    trainer = Trainer(tmp_path, data)
    for name, crop in (("kept", "padded"), ("decoded", "resized")):
        trainer.make(name, replace(QUICK, epochs=1, crop=crop))
        result = trainer.run(name, workers=1)
        assert result is not None
        assert result["unreadable_images"] == 1
        assert str(bad) in result["unreadable"][0]
    trainer.make("many", replace(QUICK, crop="resized"))
    for number in range(10, 16):
        (data / "train" / "class1" / f"{number}.png").write_text("no image")
    with pytest.raises(RunError, match=r"images cannot be read, more than 1% of those to train on; one is "):
        trainer.run("many")
    with pytest.raises(InputError, match=r"of 120 images cannot be read, more than 1%; the first is "):
        trainer.make("none", QUICK)


def test_photographs_of_every_kind(tmp_path: Path) -> None:
    data = save_photos(tmp_path / "photos", 6)
    image = Image.fromarray(np.full((30, 40, 3), 99, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(data / "train" / "class0" / "turned.jpg", exif=exif)
    image.convert("CMYK").save(data / "train" / "class1" / "cmyk.jpg")
    image.convert("L").save(data / "train" / "class2" / "gray.png")
    image.convert("P").save(data / "train" / "class2" / "palette.gif")
    image.convert("RGBA").save(data / "train" / "class2" / "alpha.webp")
    trainer = Trainer(tmp_path, data)
    trainer.make("t", replace(QUICK, epochs=1, crop="resized"))
    result = trainer.run("t")
    assert result is not None
    assert result["unreadable_images"] == 0


def test_fine_tuning_takes_all_but_the_classifier(trainer: Trainer, tmp_path: Path) -> None:
    trainer.make("t", QUICK)
    trainer.run("t")
    source = str(trainer.path / "t")
    arch = open_training(source).architecture
    for kind in ("ema", "plain"):
        known, weights = initial_weights(source, kind, arch.for_input(classes=5))
        assert known is not None
        assert weights is not None
        assert "layers.0.conv.conv.weight" in weights
        assert not any(name.startswith(f"layers.{len(arch.layers) - 1}.linear") for name in weights)
        assert known["normalisation"] == (
            open_training(source).preprocessing.mean,
            open_training(source).preprocessing.std,
        )
    _, ema = initial_weights(source, "ema", arch)
    _, plain = initial_weights(source, "plain", arch)
    assert ema is not None
    assert plain is not None
    assert len(ema) == len(plain) == len(load_network(arch, None).state_dict())
    assert not torch.equal(ema["layers.0.conv.conv.weight"], plain["layers.0.conv.conv.weight"])
    with pytest.raises(InputError, match=r"does not fit the architecture .* is .*, expected .* and \d+ more"):
        initial_weights(source, "ema", zoo.load("mnasnet-small"))
    with pytest.raises(InputError, match="--init-weights is 'best'; expected one of ema, plain"):
        initial_weights(source, "best", arch)


def test_a_finished_network_scores_the_same_when_it_is_opened_again(trainer: Trainer) -> None:
    from nas.trainer.evaluating import evaluate, watch

    trainer.make("t", QUICK)
    result = trainer.run("t")
    assert result is not None
    path = trainer.path / "t"
    model = open_trained(str(path))
    for split, expected in (("val", result["validation"]), ("test", result["test"])):
        found = evaluate(model, str(trainer.data), split, 0, open_training(path))
        assert found.top1 == expected["top1"]
        assert found.loss == pytest.approx(expected["loss"], rel=1e-4)
    scored = list(watch(open_training(path), torch.device("cpu"), 0))
    assert [item["step"] for item in scored] == list(checkpoint_paths(path))
    assert scored[-1]["top1"] == result["validation"]["top1"]


def test_grayscale_images_train_a_network_of_one_channel(tmp_path: Path) -> None:
    data = save_photos(tmp_path / "photos", 6)
    for file in data.rglob("*.png"):
        Image.open(file).convert("L").save(file)
    trainer = Trainer(tmp_path, data)
    folder = trainer.make("t", replace(QUICK, epochs=1, randaugment_ops=1))
    assert folder.architecture.channels_in == 1
    result = trainer.run("t")
    assert result is not None
    assert math.isfinite(result["validation"]["loss"])


@pytest.mark.parametrize(
    ("name", "recipe", "size"),
    [
        ("vgg-like", "adam-onecycle", 12), ("resnet-like", "sgd-plateau", 12), ("mobilenet-v2-reduced", "proxy", 12),
        ("resnet-18-reduced", "adam-onecycle", 12), ("enet-v2", "enet-v2", 64), ("enet-v3", "enet-v6", 64),
        ("enet-v7", "enet-v7", 64), ("mnasnet-a1", "mnasnet", 12), ("mobilenet-v2", "mindcv-100", 12),
    ],
)  # fmt: skip
def test_the_models_that_came_before_train_by_their_recipes(
    trainer: Trainer, name: str, recipe: str, size: int
) -> None:
    chosen = recipes.shortened(recipes.load(recipe), 1)
    trainer.make("t", chosen.with_values({"batch": 16}), zoo.load(name).scaled(0.25).for_input(size))
    result = trainer.run("t")
    assert result is not None
    assert math.isfinite(result["validation"]["loss"])
    assert find_candidate(str(trainer.path / "t")).architecture.id == result["id"]


def test_the_proxys_recipe_in_this_loop_learns_what_the_proxy_learns(tmp_path: Path) -> None:
    arch = Architecture.from_blocks(["r1_k3_s22_e3_i16_o24", "r1_k3_s22_e3_i24_o40_se0.25"], stem=16, head=64)
    proxy = Proxy.prepare(load_data("digits"), ProxyRecipe(epochs=8), device="cpu")
    expected = proxy.train(arch, seed=0).accuracy
    data = choose(open_source("digits"))
    recipe = recipes.load("proxy").with_values({"epochs": 8})
    folder = session.new_training("x", proxy.architecture(arch), "digits", data, recipe, 0, tmp_path / "t")
    result = session.run(folder, data, session.Options("cpu", 0, tensorboard=False), io.StringIO())
    assert result is not None
    assert expected > 0.5  # of ten classes
    assert result["accuracy"] == pytest.approx(expected, abs=0.12)


def test_bfloat16_trains_on_a_cpu(trainer: Trainer) -> None:
    trainer.make("t", replace(QUICK, epochs=1, precision="bfloat16", clip_norm=1.0))
    result = trainer.run("t")
    assert result is not None
    assert math.isfinite(result["validation"]["loss"])


def test_the_smallest_update_needs_two_images(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path, save_photos(tmp_path / "photos", 2))
    with pytest.raises(InputError, match="6 images to train; too few for an update in 8 parts"):
        trainer.make("t", replace(QUICK, batch=64, accumulate=8))
    with pytest.raises(
        InputError, match=r"6 images to train, 2 in an epoch \(epoch_fraction 0\.3\); too few"
    ):
        trainer.make("t", replace(QUICK, epoch_fraction=0.3, accumulate=4))
    assert not (tmp_path / "t").exists()


def test_the_fold_is_kept_however_the_data_are_spelled(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trainer.make("t", replace(QUICK, epochs=1), extra={"fold": "1/2"})
    trainer.run("t")
    model = open_trained(str(folder.path))
    monkeypatch.chdir(trainer.data.parent)
    for name in (str(trainer.data), trainer.data.name):
        scored = evaluating.evaluate(model, name, "val", 0, folder)
        assert scored.images == 18  # half of the training images; the data's own validation split has 12


def test_white_space_in_a_classs_name_is_no_other_class(tmp_path: Path) -> None:
    data = save_photos(tmp_path / "photos", 6)
    for split in ("train", "val", "test"):
        (data / split / "class1").rename(data / split / "red  panda")
    trainer = Trainer(tmp_path, data)
    folder = trainer.make("t", replace(QUICK, epochs=1))
    trainer.run("t")
    model = open_trained(str(folder.path))
    assert model.labels is not None
    assert "red panda" in model.labels
    assert evaluating.evaluate(model, str(data), "val", 0, folder).images == 6
    Teacher(model, model.preprocessing, open_source(str(data)).class_names)
    assert _class_order(open_source(str(data)), 3, model.labels).tolist() == [0, 1, 2]
