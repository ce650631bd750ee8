import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from candidates.errors import InputError
from nas.data import load_data, open_source


def png(value):
    file = io.BytesIO()
    Image.new("RGB", (6, 5), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def write(path, files):
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def webdataset(first, count, classes=3):
    found = {}
    for number in range(first, first + count):
        found[f"{number:06}.png"] = png(number)
        found[f"{number:06}.cls"] = str(number % classes).encode()
    return found


def test_images_with_labels_beside_them(tmp_path):
    write(tmp_path / "train-000000.tar", webdataset(0, 9))
    write(tmp_path / "train-000001.tar", webdataset(9, 9))
    write(tmp_path / "val-000000.tar", webdataset(18, 6))
    source = open_source(str(tmp_path))
    assert source.class_names == ("0", "1", "2")
    assert source.labels["train"].tolist() == [n % 3 for n in range(18)]
    assert list(source.labels) == ["train", "val"]
    pixels, problems = source.fetch("train", np.array([3, 12]), 5)
    assert not problems
    assert pixels[:, 0, 0, 0].tolist() == [3, 12]
    assert source.place("val", 1) == f"{tmp_path / 'val-000000.tar'}:000019.png"
    data = load_data(str(tmp_path), size=5)
    assert (len(data.train), len(data.validation), data.classes) == (18, 6, 3)


def test_images_in_folders_called_as_their_classes(tmp_path):
    write(tmp_path / "train.tar", {f"{name}/{n}.png": png(n) for name in ("cat", "dog") for n in range(4)})
    source = open_source(str(tmp_path))
    assert source.class_names == ("cat", "dog")
    assert source.labels["train"].tolist() == [0] * 4 + [1] * 4


def test_an_unreadable_member_is_named(tmp_path):
    write(tmp_path / "train-0.tar", webdataset(0, 6) | {"000003.png": b"no image"})
    _, problems = open_source(str(tmp_path)).fetch("train", np.arange(6), 5)
    assert len(problems) == 1
    assert problems[0].startswith(f"3: {tmp_path / 'train-0.tar'}:000003.png: ")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("cut", "is cut short|cannot be read as an uncompressed tar"),
        ("text", "cannot be read as an uncompressed tar"),
        ("gzip", "cannot be read as an uncompressed tar"),
        ("label", r"000009\.png has no label; expected 000009\.cls"),
        ("class", "is of the class '7', of which there is no image to train on"),
        ("empty", "hold no images with labels"),
    ],
)
def test_wrong_shards(tmp_path, damage, words):
    shard = tmp_path / "train-0.tar"
    write(shard, webdataset(0, 9))
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-12_000])
    elif damage == "text":
        shard.write_text("not a tar" * 200)
    elif damage == "gzip":
        import gzip

        shard.write_bytes(gzip.compress(shard.read_bytes()))
    elif damage == "label":
        write(shard, webdataset(0, 9) | {"000009.png": png(9)})
    elif damage == "class":
        write(tmp_path / "val-0.tar", {"a.png": png(1), "a.cls": b"7"})
    else:
        write(shard, {"readme.txt": b"nothing"})
    with pytest.raises(InputError, match=words):
        open_source(str(tmp_path))


def test_images_that_differ_in_their_suffix_alone_are_all_there(tmp_path):
    both = {f"{name}/{n}.{end}": png(n) for name in ("a", "b") for n in range(3) for end in ("png", "jpg")}
    write(tmp_path / "train.tar", both)
    assert len(open_source(str(tmp_path)).labels["train"]) == 12
    write(
        tmp_path / "train.tar",
        {"1.png": png(1), "1.jpg": png(2), "1.cls": b"x", "2.png": png(3), "2.cls": b"y"},
    )
    assert open_source(str(tmp_path)).labels["train"].tolist() == [0, 0, 1]
