"""How likely a model finds images, in nats: by the bound that a VAE trains on, and by a tighter one."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from vae._checks import Images, check_instance, check_positive_int, check_seed
from vae._keras import keras
from vae._terminal import progress
from vae.losses import kl_divergence
from vae.model import VAE
from vae.training.inference import Inference
from vae.training.seeds import draw_seed

ops = keras.ops
_DECODED = 4096  # images decoded at a time by `log_likelihood`
_DRAWS = 512  # of one image at a time


def elbo(model: VAE, x: Images, n_samples: int = 1, seed: int | None = None) -> np.ndarray:
    """Return the evidence lower bound of each image, in nats: E_q[log p(x|z)] - KL(q(z|x) || N(0, I)).

    Kingma & Welling 2014 (arXiv 1312.6114), equation 3. beta stays out: it belongs to training. For
    "mse" p(x|z) is a Gaussian of variance 1/2 around the decoded image, so that the bound is
    -(reconstruction + KL) - (D/2) log(pi) with D pixels, a density. For the others it is
    -(reconstruction + KL): for "gaussian" a density; for "bernoulli" a likelihood, but only of
    black-and-white images; for a function of your own, if that is a negative log-likelihood in nats.

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
    x, codes = _encode(model, x, n_samples, seed)
    sums = np.zeros(len(x))
    for rows, log_p, _ in _draws(model, x, codes, n_samples, seed):
        sums[rows] += log_p.sum(axis=1)
    return sums / n_samples - ops.convert_to_numpy(kl_divergence(*codes))


def log_likelihood(model: VAE, x: Images, n_samples: int = 1000, seed: int | None = None) -> np.ndarray:
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
    x, codes = _encode(model, x, n_samples, seed)
    sums = np.full(len(x), -np.inf)  # logarithms of sums
    for rows, log_p, log_ratio in _draws(model, x, codes, n_samples, seed):
        sums[rows] = np.logaddexp(sums[rows], np.logaddexp.reduce(log_p + log_ratio, axis=1))
    return sums - math.log(n_samples)


def anomaly_score(model: VAE, x: Images, n_samples: int = 16, seed: int | None = None) -> np.ndarray:
    """Return how badly the model explains each image, in nats: its negative ELBO, higher is stranger.

    A threshold is a quantile of the scores of clean images that the model was not trained on, as below: one
    in a hundred of them will be called strange as well. A high score says that the decoder cannot draw the
    image, a low one not that it is of the kind that the model knows: images of few strokes, or of one
    colour, may be drawn better than those (Xiao et al. 2020, arXiv 2003.02977).

    Args:
        model: A `VAE`, trained on clean images.
        x: n images, as `VAE` takes them.
        n_samples: Draws of z an image over which the score is averaged.
        seed: Of the draws; None for new ones each time.

    Returns:
        float64, shape (n,).

    Raises:
        TypeError: `model` is no VAE, or images of a type other than uint8 or float.
        ValueError: Images of a wrong shape or range, or `n_samples` or `seed` no whole number.

    Example:
        >>> import numpy as np, vae
        >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())  # then compile and fit
        >>> clean, new = np.random.rand(100, 784), np.zeros((3, 784))
        >>> threshold = np.quantile(vae.anomaly_score(model, clean), 0.99)
        >>> (vae.anomaly_score(model, new) > threshold).shape
        (3,)
    """
    return -elbo(model, x, n_samples, seed)


def _encode(model: Any, x: Any, n_samples: Any, seed: Any) -> tuple[np.ndarray, Any]:
    """Check what both functions take; return the images, and their z_mean and z_log_sigma."""
    check_instance("model", model, VAE)
    check_positive_int("n_samples", n_samples)
    check_seed("seed", seed)
    x = model.shape_images("x", x)
    return x, model.encode(x)


class LogDensity(keras.layers.Layer):
    """[x, decoded] -> log p(x|z), (batch,), of images and what z decodes to."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.loss = model.reconstruction_loss
        pixels = math.prod(model.decoder.output_shape[1:])
        self.constant = 0.5 * pixels * math.log(math.pi) if model.reconstruction == "mse" else 0.0

    def call(self, inputs: Any) -> Any:
        """Return one number a row."""
        x, decoded = inputs
        return -self.loss(x, decoded) - self.constant


class _LogDensityOfDraws(keras.layers.Layer):
    """[x, z] -> log p(x|z): images (batch, ...) and points (batch, draws, latent_dim), (batch, draws)."""

    def __init__(self, model: VAE, draws: int) -> None:
        super().__init__()
        self.decoder, self.log_density, self.draws = model.decoder, LogDensity(model), draws

    def call(self, inputs: Any) -> Any:
        x, z = inputs
        decoded = self.decoder(ops.reshape(z, (-1, z.shape[-1])))
        return ops.reshape(self.log_density([ops.repeat(x, self.draws, axis=0), decoded]), (-1, self.draws))


def _draws(
    model: VAE, x: np.ndarray, codes: tuple[np.ndarray, np.ndarray], n_samples: int, seed: int | None
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Draw z ~ q(z|x) in blocks; yield which images, log p(x|z), and log p(z) - log q(z|x)."""
    rng = np.random.default_rng(draw_seed() if seed is None else seed)
    z_mean, z_log_sigma = (part[:, np.newaxis] for part in codes)
    draws = math.ceil(n_samples / math.ceil(n_samples / _DRAWS))  # of one size, so compiled once
    images = 1 << (_DECODED // draws).bit_length() - 1
    points = keras.Input((draws, z_mean.shape[-1]))
    inputs = [keras.Input(model.encoder.input_shape[1:]), points]
    log_density = Inference(keras.Model(inputs, _LogDensityOfDraws(model, draws)(inputs)))

    blocks = [(i, j) for i in range(0, len(x), images) for j in range(0, n_samples, draws)]
    for start, done in progress(blocks, len(blocks), "Drawing z, block"):
        rows = slice(start, start + images)
        epsilon = rng.standard_normal((len(x[rows]), draws, z_mean.shape[-1]), dtype=np.float32)
        z = z_mean[rows] + np.exp(z_log_sigma[rows]) * epsilon
        (log_p,) = log_density(x[rows], z)
        log_ratio = z_log_sigma[rows].sum(axis=-1) + 0.5 * (epsilon**2 - z**2).sum(axis=-1)
        wanted = n_samples - done  # the last block may hold more
        yield rows, log_p[:, :wanted].astype(np.float64), log_ratio[:, :wanted].astype(np.float64)
