"""CIFAR's binary version, as a folder and as its archive."""

import gzip
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from candidates.errors import InputError
from nas.data import load_data, open_source
from nas.data.source import TEST, TRAIN


@pytest.mark.parametrize("archive", [False, True])
def test_cifar_10(make, tmp_path, archive):
    files = make.cifar()
    path = make.tar(tmp_path / "cifar-10-binary.tar.gz", files) if archive else make.files(tmp_path, files)
    source = open_source(str(path))
    assert source.class_names == tuple(f"name{i}" for i in range(10))
    assert source.images[TRAIN].shape == (100, 32, 32, 3)
    assert source.labels[TRAIN][:12].tolist() == [*range(10), 0, 1]
    record = np.frombuffer(files["data_batch_1.bin"][:3073], np.uint8)
    assert np.array_equal(source.images[TRAIN][0], record[1:].reshape(3, 32, 32).transpose(1, 2, 0))
    assert TEST not in source.labels
    assert len(open_source(str(path), (TRAIN, TEST)).labels[TEST]) == 20


@pytest.mark.parametrize("archive", [False, True])
def test_cifar_100_takes_the_fine_labels(make, tmp_path, archive):
    files = make.cifar(hundred=True)
    path = make.tar(tmp_path / "c.tgz", files, "./") if archive else make.files(tmp_path, files)
    source = open_source(str(path))
    assert source.class_names[99] == "fine99"
    assert source.labels[TRAIN][:100].tolist() == list(range(100))


def test_the_test_split_is_never_read(make, tmp_path):
    files = {**make.cifar(), "test_batch.bin": b"cut short"}
    folder = make.files(tmp_path / "folder", files)
    archive = make.tar(tmp_path / "cifar.tar.gz", files)
    assert len(load_data(str(folder)).train) == len(load_data(str(archive)).train) == 80


def test_a_missing_test_split_is_no_matter(make, tmp_path):
    files = make.cifar(hundred=True)
    del files["test.bin"]
    assert open_source(str(make.files(tmp_path, files))).class_names[0] == "fine0"


def test_names_that_climb_out_of_the_archive_write_nothing(make, tmp_path):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    path = make.tar(inside / "evil.tar.gz", {**make.cifar(), "evil.bin": b"x"}, "../../")
    assert len(open_source(str(path)).labels[TRAIN]) == 100
    assert sorted(tmp_path.rglob("*")) == sorted([*before, path])


def test_wrong_files(make, tmp_path):
    files = make.cifar()

    def refused(words, **changes):
        changed = {name: data for name, data in {**files, **changes}.items() if data is not None}
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        archive = make.tar(folder.with_suffix(".tar.gz"), changed)
        for path in (make.files(folder, changed), archive):
            with pytest.raises(InputError, match=words) as caught:
                load_data(str(path))
            assert str(path) in str(caught.value)

    refused(
        r"data_batch_2\.bin has 100 bytes; expected a multiple of 3073", **{"data_batch_2.bin": bytes(100)}
    )
    refused(
        r"lacks data_batch_3\.bin, data_batch_4\.bin", **{"data_batch_3.bin": None, "data_batch_4.bin": None}
    )
    bad = bytearray(files["data_batch_1.bin"])
    bad[0] = 77
    refused(r"train labels go from 0 to 77; expected 0 to 9", **{"data_batch_1.bin": bytes(bad)})


def test_the_pickled_version_is_refused(make, tmp_path):
    folder = make.files(tmp_path / "cifar-10-batches-py", make.pickled_cifar())
    with pytest.raises(InputError, match=r"Python version, which is pickled; use its binary version"):
        open_source(str(folder))
    archive = make.tar(tmp_path / "cifar-10-python.tar.gz", make.pickled_cifar())
    with pytest.raises(InputError, match=r"expected CIFAR's binary version \(the Python version is pickled"):
        open_source(str(archive))


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_truncated_archives(make, tmp_path, share):
    path = make.tar(tmp_path / "cifar.tar.gz", make.cifar())
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match=r"cifar\.tar\.gz"):
        open_source(str(path))


def test_damaged_archives_are_only_input_errors(make, tmp_path):
    path = make.tar(tmp_path / "cifar.tar.gz", make.cifar(each=10))
    plain = gzip.decompress(path.read_bytes())[:40_000]
    zipped = path.read_bytes()
    target = tmp_path / "damaged.tar"

    @settings(max_examples=60, deadline=None, database=None)
    @given(
        st.sampled_from([plain, zipped]),
        st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=8)), max_size=4),
    )
    def check(data, changes):
        changed = bytearray(data)
        for where, new in changes:
            at = int(where * min(len(data), 2000))
            changed[at : at + len(new)] = new
        target.write_bytes(changed)
        with suppress(InputError):
            open_source(str(target))

    check()


def test_random_bytes_are_only_input_errors(tmp_path):
    target = tmp_path / "random.tar.gz"

    @settings(max_examples=60, deadline=None, database=None)
    @given(st.sampled_from([b"", b"\x1f\x8b\x08\x00", b"BZh9", b"\xfd7zXZ\x00"]), st.binary(max_size=600))
    def check(start, data):
        target.write_bytes(start + data)
        with pytest.raises(InputError):
            open_source(str(target))

    check()
