"""nas-train as its users call it: in this process where that is enough, killed as a process where it is not."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nas.commands.app import status
from nas.trainer.checkpoints import checkpoint_paths
from nas.trainer.evaluating import evaluate
from nas.trainer.folder import open_training
from nas.trainer.loop import Training
from nas.trainer.monitor import Monitor
from nas.trainer.trained import open_trained
from tests.nas.processes import argv
from tests.nas.trainer.conftest import TINY

OPTIONS = ["--device", "cpu", "--workers", "0", "--epochs", "3", "--global-batch", "8"]
Run = Callable[..., SimpleNamespace]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nas.cpu.prepare", lambda: None)
    TINY.save(tmp_path / "tiny.json")

    def command(*arguments: Any, name: str = "train") -> SimpleNamespace:
        from importlib import import_module

        capfd.readouterr()
        app = import_module(f"nas.commands.{name}").app
        code = status(app, f"nas-{name}", [str(argument) for argument in arguments])
        return SimpleNamespace(code=code, **capfd.readouterr()._asdict())

    return command


def test_a_recipe_is_shown_resolved(run: Run) -> None:
    found = run("--show", "--recipe", "mnasnet", "--global-batch", "512", "--set", "epochs=10")
    assert found.code == 0
    assert "epochs: 10\n" in found.out
    assert "batch: 512\n" in found.out
    assert "# learning rate 0.032 for the batch of 512" in found.out


def test_train_export_evaluate_predict_and_compare(run: Run, photos: Path, tmp_path: Path) -> None:
    found = run("tiny.json", "--data", photos, *OPTIONS, "--out", "t", "--set", "lr=0.05", "--json")
    assert found.code == 0, found.err
    result = json.loads(found.out)
    assert "epoch   3/3" in found.err
    assert {Path(file).name for file in result["files"]} >= {
        "model.safetensors",
        "metrics.csv",
        "result.json",
    }
    assert list((tmp_path / "t" / "tensorboard").glob("events.out.tfevents.*"))

    events = EventAccumulator(str(tmp_path / "t" / "tensorboard")).Reload().Tags()
    assert {"accuracy/validation", "loss/validation", "learning rate"} <= set(events["scalars"])
    assert {"confusion matrix"} <= set(events["images"])
    assert any(name.startswith("training images") for name in events["images"])
    assert "layers.0.conv.conv.weight" in events["histograms"]

    watched = run("t", "--evaluate", "--watch", "--workers", "0", "--json")
    assert watched.code == 0, watched.err
    last = json.loads(watched.out)[-1]
    assert last["step"] == result["steps"]
    assert last["top1"] == result["validation"]["top1"]

    again = run("--resume", "t", "--json")
    assert json.loads(again.out)["validation"] == result["validation"]

    exported = run("t", "--format", "torch,onnx", "--out", "dist", "--json", name="export")
    assert exported.code == 0, exported.err
    assert json.loads(exported.out)["untrained"] is False
    assert (tmp_path / "dist" / "preprocessing.json").exists()

    for model in ("t", "dist", "dist/model.onnx"):
        scored = run(model, "--evaluate", "--data", photos, "--workers", "0", "--json")
        assert scored.code == 0, scored.err
        assert json.loads(scored.out)["accuracy"] == result["accuracy"]

    (tmp_path / "broken.jpg").write_text("no image")
    answers = []
    for model in ("t", "dist/model.onnx"):
        told = run(model, "--predict", photos / "test", "broken.jpg", "--json")
        assert told.code == 1, told.err  # the others are classified all the same
        assert told.err.startswith("nas-train: broken.jpg cannot be read: ")
        answers.append(json.loads(told.out))
    assert [item.get("class") for item in answers[0]] == [item.get("class") for item in answers[1]]
    assert len(answers[0]) == 7
    right = [item["class"] == Path(item["path"]).parent.name for item in answers[0][:6]]
    assert sum(right) / 6 == result["test"]["top1"]
    assert run("t", "--predict", "broken.jpg").code == 1
    assert run("t", "--predict", photos / "test").out.count("\n") == 6

    tuned = run("t", "--init-from", "t", "--data", photos, *OPTIONS, "--out", "u")
    assert tuned.code == 0, tuned.err
    anew = run("dist", "--data", photos, *OPTIONS, "--epochs", "1", "--out", "v")
    assert "trained from scratch; --init-from dist would start from its weights" in anew.out
    assert json.loads((tmp_path / "v" / "training.json").read_text())["data"] == str(photos)
    compared = run("--compare", "t", "u", "--out", "both.svg", "--json")
    rows = json.loads(compared.out)["trainings"]
    assert [row["epochs"] for row in rows] == [3, 3]
    assert rows[0]["final_accuracy"] == result["accuracy"]
    drawn = (tmp_path / "both.svg").read_text()
    assert "validation accuracy" in drawn
    assert {">t</text>", ">u</text>"} <= {
        f">{name}</text>" for name in ("t", "u") if f">{name}</text>" in drawn
    }
    first = next(csv.DictReader((tmp_path / "u" / "metrics.csv").open()))
    assert float(first["validation_loss"]) < 1.2  # it starts from what t has learned


def test_data_of_other_classes_are_refused(run: Run, photos: Path, tmp_path: Path) -> None:
    from tests.nas.trainer.conftest import save_photos

    assert run("tiny.json", "--data", photos, *OPTIONS, "--epochs", "1", "--out", "t").code == 0
    save_photos(tmp_path / "four", 3, classes=4)
    found = run("t", "--evaluate", "--data", "four", "--workers", "0")
    assert found.code == 2
    assert "has the classes class0, class1, class2, class3, but t knows class0, class1, class2" in found.err


def test_a_dry_run_on_fake_data(run: Run, tmp_path: Path) -> None:
    found = run(
        "tiny.json", "--fake-data", *OPTIONS, "--resolution", "12", "--recipe", "mnasnet", "--out", "t"
    )
    assert found.code == 0, found.err
    result = json.loads((tmp_path / "t" / "result.json").read_text())
    assert result["data"]["name"] == "fake data"
    assert result["weights"] == "exponential moving average"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_of_images(run: Run, photos: Path, tmp_path: Path, suffix: str) -> None:
    rows = [
        {
            "Image": os.path.relpath(file, tmp_path),
            "class": file.parent.name,
            "split": file.parent.parent.name,
        }
        for file in sorted(photos.rglob("*.png"))
    ]
    if suffix == "csv":
        with (tmp_path / "t.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    outcomes = []
    for data, out in ((f"t.{suffix}", "a"), (str(photos), "b")):
        found = run("tiny.json", "--data", data, *OPTIONS, "--epochs", "1", "--out", out)
        assert found.code == 0, found.err
        outcomes.append((tmp_path / out / "model.safetensors").read_bytes())
    assert outcomes[0] == outcomes[1]  # the same images in the same order


def test_ctrl_c_saves_and_says_how_to_go_on(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = ["tiny.json", "--data", photos, *OPTIONS]
    assert run(*begin, "--out", "whole").code == 0
    update = Monitor.update

    def interrupting(monitor: Monitor, training: Training, images: int) -> None:
        update(monitor, training, images)
        if training.position.step == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Monitor, "update", interrupting)
    found = run(*begin, "--out", "t")
    assert found.code == 130
    assert "interrupted; go on with: nas-train --resume t" in found.out
    assert list(checkpoint_paths(tmp_path / "t")) == [3]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert run("--resume", "t").code == 0
    assert (tmp_path / "t" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


def test_killed_as_a_process(photos: Path, tmp_path: Path) -> None:
    TINY.save(tmp_path / "tiny.json")
    options = [str(tmp_path / "tiny.json"), "--data", str(photos), "--device", "cpu", "--workers", "1"]
    options += ["--epochs", "4", "--global-batch", "4", "--set", "crop=resized", "--set", "dropout=0.2"]

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            argv("train", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    whole = start(*options, "--out", str(tmp_path / "whole"))
    killed = start(*options, "--out", str(tmp_path / "t"), "--checkpoint-steps", "5")
    until = time.monotonic() + 60
    while not checkpoint_paths(tmp_path / "t"):
        assert killed.poll() is None, killed.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    last = start("--resume", str(tmp_path / "t"))
    for process in (whole, last):
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    assert (tmp_path / "t" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


def test_two_processes_share_the_work(photos: Path, tmp_path: Path) -> None:
    TINY.save(tmp_path / "tiny.json")
    script = tmp_path / "nas-train"
    script.write_text("from nas.commands.train import main; main()")
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
    ]
    options = ["--data", str(photos), *OPTIONS, "--set", "ema_decay=0.5", "--set", "accumulate=2"]
    root = str(Path(__file__).parents[3])
    found = subprocess.run(
        [*launch, str(tmp_path / "tiny.json"), *options, "--out", str(tmp_path / "t"), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert found.returncode == 0, found.stderr
    result = json.loads(found.stdout)
    assert result["processes"] == 2
    assert result["steps"] == 3 * (36 // 8)  # updates of the global batch, whoever computes them
    assert (result["validation"]["images"], result["test"]["images"]) == (12, 6)
    path = tmp_path / "t"
    scored = evaluate(open_trained(str(path)), str(photos), "val", 0, open_training(path))
    assert scored.top1 == result["validation"]["top1"]  # each process scored its half
    assert scored.loss == pytest.approx(result["validation"]["loss"], rel=1e-4)


def test_data_called_fake_are_a_folder_as_any_other(run: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "fake").symlink_to(photos)
    found = run("tiny.json", "--data", "fake", *OPTIONS, "--out", "t")
    assert found.code == 0, found.err
    assert "36 images to train" in found.out
    assert run("t", "--evaluate", "--data", "fake", "--device", "cpu").code == 0
    missing = run("tiny.json", "--data", "nowhere/fake", *OPTIONS, "--out", "u")
    assert missing.code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--set", "epoch_fraction=0.3", "--set", "accumulate=16"), "12 in an epoch"),
        (("--fold", "190/200"), "there are 36 images to train on; expected fewer folds"),
        (("--teacher", "grey"), "takes images of 1 channels, the student of 3"),
        (("--device", "cuda"), "PyTorch finds no such GPU here; use --device cpu"),
    ],
)
def test_what_would_end_a_training_at_once_leaves_no_folder(
    run: Run, photos: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    if "--teacher" in arguments:
        TINY.for_input(channels_in=1).save(tmp_path / "grey.json")
        assert run("grey.json", "--format", "torch", "--out", "grey", name="export").code == 0
        path = tmp_path / "grey" / "candidate.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"untrained": False}))
    found = run("tiny.json", "--data", photos, "--workers", "0", "--epochs", "1", "--out", "t", *arguments)
    assert found.code == 2, found.out + found.err
    assert found.err.count("\n") == 1, found.err
    assert words in found.err
    assert not (tmp_path / "t").exists()


def test_a_trained_network_on_a_gpu_that_is_not_there(run: Run, photos: Path) -> None:
    assert run("tiny.json", "--data", photos, *OPTIONS, "--out", "t").code == 0
    found = run("t", "--evaluate", "--device", "cuda")
    assert found.code == 2
    assert "PyTorch finds no such GPU here; use --device cpu" in found.err


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("result.json", {"validation": None}, "result.json: validation"),
        ("result.json", {"validation": {"top1": "high"}}, "validation's top1"),
        ("training.json", {"init_from": "x"}, "init_from"),
    ],
)
def test_a_damaged_training_is_named(
    run: Run, photos: Path, tmp_path: Path, file: str, change: dict[str, object], words: str
) -> None:
    assert run("tiny.json", "--data", photos, *OPTIONS, "--out", "t").code == 0
    path = tmp_path / "t" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    found = run("--resume", "t")
    assert (found.code, found.err.count("\n")) == (2, 1), found.err
    assert words in found.err
