"""Small data sets on disk, in every format."""

import gzip
import io
import pickle
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

RNG = np.random.default_rng(0)


def noise(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def save_images(folder: Path, count: int, size=(9, 7), mode="RGB", suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        pixels = noise(size[1], size[0], 3)
        Image.fromarray(pixels).convert(mode).save(folder / f"{index:03}{suffix}")


@pytest.fixture
def photos(tmp_path):
    """Ten images of each of two classes to train on, four each in val/ and test/."""
    root = tmp_path / "photos"
    for split, count in (("train", 10), ("val", 4), ("test", 4)):
        for name in ("cat", "dog"):
            save_images(root / split / name, count)
    return root


def cifar_files(hundred=False, each=20):
    labels = np.arange(each, dtype=np.uint8)[:, None]
    if hundred:
        parts = ["train.bin", "test.bin"]
        labels = np.tile(np.arange(100, dtype=np.uint8), 2)[:, None]
        labels = np.concatenate([labels // 5, labels], axis=1)
        names = "\n".join(f"fine{i}" for i in range(100))
        found = {"fine_label_names.txt": names.encode()}
    else:
        parts = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
        labels = labels % 10
        found = {"batches.meta.txt": "\n".join(f"name{i}" for i in range(10)).encode()}
    for part in parts:
        found[part] = np.concatenate([labels, noise(len(labels), 3072)], axis=1).tobytes()
    return found


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def write_tar(path: Path, files: dict[str, bytes], prefix="cifar-10-batches-bin/") -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def idx_bytes(array: np.ndarray) -> bytes:
    header = b"\x00\x00\x08" + bytes([array.ndim])
    return header + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def idx_files(count=40, classes=4, zipped=False) -> dict[str, bytes]:
    found = {}
    for prefix, n in (("train", count), ("t10k", count // 2)):
        found[f"{prefix}-images-idx3-ubyte"] = idx_bytes(noise(n, 6, 5))
        found[f"{prefix}-labels-idx1-ubyte"] = idx_bytes(np.arange(n, dtype=np.uint8) % classes)
    if zipped:
        return {f"{name}.gz": gzip.compress(data) for name, data in found.items()}
    return found


def pickled_cifar() -> dict[str, bytes]:
    return {f"data_batch_{i}": pickle.dumps({"data": [], "labels": []}) for i in range(1, 6)}


@pytest.fixture(scope="session")
def make():
    """The functions above, for tests."""
    return SimpleNamespace(
        noise=noise,
        images=save_images,
        cifar=cifar_files,
        files=write_files,
        tar=write_tar,
        idx_bytes=idx_bytes,
        idx=idx_files,
        pickled_cifar=pickled_cifar,
    )
