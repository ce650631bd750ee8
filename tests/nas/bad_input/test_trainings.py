"""What nas-train answers to wrong options and data, before a folder is made."""

import pytest

from tests.nas.bad_input.conftest import NEW


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument 'CANDIDATE'; for example mnasnet-a1"),
        (["tiny.json"], "Missing option '--data'; for example --data ~/photos"),
        (["tiny.json", "other.json", "--data", "photos"], "got tiny.json other.json; expected one CANDIDATE"),
        (
            ["mnasnet-a9", "--data", "photos"],
            "candidate 'mnasnet-a9' is neither a file nor a folder nor one of",
        ),
        (["tiny.json", "--data", "nowhere"], "nowhere' does not exist; expected digits, a folder"),
        (["tiny.json", "--data", "photos", "--fake-data"], "--data and --fake-data exclude each other"),
        ([*NEW, "--recipe", "mnasnett"], r"recipe is 'mnasnett'; .*did you mean mnasnet\?"),
        ([*NEW, "--recipe", "none.yaml"], "cannot read none.yaml"),
        ([*NEW, "--set", "lr"], "--set lr has no '='"),
        ([*NEW, "--set", "lr=fast"], "--set: lr is 'fast'; expected a finite number"),
        ([*NEW, "--set", "learning=1"], "--set: the recipe: key is 'learning'; expected one of"),
        ([*NEW, "--set", "precision=float16"], "precision float16 is for GPUs"),
        ([*NEW, "--epochs", "0"], "--epochs is 0; expected a whole number of at least 1"),
        ([*NEW, "--global-batch", "1"], "--global-batch is 1; expected a whole number of at least 2"),
        ([*NEW, "--resolution", "0"], "--resolution is 0; expected"),
        ([*NEW, "--width", "0"], "width is 0.0; expected a number above 0"),
        ([*NEW, "--seed", "-1"], "--seed is -1; expected"),
        ([*NEW, "--workers", "-1"], "--workers is -1; expected"),
        ([*NEW, "--checkpoint-steps", "0"], "--checkpoint-steps is 0; expected"),
        (
            ["tiny.json", "--data", "photos", "--device", "tpu"],
            "--device is 'tpu'; expected one of auto, cpu, cuda",
        ),
        ([*NEW, "--out", "tiny.json"], "--out tiny.json: .*is a file; expected a folder"),
        ([*NEW, "--out", "photos"], "photos exists already; choose another --out"),
        ([*NEW, "--init-from", "nowhere"], "--init-from nowhere.* holds no weights that can be read"),
        ([*NEW, "--init-weights", "best"], "--init-weights is 'best'; expected one of ema, plain"),
        (["--resume", "photos"], "photos is not a training folder: it has no training.json"),
        (
            ["tiny.json", "--resume", "photos"],
            "a resumed training keeps its candidate, data, recipe and folder",
        ),
        (["--resume", "photos", "--epochs", "5"], "a resumed training keeps its candidate"),
        (["--resume", "photos", "--evaluate"], "--resume and --evaluate exclude each other"),
        (["mnasnet-a1", "--evaluate", "--data", "photos"], "mnasnet-a1 has no trained weights; train it"),
        (["tiny.json", "--evaluate", "--data", "photos"], "tiny.json is no trained network; expected"),
        (
            ["photos", "--evaluate", "--data", "photos"],
            "photos holds no trained network; expected model.safetensors",
        ),
        (["tiny.json", "--evaluate", "--watch"], "--watch is for a training folder; tiny.json is none"),
        (["tiny.json", "--evaluate", "--split", "all"], "--split is 'all'; expected one of test, val"),
        (["tiny.json", "--predict"], "--predict needs a trained network and images"),
        (["tiny.json", "--predict", "photos"], "tiny.json is no trained network"),
        (["--compare"], "--compare needs training folders"),
        (["--compare", "photos"], "photos is not a training folder"),
    ],
)
def test_train_refuses(refused, tiny, arguments, words):
    refused(words, "nas-train", *arguments)


def test_train_refuses_an_empty_class_and_one_class(refused, tiny, tmp_path):
    (tmp_path / "photos" / "train" / "empty").mkdir()
    refused("empty holds no images; remove the folder or fill it", "nas-train", *NEW)
    (tmp_path / "one" / "a").mkdir(parents=True)
    for file in (tmp_path / "photos" / "train" / "class0").iterdir():
        file.rename(tmp_path / "one" / "a" / file.name)
    refused("one has 1 class; expected at least 2", "nas-train", "tiny.json", "--data", "one")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("name,label\na.png,x", "expected path .or image, file"),
        ("path,kind\na.png,x", "has the columns path, kind; expected label"),
        ("path,label\na.png,x\nb.png", "row 2 has 1 values; expected 2"),
        ("path,label\n,x", "row 1 has no path"),
        ("path,label,split\na.png,x,holdout", "has the split 'holdout'; expected one of train, val, test"),
        ("path,label,split\na.png,x,val", "has no row to train on"),
        (
            "path,label,split\na.png,x,train\nb.png,y,val",
            "row 2 has the class 'y', of which there is no image",
        ),
        ("path,label\nnone.png,x", "none.png does not exist; paths are relative to"),
        ("", "has the columns none; expected path"),
    ],
)
def test_train_refuses_a_wrong_table(refused, tiny, tmp_path, table, words):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "t.csv").write_text(table)
    refused(words, "nas-train", "tiny.json", "--data", "t.csv")
