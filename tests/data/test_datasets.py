import doctest

import numpy as np
import pytest
from mnist_files import MNIST_DIR, assert_same, needs_mnist, npz_bytes, python, write_npz

from vae.data import Dataset, flatten, load_dataset
from vae.data.mnist import DatasetUnavailableError

pytestmark = pytest.mark.usefixtures("clean_place")


@pytest.mark.parametrize("module", ["vae.data", "vae.data.mnist", "vae.data.digits"])
def test_import_loads_nothing_heavy(tmp_path, module):
    heavy = ("PIL", "sklearn", "scipy", "matplotlib", "click", "keras", "tensorflow", "jax", "torch")
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done, _ = python(code, tmp_path / "home")
    assert done.stdout == "[]\n", done.stderr


@needs_mnist
def test_load_dataset_says_where_mnist_came_from(monkeypatch, capsys):
    monkeypatch.setenv("VAE_DATA_DIR", MNIST_DIR)
    for name in ("auto", "mnist"):
        dataset = load_dataset(name)
        assert capsys.readouterr().out == f"{dataset}; from VAE_DATA_DIR.\n"


def test_load_dataset_digits(capsys):
    dataset = load_dataset("digits")
    assert dataset.name == "digits"
    assert capsys.readouterr().out == f"{dataset}; from scikit-learn, as asked.\n"


def test_load_dataset_auto_gives_mnist_where_it_is(small, tmp_path, monkeypatch, capsys):
    write_npz(tmp_path / "keras" / "datasets", npz_bytes(small))
    assert_same(load_dataset(), small)
    line = "Dataset 'mnist': 48 training and 12 test images of 28 x 28; from Keras's cache.\n"
    assert capsys.readouterr().out == line


def test_load_dataset_auto_gives_digits_otherwise_and_says_why(offline, capsys):
    assert load_dataset("auto").name == "digits"
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Downloading MNIST (11 MB) ..."
    assert second.startswith("Dataset 'digits': 1,437 training and 360 test images of 28 x 28; from")
    assert "because MNIST could not be had (VAE_DATA_DIR: not set; Keras's cache: no MNIST at" in second
    assert second.endswith("download: no route to host).")


def test_load_dataset_mnist_does_not_fall_back(offline):
    with pytest.raises(DatasetUnavailableError, match="no route to host"):
        load_dataset("mnist")


@pytest.mark.parametrize("name", ["MNIST", "fashion", "", None, 3])
def test_load_dataset_unknown_name(name):
    with pytest.raises(ValueError, match="name must be 'auto' or 'mnist' or 'digits'; got"):
        load_dataset(name)


def test_dataset_is_frozen_and_compares_by_identity(digits):
    with pytest.raises(AttributeError):
        digits.name = "mnist"
    assert digits == digits
    assert digits != Dataset(digits.x_train, digits.y_train, digits.x_test, digits.y_test, "digits")


def test_flatten_scales_uint8():
    images = np.arange(256, dtype=np.uint8).repeat(4).reshape(64, 4, 4)
    before = images.copy()
    rows = flatten(images)
    assert rows.shape == (64, 16)
    assert rows.dtype == np.float32
    assert rows.min() == 0
    assert rows.max() == 1
    np.testing.assert_array_equal(rows, before.reshape(64, 16) / np.float32(255))
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("shape", [(5, 12), (5, 3, 4), (5, 2, 2, 3)])
def test_flatten_takes_floats_of_every_shape(dtype, shape):
    images = np.linspace(0, 1, 60).reshape(shape).astype(dtype)
    rows = flatten(images)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, images.reshape(5, 12), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 4)])
def test_flatten_gives_a_new_contiguous_array(dtype, shape):
    images = np.asfortranarray(np.full(shape, 255 if dtype == np.uint8 else 1, dtype))
    for given in (images, images[::2], images[..., ::-1], np.ascontiguousarray(images)):
        given.setflags(write=False)
        rows = flatten(given)
        assert rows.flags.c_contiguous
        assert rows.flags.writeable
        assert not np.shares_memory(rows, given)


@pytest.mark.parametrize(
    ("images", "error"),
    [
        (np.full((2, 4), 255.0), ValueError),
        (np.full((2, 4), np.nan), ValueError),
        (np.zeros((2, 4), int), TypeError),
        (np.zeros(4), ValueError),
        (np.zeros((0, 4)), ValueError),
        ("images", ValueError),
    ],
)
def test_flatten_names_its_argument(images, error):
    with pytest.raises(error, match="images must"):
        flatten(images)


@pytest.mark.parametrize("function", [load_dataset, flatten])
def test_docstring_examples_run(function):
    (test,) = doctest.DocTestFinder().find(function, function.__name__, globs={})
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
