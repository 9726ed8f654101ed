"""What pictures only suggest, in numbers: of the latent space, and of generated images."""

from typing import Any, NamedTuple

import numpy as np

from vae._checks import (
    Images,
    Labels,
    Points,
    check_images,
    check_labels,
    check_non_negative,
    check_points,
    check_positive_int,
    check_seed,
)
from vae._keras import keras
from vae.data import flatten
from vae.training.inference import Inference


def nearest_neighbor_accuracy(z: Points, labels: Labels) -> float:
    """Return the share of points whose nearest other point has the same label.

    Args:
        z: Latent points, such as the z_mean of `VAE.encode`, shape (n, latent_dim), n at least 2.
        labels: One label a point, shape (n,).

    Returns:
        A number from 0 to 1.

    Raises:
        ValueError: Points or labels of a wrong shape, or fewer than two points.
        TypeError: Points that are no numbers.

    Example:
        >>> import vae
        >>> vae.nearest_neighbor_accuracy([[0.0, 0.0], [0.1, 0.0], [5.0, 5.0], [5.1, 5.0]], [1, 1, 2, 3])
        0.5
    """
    from scipy.spatial import cKDTree

    points = check_points("z", z)
    names = check_labels("labels", labels, len(points))
    if len(points) < 2:
        raise ValueError("z must hold at least 2 points; got 1.")
    _, nearest = cKDTree(points).query(points, k=2)
    own = np.arange(len(points))
    others = np.where(nearest[:, 0] == own, nearest[:, 1], nearest[:, 0])  # of equal points, any comes first
    return float(np.mean(names[others] == names))


def active_units(z_mean: Points, threshold: float = 0.01) -> int:
    """Return how many latent dimensions carry information: those whose z_mean varies over images.

    Burda et al. 2016 (arXiv 1509.00519), section 5.2: a dimension is active if the variance of its
    z_mean over images is above 0.01. The KL term switches off what the decoder does not need.

    Args:
        z_mean: The means of many images, shape (n, latent_dim).
        threshold: Least variance of an active dimension.

    Returns:
        A number from 0 to latent_dim.

    Raises:
        ValueError: `z_mean` of a wrong shape, or not finite; a `threshold` that is negative or not finite.
        TypeError: No numbers.

    Example:
        >>> import vae
        >>> vae.active_units([[1.0, 0.0], [-1.0, 0.0], [0.5, 0.01]])
        1
    """
    variance = check_points("z_mean", z_mean).var(axis=0, dtype=np.float64)
    return int(np.sum(variance > check_non_negative("threshold", threshold)))


class Quality(NamedTuple):
    """What `SampleQuality` finds in generated images."""

    class_entropy: float  # bits; of ten digits that come equally often, log2(10) = 3.32
    frechet_distance: float  # to real images; 0 where the features are distributed alike


class SampleQuality:
    """A small classifier, trained on real images, that looks at generated ones.

    It measures whether every class comes (`class_entropy`) and how far its features of generated
    images are distributed from those of real ones (`frechet_distance`, as in Heusel et al. 2017, arXiv
    1706.08500). It says nothing by its confidence: a classifier is as sure of junk as of digits.

    Args:
        images: Real images, as `flatten` takes them.
        labels: One label an image.
        epochs: Passes over the images.
        seed: Of weights and order.

    Raises:
        ValueError: Images or labels of a wrong shape or range; `epochs` or `seed` no whole number.
        TypeError: Images of a type other than uint8 or float.

    Example:
        >>> import vae
        >>> digits = vae.load_digits()
        >>> quality = vae.SampleQuality(digits.x_train, digits.y_train, epochs=1)
        >>> quality(digits.x_test, digits.x_test).frechet_distance < 1e-3
        True
    """

    def __init__(self, images: Images, labels: Labels, *, epochs: int = 5, seed: int = 0) -> None:
        x, epochs = flatten(images), check_positive_int("epochs", epochs)
        if check_seed("seed", seed) is None:
            raise ValueError("seed must be a whole number; got None.")
        names, y = np.unique(check_labels("labels", labels, len(x)), return_inverse=True)
        if len(names) < 2:
            raise ValueError(f"labels must name two classes or more; got {names.tolist()}.")
        inputs = outputs = keras.Input((x.shape[1],))
        for i, (units, activation) in enumerate([(128, "relu"), (64, "relu"), (len(names), "softmax")]):
            features, initializer = outputs, keras.initializers.HeNormal(seed + i)
            outputs = keras.layers.Dense(units, activation, kernel_initializer=initializer)(features)
        classifier = keras.Model(inputs, outputs)
        classifier.compile(keras.optimizers.Adam(0.003), loss="sparse_categorical_crossentropy")
        order = np.random.default_rng(seed).permutation(len(x))
        batch_size = 256 if len(x) > 20_000 else 32  # few images need more steps
        classifier.fit(x[order], y[order], batch_size=batch_size, epochs=epochs, shuffle=False, verbose=0)
        self.names = names
        self._classifier = Inference(keras.Model(inputs, [features, outputs]))

    def classify(self, images: Images) -> np.ndarray:
        """Return the likeliest label of each image, shape (n,).

        Raises:
            ValueError: Images of a wrong shape or range.
            TypeError: Images of a type other than uint8 or float.
        """
        return self.names[self._see("images", images)[1].argmax(axis=1)]

    def __call__(self, generated: Images, real: Images) -> Quality:
        """Compare generated images to real ones, of any numbers (1,000 and more give steady figures).

        Raises:
            ValueError: Images of a wrong shape or range, or fewer than 2 of a kind.
            TypeError: Images of a type other than uint8 or float.
        """
        features, classes = self._see("generated", generated, least=2)
        real_features, _ = self._see("real", real, least=2)
        counts = np.bincount(classes.argmax(axis=1))
        shares = counts[counts > 0] / counts.sum()
        return Quality(float(-(shares * np.log2(shares)).sum()), frechet_distance(features, real_features))

    def _see(self, name: str, images: Any, least: int = 1) -> list[np.ndarray]:
        """Return features and shares of the classes."""
        x, pixels = flatten(check_images(name, images)), self._classifier.network.input_shape[1]
        if x.shape[1] != pixels:
            raise ValueError(f"{name} must hold images of {pixels} values; got {x.shape[1]} an image.")
        if len(x) < least:
            raise ValueError(f"{name} must hold at least {least} images; got {len(x)}.")
        return self._classifier(x)


def frechet_distance(a: Points, b: Points) -> float:
    """Return the squared Frechet distance between Gaussians fitted to two sets of feature vectors.

    |mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), Dowson & Landau 1982 (doi
    10.1016/0047-259X(82)90077-X).

    Args:
        a: Shape (n, features), n at least 2.
        b: Shape (m, features), m at least 2.

    Returns:
        A number from 0 up, in squared units of the features.

    Raises:
        ValueError: Other shapes, or numbers that are not finite.
        TypeError: No numbers.

    Example:
        >>> import vae
        >>> vae.frechet_distance([[0.0], [2.0]], [[3.0], [5.0]])
        9.0
    """
    first = check_points("a", a).astype(np.float64)
    second = check_points("b", b, first.shape[1]).astype(np.float64)
    if min(len(first), len(second)) < 2:
        raise ValueError(f"a and b must hold at least 2 rows each; got {len(first)} and {len(second)}.")
    cov_a, cov_b = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (first, second))
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    # The eigenvalues of C_a C_b are those of the symmetric root C_b root.
    product = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    shift = ((first.mean(axis=0) - second.mean(axis=0)) ** 2).sum()
    return float(max(0.0, shift + np.trace(cov_a) + np.trace(cov_b) - 2 * product))
