"""The images that the lesson learns from: what a data set is, and how pixels become numbers."""

from dataclasses import dataclass

import numpy as np

from vae._checks import Images, check_choice, check_images


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels, split into a training and a test part.

    Attributes:
        x_train: Images to learn from, uint8, shape (n, height, width), 0 black to 255 white.
        y_train: Their labels, uint8, shape (n,).
        x_test: Images kept apart, like `x_train`.
        y_test: Their labels, like `y_train`.
        name: "mnist", "digits", or the name of the folder that the images came from.
        class_names: The name of each label, in order; empty where labels have none, as digits.

    Example:
        >>> import vae
        >>> digits = vae.load_digits()
        >>> digits.x_test.shape, digits.y_test.shape
        ((360, 28, 28), (360,))
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    name: str
    class_names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Name, numbers of images and their size; the arrays themselves would fill pages."""
        parts = f"{len(self.x_train):,} training and {len(self.x_test):,} test images"
        return f"Dataset {self.name!r}: {parts} of {' x '.join(map(str, self.x_train.shape[1:]))}"


def load_dataset(name: str = "auto") -> Dataset:
    """Load a data set by name, and print one line that says which one came, from where and why.

    Args:
        name: "mnist", "digits", or "auto": MNIST where it can be had, else the embedded digits.

    Returns:
        A `Dataset`; its `name` is "mnist" or "digits".

    Raises:
        DatasetUnavailableError: "mnist" was asked for and cannot be had.
        DatasetIntegrityError: A damaged MNIST was found, also under "auto".
        ValueError: `name` is none of the three.

    Example:
        >>> import vae
        >>> digits = vae.load_dataset("digits")
        Dataset 'digits': 1,437 training and 360 test images of 28 x 28; from scikit-learn, as asked.
    """
    from vae.data.digits import load_digits
    from vae.data.mnist import DatasetUnavailableError, find_mnist

    why = "as asked"
    if check_choice("name", name, ("auto", "mnist", "digits")) != "digits":
        try:
            mnist, source = find_mnist()
            print(f"{mnist}; from {source}.")
            return mnist
        except DatasetUnavailableError as error:
            if name == "mnist":
                raise
            why = f"because MNIST could not be had ({'; '.join(error.tried)})"
    digits = load_digits()
    print(f"{digits}; from scikit-learn, {why}.")
    return digits


def flatten(images: Images) -> np.ndarray:
    """Turn images into rows of pixels in [0, 1], as the dense encoder takes them.

    Args:
        images: Shape (n, pixels), (n, height, width) or (n, height, width, channels); uint8, or
            floats in [0, 1].

    Returns:
        A new array of shape (n, pixels), float32; uint8 is divided by 255.

    Raises:
        ValueError: Another shape, no images, or floats outside [0, 1].
        TypeError: Neither uint8 nor floats.

    Example:
        >>> import vae
        >>> vae.flatten(vae.load_digits().x_train).shape
        (1437, 784)
    """
    array = check_images("images", images)
    return to_float32(array.reshape(len(array), -1))


def to_float32(images: np.ndarray) -> np.ndarray:
    """Return checked images as a new float32 array: uint8 is divided by 255, floats stay as they are."""
    if images.dtype == np.uint8:
        return np.divide(images, 255, dtype=np.float32, order="C")
    return np.array(images, dtype=np.float32, order="C")


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Return images as uint8, the inverse of `to_float32`; what oversteps [0, 1] is clipped."""
    return np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)
