import doctest

import numpy as np
from mnist_files import KEYS

from vae.data.digits import load_digits


def test_digits_have_the_form_of_mnist(digits):
    assert digits.x_train.shape == (1437, 28, 28)
    assert digits.x_test.shape == (360, 28, 28)
    assert digits.y_train.shape == (1437,)
    assert digits.y_test.shape == (360,)
    for key in KEYS:
        array = getattr(digits, key)
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
        assert array.flags.writeable
    assert repr(digits) == "Dataset 'digits': 1,437 training and 360 test images of 28 x 28"


def test_digits_look_like_mnist(digits):
    """White on black, an empty margin of 4, and smooth: grey stands between black and white."""
    x = digits.x_train
    inside = np.zeros((28, 28), bool)
    inside[4:24, 4:24] = True
    assert x[:, ~inside].max() == 0
    assert x.max() == 255
    assert 0.15 < (x > 0).mean() < 0.25  # MNIST: 0.19
    assert 30 < x.mean() < 45  # MNIST: 33
    levels = [np.mean((x[:, inside] >= low) & (x[:, inside] < high)) for low, high in ((0, 32), (224, 256))]
    assert min(levels) > 0.15
    assert 1 - sum(levels) > 0.1


def test_digits_are_those_of_scikit_learn(digits):
    """Averaged back to 8 x 8, each image is most like the one it was made from."""
    from sklearn import datasets

    source = datasets.load_digits()
    labels = np.concatenate([digits.y_train, digits.y_test])
    np.testing.assert_array_equal(np.bincount(labels), np.bincount(source.target))
    train = np.flatnonzero(~np.isin(np.arange(1797), np.argsort(source.target, kind="stable")[1::5]))
    np.testing.assert_array_equal(digits.y_train, source.target[train])  # the original order
    blurred = digits.x_train[:, 4:24, 4:24].repeat(2, 1).repeat(2, 2).reshape(-1, 8, 5, 8, 5).mean((2, 4))
    a, b = blurred.reshape(len(train), -1), source.images[train].reshape(len(train), -1)
    correlation = [np.corrcoef(one, other)[0, 1] for one, other in zip(a, b, strict=True)]
    assert min(correlation) > 0.9


def test_digits_are_split_evenly_and_always_alike(digits):
    train, test = np.bincount(digits.y_train), np.bincount(digits.y_test)
    assert len(train) == len(test) == 10
    shares = test / (train + test)
    assert shares.min() > 0.19
    assert shares.max() < 0.21
    assert len(set(digits.y_train[:10])) >= 8
    everything = np.concatenate([digits.x_train, digits.x_test]).reshape(1797, -1)
    assert len(np.unique(everything, axis=0)) == 1797  # nothing stands in both parts
    again = load_digits()
    for key in KEYS:
        np.testing.assert_array_equal(getattr(again, key), getattr(digits, key))


def test_docstring_example_runs():
    (test,) = doctest.DocTestFinder().find(load_digits, "load_digits", globs={})
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
