"""Where MNIST is looked for, and the forms in which it is read.

Formats are tried on small arrays with sums of their own. Tests of MNIST itself take it from the folder in
VAE_DATA_DIR, and are skipped where that is not set. Nothing here leaves this machine.
"""

import doctest
import hashlib
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from mnist_files import (
    IDX_NAMES,
    KEYS,
    MNIST_DIR,
    assert_same,
    assert_three_ways_out,
    idx_bytes,
    needs_mnist,
    npz_bytes,
    on_disk,
    python,
    write_idx,
    write_npz,
)

from vae.data import mnist as mnist_module
from vae.data.mnist import DatasetUnavailableError, load_mnist

pytestmark = pytest.mark.usefixtures("clean_place")


# What is accepted


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("as_folder", [True, False])
@pytest.mark.parametrize("kind", [str, Path])
def test_npz_is_loaded(small, tmp_path, save, as_folder, kind):
    file = write_npz(tmp_path / "d", npz_bytes(small, save))
    assert_same(load_mnist(kind(file.parent if as_folder else file)), small)


@pytest.mark.parametrize("sign", ["-", "."])
@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_loaded(small, tmp_path, sign, packed):
    assert_same(load_mnist(write_idx(tmp_path / "d", small, sign, packed)), small)


def test_idx_spellings_may_be_mixed_and_a_browser_may_have_unpacked_one(small, tmp_path):
    folder = write_idx(tmp_path / "d", small)
    (folder / IDX_NAMES[0]).rename(folder / f"{IDX_NAMES[0]}.gz")  # plain, called .gz
    (folder / IDX_NAMES[3]).rename(folder / "t10k-labels.idx1-ubyte")
    assert_same(load_mnist(folder), small)


def test_file_may_have_any_name_and_home_is_expanded(small, tmp_path, monkeypatch):
    write_npz(tmp_path, npz_bytes(small)).rename(tmp_path / "digits of 1998.npz")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert_same(load_mnist("~/digits of 1998.npz"), small)


def test_order_of_the_sources(small, tmp_path, monkeypatch, offline):
    folders = {name: tmp_path / name for name in ("path", "env")}
    cache = tmp_path / "keras" / "datasets"
    for folder in (*folders.values(), cache):
        write_npz(folder, npz_bytes(small))
    monkeypatch.setenv("VAE_DATA_DIR", str(folders["env"]))
    places = []
    real = mnist_module._read_npz
    monkeypatch.setattr(
        mnist_module, "_read_npz", lambda file: places.append(Path(file).parent) or real(file)
    )

    load_mnist(folders["path"])
    load_mnist()
    (folders["env"] / "mnist.npz").unlink()
    load_mnist()
    monkeypatch.delenv("VAE_DATA_DIR")
    load_mnist()
    assert places == [folders["path"], folders["env"], cache, cache]


def test_keras_cache_is_under_home_unless_keras_home_says_otherwise(monkeypatch, tmp_path):
    assert mnist_module._keras_cache() == str(tmp_path / "keras" / "datasets" / "mnist.npz")
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert mnist_module._keras_cache() == str(tmp_path / ".keras" / "datasets" / "mnist.npz")


# Where there is no MNIST


@pytest.mark.parametrize("place", ["nowhere", "nowhere/mnist.npz", ".", "", "null\0byte"])
def test_path_is_final(small, tmp_path, monkeypatch, place):
    write_npz(tmp_path / "env", npz_bytes(small))
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path / "env"))
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(DatasetUnavailableError) as caught:
        load_mnist(place)
    message = str(caught.value)
    assert place in message
    assert "VAE_DATA_DIR:" not in message  # it was not asked
    assert_three_ways_out(message)


@pytest.mark.parametrize("path", [3, True, b"bytes", ["a"], io.BytesIO()])
def test_path_of_a_wrong_type(path):
    with pytest.raises(TypeError, match="path must be a string or a path object; got"):
        load_mnist(path)


def test_error_lists_what_was_tried(tmp_path, monkeypatch, offline, capsys):
    (tmp_path / "env").mkdir()
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path / "env"))
    before = on_disk(tmp_path)
    with pytest.raises(DatasetUnavailableError) as caught:
        load_mnist()
    lines = str(caught.value).splitlines()
    assert lines[1:4] == [
        f"  - VAE_DATA_DIR: no MNIST at {tmp_path / 'env'}",
        f"  - Keras's cache: no MNIST at {tmp_path / 'keras' / 'datasets' / 'mnist.npz'}",
        "  - download: no route to host",
    ]
    assert_three_ways_out(str(caught.value))
    assert isinstance(caught.value, OSError)
    assert on_disk(tmp_path) == before
    assert capsys.readouterr().out == "Downloading MNIST (11 MB) ...\n"


def test_the_error_can_be_pickled_and_keeps_what_was_tried(tmp_path):
    with pytest.raises(DatasetUnavailableError) as caught:
        load_mnist(tmp_path / "nowhere")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.tried == caught.value.tried == (f"path: no MNIST at {tmp_path / 'nowhere'}",)


# MNIST itself


def test_mnist_is_the_published_set(mnist):
    assert mnist.x_train.shape == (60000, 28, 28)
    assert mnist.x_test.shape == (10000, 28, 28)
    assert mnist.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    sums = {key: hashlib.md5(idx_bytes(getattr(mnist, key))).hexdigest() for key in KEYS}
    assert sums == {
        "x_train": "6bbc9ace898e44ae57da46a324031adb",
        "y_train": "a25bea736e30d166cdddb491f175f624",
        "x_test": "2646ac647ad5339dbf082846283269ea",
        "y_test": "27ae3e4e09519cfbb04c329615203637",
    }


def test_mnist_from_idx_files(mnist, tmp_path):
    arrays = {key: getattr(mnist, key) for key in KEYS}
    assert_same(load_mnist(write_idx(tmp_path / "d", arrays)), arrays)


@needs_mnist
def test_reading_loads_no_keras(tmp_path):
    code = """
import sys, vae
print(vae.load_dataset("mnist"))
heavy = {"keras", "tensorflow", "jax", "torch", "sklearn", "scipy", "matplotlib", "PIL", "click"}
print(sorted(heavy & set(sys.modules)))
"""
    done, _ = python(code, tmp_path / "home", VAE_DATA_DIR=MNIST_DIR)
    assert done.stdout.splitlines()[1:] == [
        "Dataset 'mnist': 60,000 training and 10,000 test images of 28 x 28",
        "[]",
    ], done.stderr
    assert on_disk(tmp_path / "home") == {}


@needs_mnist
def test_docstring_example_runs(monkeypatch):
    monkeypatch.setenv("VAE_DATA_DIR", MNIST_DIR)
    (test,) = doctest.DocTestFinder().find(load_mnist, "load_mnist", globs={})
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
