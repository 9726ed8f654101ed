"""Places in the latent space: where a class lies, and the ways from one image to another."""

import numbers
from typing import Any

import numpy as np

from vae._checks import Images, Labels, check_choice, check_instance, check_labels, check_positive_int
from vae.model import VAE
from vae.training.inputs import check_one_image


def class_center(model: Any, x: Images, labels: Labels, label: Any) -> np.ndarray:
    """Return the point in the middle of all images of one label: the median of their z_mean.

    A few strays do not move it. `model.decode` of it gives an image of that label, such as the digit
    that you ask for.

    Args:
        model: A `VAE`.
        x: n images, as `VAE` takes them.
        labels: One label an image, shape (n,).
        label: The label to look for.

    Returns:
        float32, shape (1, latent_dim).

    Raises:
        ValueError: No image has the label, or images or labels of a wrong shape or range.
        TypeError: `model` is no VAE, or images of a type other than uint8 or float.

    Example:
        >>> import vae
        >>> digits = vae.load_digits()
        >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
        >>> seven = vae.class_center(model, digits.x_test, digits.y_test, 7)
        >>> model.decode(seven).shape
        (1, 784)
    """
    check_instance("model", model, VAE)
    array = model.shape_images("x", x)
    names = check_labels("labels", labels, len(array))
    is_label = isinstance(label, str | bytes | np.generic | numbers.Real)
    chosen = names == label if is_label else np.False_
    if not np.any(chosen):
        raise ValueError(f"label must be one of {np.unique(names).tolist()}; got {label!r}.")
    z_mean, _ = model.encode(array[chosen])
    return np.median(z_mean, axis=0, keepdims=True)


def interpolate(model: Any, start: Images, end: Images, n: int = 10, path: str = "line") -> np.ndarray:
    """Decode the points on the way from one image to another.

    Args:
        model: A `VAE`.
        start: One image, without or with a leading axis of 1.
        end: The image at the other end, likewise.
        n: Images to return, both ends included; at least 2.
        path: "line", the straight line between the two z_mean; or "sphere", along which the distance
            to the origin changes evenly: in many dimensions the middle of a line lies nearer to the
            origin than any image (White 2016, arXiv 1609.04468).

    Returns:
        float32, shape (n, pixels) or the decoder's own.

    Raises:
        ValueError: Images of a wrong shape or range, an `n` below 2, another `path`; or, on the
            sphere, ends that are opposite or at the origin, between which there is no one way.
        TypeError: `model` is no VAE, or images of a type other than uint8 or float.

    Example:
        >>> import vae
        >>> digits = vae.load_digits()
        >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
        >>> vae.interpolate(model, digits.x_test[0], digits.x_test[1], n=5).shape
        (5, 784)
    """
    check_instance("model", model, VAE)
    n, path = check_positive_int("n", n), check_choice("path", path, ("line", "sphere"))
    if n < 2:
        raise ValueError(f"n must be 2 or more, both ends included; got {n}.")
    images = [check_one_image(*end, model.encoder.input_shape) for end in (("start", start), ("end", end))]
    a, b = (model.encode(image)[0].astype(np.float64) for image in images)
    t = np.linspace(0, 1, n)[:, np.newaxis]
    return model.decode((1 - t) * a + t * b if path == "line" else _on_sphere(a, b, t))


def _on_sphere(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    length_a, length_b = np.linalg.norm(a), np.linalg.norm(b)
    if min(length_a, length_b) == 0:
        raise ValueError("start and end must not lie at the origin of the latent space for path='sphere'.")
    a, b, lengths = a / length_a, b / length_b, (1 - t) * length_a + t * length_b
    angle = np.arccos(np.clip(np.sum(a * b), -1, 1))
    if np.isclose(angle, np.pi):
        raise ValueError("start and end must not lie opposite each other for path='sphere'.")
    if np.isclose(angle, 0):
        return lengths * a
    return lengths * (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
