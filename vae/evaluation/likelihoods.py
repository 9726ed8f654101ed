"""How good a model is, in numbers: likelihoods in nats, and measures of the latent space.

A VAE's loss is an upper bound on -log p(x). `elbo` is that bound as a likelihood, `log_likelihood`
a tighter one. The measures of the latent space say what pictures of it suggest: whether neighbours
are alike, and whether what the decoder makes of random points looks like the data.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from vae._checks import check_beta, check_images, check_labels, check_points, check_positive_int, check_seed
from vae._keras import keras
from vae._terminal import progress
from vae.data import flatten
from vae.layers import drawn_seed
from vae.losses import RECONSTRUCTION_LOSSES, kl_divergence
from vae.model import VAE, check_vae
from vae.training.chunked import Inference

ops = keras.ops

_DECODED = 4096  # images decoded at a time by `log_likelihood`
_DRAWS = 512  # of one image at a time


# Likelihoods


def elbo(model: VAE, x: ArrayLike, n_samples: int = 1, seed: int | None = None) -> np.ndarray:
    """Return the evidence lower bound of each image, in nats: E_q[log p(x|z)] - KL(q(z|x) || N(0, I)).

    Kingma & Welling 2014 (arXiv 1312.6114), equation 3. beta stays out: it belongs to training. For
    "mse" p(x|z) is a Gaussian of variance 1/2 around the decoded image, so that the bound is
    -(reconstruction + KL) - (D/2) log(pi) with D pixels, a density. For "bernoulli" it is
    -(reconstruction + KL), and a likelihood only of black-and-white images.

    Args:
        model: A `VAE`.
        x: n images, as `VAE` takes them.
        n_samples: Draws of z an image over which the reconstruction is averaged.
        seed: Of the draws; None for new ones each time.

    Returns:
        float64, shape (n,).

    Raises:
        TypeError: `model` is no VAE, or images of a type other than uint8 or float.
        ValueError: Images of a wrong shape or range, or `n_samples` or `seed` no whole number.

    Example:
        >>> import numpy as np, vae
        >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
        >>> vae.elbo(model, np.zeros((3, 784)), seed=0).shape
        (3,)
    """
    x = _check(model, x, n_samples, seed)
    codes = model.encode(x)
    sums = np.zeros(len(x))
    for rows, log_p, _ in _draws(model, x, codes, n_samples, seed):
        sums[rows] += log_p.sum(axis=1)
    return sums / n_samples - ops.convert_to_numpy(kl_divergence(*codes))


def log_likelihood(model: VAE, x: ArrayLike, n_samples: int = 1000, seed: int | None = None) -> np.ndarray:
    """Return the importance-weighted bound on log p(x) of each image, in nats.

    log of the mean over draws z ~ q(z|x) of p(x|z) p(z) / q(z|x) (Burda et al. 2016, arXiv
    1509.00519, equation 8). It never lies below the ELBO on average, rises with the number of draws,
    and reaches log p(x) in the limit. p(x|z) is as in `elbo`.

    Args:
        model: A `VAE`.
        x: n images, as `VAE` takes them.
        n_samples: Draws of z an image.
        seed: Of the draws; None for new ones each time.

    Returns:
        float64, shape (n,).

    Raises:
        TypeError: `model` is no VAE, or images of a type other than uint8 or float.
        ValueError: Images of a wrong shape or range, or `n_samples` or `seed` no whole number.

    Example:
        >>> import numpy as np, vae
        >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
        >>> vae.log_likelihood(model, np.zeros((3, 784)), n_samples=20, seed=0).shape
        (3,)
    """
    x = _check(model, x, n_samples, seed)
    sums = np.full(len(x), -np.inf)  # logarithms of sums
    for rows, log_p, log_ratio in _draws(model, x, model.encode(x), n_samples, seed):
        sums[rows] = np.logaddexp(sums[rows], np.logaddexp.reduce(log_p + log_ratio, axis=1))
    return sums - math.log(n_samples)


class _LogDensity(keras.layers.Layer):
    """[x, z] -> log p(x|z): images (batch, ...) and points (batch, draws, latent_dim), (batch, draws)."""

    def __init__(self, model: VAE, draws: int) -> None:
        super().__init__()
        self.decoder, self.loss, self.draws = (
            model.decoder,
            RECONSTRUCTION_LOSSES[model.reconstruction],
            draws,
        )
        pixels = math.prod(model.decoder.output_shape[1:])
        self.constant = 0.5 * pixels * math.log(math.pi) if model.reconstruction == "mse" else 0.0

    def call(self, inputs: Any) -> Any:
        x, z = inputs
        decoded = self.decoder(ops.reshape(z, (-1, z.shape[-1])))
        nats = self.loss(ops.repeat(x, self.draws, axis=0), decoded)
        return -ops.reshape(nats, (-1, self.draws)) - self.constant


def _draws(
    model: VAE, x: np.ndarray, codes: tuple[np.ndarray, np.ndarray], n_samples: int, seed: int | None
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Draw z ~ q(z|x) in blocks; yield which images, log p(x|z), and log p(z) - log q(z|x)."""
    rng = np.random.default_rng(drawn_seed() if seed is None else seed)
    z_mean, z_log_sigma = (part[:, np.newaxis] for part in codes)
    draws = math.ceil(n_samples / math.ceil(n_samples / _DRAWS))  # of one size, so compiled once
    images = 1 << (_DECODED // draws).bit_length() - 1
    points = keras.Input((draws, z_mean.shape[-1]))
    inputs = [keras.Input(model.encoder.input_shape[1:]), points]
    log_density = Inference(keras.Model(inputs, _LogDensity(model, draws)(inputs)))

    blocks = [(i, j) for i in range(0, len(x), images) for j in range(0, n_samples, draws)]
    for start, done in progress(blocks, len(blocks), "Drawing z, block"):
        rows = slice(start, start + images)
        epsilon = rng.standard_normal((len(x[rows]), draws, z_mean.shape[-1]), dtype=np.float32)
        z = z_mean[rows] + np.exp(z_log_sigma[rows]) * epsilon
        (log_p,) = log_density(x[rows], z)
        log_ratio = z_log_sigma[rows].sum(axis=-1) + 0.5 * (epsilon**2 - z**2).sum(axis=-1)
        wanted = n_samples - done  # the last block may hold more
        yield rows, log_p[:, :wanted].astype(np.float64), log_ratio[:, :wanted].astype(np.float64)


def _check(model: Any, x: Any, n_samples: Any, seed: Any) -> np.ndarray:
    check_vae("model", model)
    check_positive_int("n_samples", n_samples)
    check_seed("seed", seed)
    return model._check_images("x", x)


# The latent space


def nearest_neighbor_accuracy(z: ArrayLike, labels: ArrayLike) -> float:
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


def active_units(z_mean: ArrayLike, threshold: float = 0.01) -> int:
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
    return int(np.sum(variance > check_beta("threshold", threshold)))


class SampleQuality(NamedTuple):
    """What a `Judge` finds in generated images."""

    class_entropy: float  # bits; of ten digits that come equally often, log2(10) = 3.32
    frechet_distance: float  # to real images; 0 where the features are distributed alike


class Judge:
    """A small classifier, trained on real images, that looks at generated ones.

    It measures whether every class comes (`class_entropy`) and how far its features of generated
    images are distributed from those of real ones (`frechet_distance`, as in Heusel et al. 2017, arXiv
    1706.08500). It says nothing by its confidence: a classifier is as sure of junk as of digits.

    Args:
        images: Real images, as `VAE` takes them.
        labels: One label an image.
        epochs: Passes over the images.
        seed: Of weights and order.

    Raises:
        ValueError: Images or labels of a wrong shape or range; `epochs` or `seed` no whole number.
        TypeError: Images of a type other than uint8 or float.

    Example:
        >>> import vae
        >>> digits = vae.load_digits()
        >>> judge = vae.Judge(digits.x_train, digits.y_train, epochs=1)
        >>> judge(digits.x_test, digits.x_test).frechet_distance < 1e-3
        True
    """

    def __init__(self, images: ArrayLike, labels: ArrayLike, *, epochs: int = 5, seed: int = 0) -> None:
        x, epochs = flatten(images), check_positive_int("epochs", epochs)
        if check_seed("seed", seed) is None:
            raise ValueError("seed must be a whole number; got None.")
        names, y = np.unique(check_labels("labels", labels, len(x)), return_inverse=True)
        if len(names) < 2:
            raise ValueError(f"labels must name two classes or more; got {names.tolist()}.")
        inputs = features = keras.Input((x.shape[1],))
        for i, units in enumerate((128, 64)):
            initializer = keras.initializers.HeNormal(seed + i)
            features = keras.layers.Dense(units, "relu", kernel_initializer=initializer)(features)
        initializer = keras.initializers.HeNormal(seed + 2)
        classes = keras.layers.Dense(len(names), "softmax", kernel_initializer=initializer)(features)
        classifier = keras.Model(inputs, classes)
        classifier.compile("adam", loss="sparse_categorical_crossentropy")
        order = np.random.default_rng(seed).permutation(len(x))
        classifier.fit(x[order], y[order], batch_size=64, epochs=epochs, shuffle=False, verbose=0)
        self.names = names
        self._look = Inference(keras.Model(inputs, [features, classes]))

    def classify(self, images: ArrayLike) -> np.ndarray:
        """Return the likeliest label of each image, shape (n,).

        Raises:
            ValueError: Images of a wrong shape or range.
            TypeError: Images of a type other than uint8 or float.
        """
        return self.names[self._see("images", images)[1].argmax(axis=1)]

    def __call__(self, generated: ArrayLike, real: ArrayLike) -> SampleQuality:
        """Compare generated images to real ones, of any numbers (1,000 and more give steady figures).

        Raises:
            ValueError: Images of a wrong shape or range, or fewer than 2 of a kind.
            TypeError: Images of a type other than uint8 or float.
        """
        features, classes = self._see("generated", generated)
        real_features, _ = self._see("real", real)
        for name, rows in (("generated", features), ("real", real_features)):
            if len(rows) < 2:
                raise ValueError(f"{name} must hold at least 2 images; got 1.")
        counts = np.bincount(classes.argmax(axis=1), minlength=len(self.names))
        shares = counts[counts > 0] / counts.sum()
        distance = frechet_distance(features, real_features)
        return SampleQuality(float(-(shares * np.log2(shares)).sum()), distance)

    def _see(self, name: str, images: Any) -> list[np.ndarray]:
        """Return features and shares of the classes."""
        x = flatten(check_images(name, images))
        pixels = self._look.network.input_shape[1]
        if x.shape[1] != pixels:
            raise ValueError(f"{name} must hold images of {pixels} values; got {x.shape[1]} an image.")
        return self._look(x)


def frechet_distance(a: ArrayLike, b: ArrayLike) -> float:
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
