"""Files that are not MNIST as published: each is refused by name, unchanged, and at no cost in memory."""

import gzip
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from archives import zip_bytes
from mnist_files import (
    IDX_NAMES,
    KEYS,
    assert_same,
    idx_bytes,
    make_arrays,
    npy_bytes,
    npy_with_header,
    npz_bytes,
    on_disk,
    write_idx,
    write_npz,
)

from vae.data import load_dataset
from vae.data import mnist as mnist_module
from vae.data.mnist import DatasetIntegrityError, load_mnist

pytestmark = pytest.mark.usefixtures("clean_place")


def assert_refused(place, file, match):
    """Loading `place` blames `file` for the fault `match`, and leaves everything as it was."""
    before = on_disk(place.parent)
    with pytest.raises(DatasetIntegrityError, match=match) as caught:
        load_mnist(place)
    assert str(file) in str(caught.value)
    assert on_disk(place.parent) == before


def without(arrays, key):
    return {name: array for name, array in arrays.items() if name != key}


class Canary:
    """Unpickling this raises the alarm."""

    alarms = 0

    def __reduce__(self):
        return Canary.raise_alarm, ()

    @staticmethod
    def raise_alarm():
        Canary.alarms += 1


def object_array():
    array = np.empty(48, dtype=object)
    array[:] = Canary()
    return array


DAMAGED_NPZ = {
    "empty": (lambda a: b"", "not a zip file"),
    "text": (lambda a: b"<html>404</html>" * 99, "not a zip file"),
    "truncated": (lambda a: npz_bytes(a)[:-40], "not a zip file|zip"),
    "half": (lambda a: npz_bytes(a)[: len(npz_bytes(a)) // 2], "not a zip file"),
    "single npy": (lambda a: npy_bytes(a["x_train"]), "not a zip file"),
    "IDX file": (lambda a: idx_bytes(a["x_train"]), "not a zip file"),
    "too large": (lambda a: npz_bytes(a) + bytes(2**21), "more than .* bytes"),
    "missing key": (lambda a: npz_bytes(without(a, "y_test")), "y_test"),
    "swapped parts": (
        lambda a: npz_bytes({"x_train": a["x_test"], "x_test": a["x_train"], **without(a, "x_train")}),
        r"x_train must be uint8 of shape \(48, 28, 28\); got uint8 of shape \(12, 28, 28\)",
    ),
    "another set": (lambda a: npz_bytes(make_arrays(seed=2)), "x_train is damaged or of another data set"),
    "one label": (lambda a: npz_bytes({**a, "y_test": a["y_test"] ^ 1}), "y_test is damaged"),
    "int64": (lambda a: npz_bytes({**a, "y_train": a["y_train"].astype(int)}), "y_train .* got int64"),
    "float": (lambda a: npz_bytes({**a, "x_test": a["x_test"] / 255}), "x_test .* got float64"),
    "flat": (lambda a: npz_bytes({**a, "x_test": a["x_test"].reshape(12, -1)}), r"\(12, 784\)"),
    "Fortran": (lambda a: npz_bytes({**a, "x_test": np.asfortranarray(a["x_test"])}), "Fortran"),
    "pickled": (lambda a: npz_bytes({**a, "y_train": object_array()}), "y_train .* got object"),
    "pickle itself": (lambda a: pickle.dumps(Canary()), "not a zip file"),
    "lzma": (
        lambda a: zip_bytes({f"{k}.npy": npy_bytes(a[k]) for k in KEYS}, zipfile.ZIP_LZMA),
        "compressed as NumPy never does",
    ),
    "no npy": (lambda a: zip_bytes({f"{key}.npy": b"nothing" for key in KEYS}), "magic"),
    "empty npy": (lambda a: zip_bytes({f"{key}.npy": b"" for key in KEYS}), "x|magic|EOF"),
    "short npy": (
        lambda a: zip_bytes({f"{key}.npy": npy_bytes(a[key])[:-1] for key in KEYS}),
        r"x_train is damaged .* 37,631 bytes .* published 37,632",
    ),
    "long npy": (
        lambda a: zip_bytes({f"{key}.npy": npy_bytes(a[key]) + b"\0" for key in KEYS}),
        r"x_train is damaged .* 37,633 bytes .* published 37,632",
    ),
    "absurd shape": (
        lambda a: zip_bytes(
            {f"{key}.npy": npy_bytes(a[key]).replace(b"(48,", b"(9999999999999,") for key in KEYS}
        ),
        "cannot be used",
    ),
    "header of code": (
        lambda a: zip_bytes({"x_train.npy": npy_with_header("__import__('os').abort()")}),
        "malformed|header",
    ),
    "nested header": (lambda a: zip_bytes({"x_train.npy": npy_with_header("(" * 9000)}), "cannot be used"),
    "long header": (lambda a: zip_bytes({"x_train.npy": npy_with_header(" " * 60000)}), "Header"),
    "negative shape": (
        lambda a: zip_bytes(
            {
                "x_train.npy": npy_with_header(
                    "{'descr': '|u1', 'fortran_order': False, 'shape': (-48, 28, 28)}"
                )
            }
        ),
        r"\(-48, 28, 28\)",
    ),
    "many entries": (lambda a: zip_bytes({f"{i}.npy": b"" for i in range(200)}), "too many entries"),
}


@pytest.mark.parametrize("case", DAMAGED_NPZ)
def test_damaged_npz_is_refused(small, tmp_path, case):
    make, match = DAMAGED_NPZ[case]
    file = write_npz(tmp_path / "d", make(small))
    Canary.alarms = 0
    for place in (file, file.parent):
        assert_refused(place, file, match)
    assert Canary.alarms == 0


def test_encrypted_npz_is_refused(small, tmp_path):
    content = bytearray(npz_bytes(small))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(signature) + offset] |= 1
    file = write_npz(tmp_path / "d", bytes(content))
    assert_refused(file, file, "encrypted")


@pytest.mark.parametrize("packed", [True, False])
def test_no_bit_flip_gives_wrong_data(small, tmp_path, packed):
    good = npz_bytes(small, np.savez_compressed if packed else np.savez)
    file = write_npz(tmp_path / "d", good)
    rng = np.random.default_rng(3)
    tail = len(good) - 600  # the directory of the archive, where most faults hide
    refused = 0
    for place in (*rng.integers(0, len(good), 150), *rng.integers(tail, len(good), 150)):
        content = bytearray(good)
        content[place] ^= 1 << rng.integers(8)
        file.write_bytes(content)
        try:
            assert_same(load_mnist(file), small)  # a date or an attribute: harmless
        except DatasetIntegrityError as error:
            refused += str(file) in str(error)
    assert refused > 150


def test_every_truncation_is_refused(small, tmp_path):
    good = npz_bytes(small)
    file = write_npz(tmp_path / "d", good)
    for length in (*range(0, len(good), 997), len(good) - 1):
        file.write_bytes(good[:length])
        with pytest.raises(DatasetIntegrityError):
            load_mnist(file)


DAMAGED_IDX = {
    "empty": (lambda c: b"", "not an IDX file"),
    "header only": (lambda c: c[:16], "damaged .* 0 bytes"),
    "cut": (lambda c: c[:-1], "damaged .* 37,631 bytes"),
    "too long": (lambda c: c + b"\0", "damaged .* 37,633 bytes"),
    "far too long": (lambda c: c + bytes(2**21), "more than .* bytes"),
    "flipped": (lambda c: c[:999] + bytes([c[999] ^ 4]) + c[1000:], "damaged"),
    "foreign": (lambda c: idx_bytes(make_arrays(seed=2)["x_train"]), "another data set"),
    "absurd size": (lambda c: c[:4] + b"\xff" * 12 + c[16:], "not an IDX file"),
    "gz cut": (lambda c: gzip.compress(c)[:-9], "end-of-stream|ended before"),
    "gz flipped": (lambda c: gzip.compress(c)[:-5] + b"\0\0\0\0\0", "CRC|length"),
    "gz of nothing": (lambda c: gzip.compress(b""), "not an IDX file"),
    "gz magic alone": (lambda c: b"\x1f\x8b", "cannot be used"),
    "gz of garbage": (lambda c: b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xff" * 99, "cannot be used"),
}


@pytest.mark.parametrize("case", DAMAGED_IDX)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_damaged_idx_is_refused(small, tmp_path, case, suffix):
    make, match = DAMAGED_IDX[case]
    folder = write_idx(tmp_path / "d", small)
    (folder / IDX_NAMES[0]).unlink()
    bad = folder / f"{IDX_NAMES[0]}{suffix}"
    bad.write_bytes(make(idx_bytes(small["x_train"])))
    assert_refused(folder, bad, match)


def test_swapped_idx_files_are_refused(small, tmp_path):
    folder = write_idx(tmp_path / "d", small)
    train, test = folder / IDX_NAMES[0], folder / IDX_NAMES[2]
    content = train.read_bytes()
    train.write_bytes(test.read_bytes())
    test.write_bytes(content)
    assert_refused(folder, train, r"not an IDX file of uint8 of shape \(48, 28, 28\)")


@pytest.mark.parametrize("name", IDX_NAMES)
def test_incomplete_set_of_idx_files_is_refused(small, tmp_path, name):
    folder = write_idx(tmp_path / "d", small)
    (folder / name).unlink()
    assert_refused(folder, folder, f"lacks {name}")


@pytest.mark.parametrize("name", ["mnist.npz", IDX_NAMES[0]])
@pytest.mark.parametrize(
    "make", [os.mkdir, lambda file: os.symlink("nowhere", file), getattr(os, "mkfifo", None)]
)
def test_what_is_no_file_is_refused(small, tmp_path, name, make):
    if make is None:
        pytest.skip("no named pipes here")
    folder = write_idx(tmp_path / "d", small)
    (folder / IDX_NAMES[0]).unlink()
    make(folder / name)
    assert_refused(folder, folder / name, "not a regular file")
    if name == "mnist.npz":
        assert_refused(folder / name, folder / name, "not a regular file")


def test_unreadable_file_is_refused(small, tmp_path, monkeypatch):
    file = write_npz(tmp_path / "d", npz_bytes(small))

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(mnist_module, "open", refuse, raising=False)
    assert_refused(file, file, "Permission denied")


def zip_bomb():
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (48, 28, 28)}"
    return zip_bytes({"x_train.npy": npy_with_header(header, bytes(200_000_000))})


def gz_bomb():
    return gzip.compress(idx_bytes(np.zeros((48, 28, 28), np.uint8)) + bytes(200_000_000), 1)


@pytest.mark.parametrize("make", [zip_bomb, gz_bomb])
def test_bomb_is_refused_and_takes_no_memory(small, tmp_path, make):
    name = "mnist.npz" if make is zip_bomb else f"{IDX_NAMES[0]}.gz"
    folder = write_idx(tmp_path / "d", small)
    (folder / IDX_NAMES[0]).unlink()
    (folder / name).write_bytes(make())
    tracemalloc.start()
    try:
        with pytest.raises(DatasetIntegrityError, match=r"x_train is damaged .* 37,633 bytes"):
            load_mnist(folder)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("place", ["env", "cache"])
def test_damaged_file_is_never_passed_over(small, tmp_path, monkeypatch, offline, place):
    write_npz(tmp_path / "keras" / "datasets", npz_bytes(small))
    folder = tmp_path / "env" if place == "env" else tmp_path / "keras" / "datasets"
    file = write_npz(folder, b"damaged")
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path / "env"))
    before = on_disk(tmp_path)
    for load in (load_mnist, load_dataset, lambda: load_dataset("mnist")):
        with pytest.raises(DatasetIntegrityError) as caught:
            load()
        assert str(file) in str(caught.value)
    assert on_disk(tmp_path) == before


def test_one_changed_pixel_of_mnist_is_found(mnist, tmp_path):
    arrays = {key: getattr(mnist, key).copy() for key in KEYS}
    arrays["x_train"][30000, 14, 14] ^= 1
    file = write_npz(tmp_path / "d", npz_bytes(arrays, np.savez))
    assert_refused(file, file, "x_train is damaged or of another data set")
