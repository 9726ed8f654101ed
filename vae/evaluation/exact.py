"""log p(x) itself, which a latent space of one or two dimensions is small enough to sum up."""

import math
from typing import NamedTuple

import numpy as np

from vae._checks import Images, check_instance
from vae._keras import keras
from vae._terminal import progress
from vae.evaluation.likelihoods import LogDensity
from vae.model import VAE
from vae.training.inference import Inference

_FIRST_STEP = 0.4  # between the points of the first lattice
_MOST_HALVINGS = 8
_BEYOND = 6.0  # spreads: of the prior around 0 and of each image around z_mean, the lattice covers
_NEGLIGIBLE = 25.0  # nats: e^-25 of the largest summand
_NUDGE = 0.02  # in the latent space, to see how much the decoder answers
_TOLERANCE = 3e-3  # nats: when halving the step changes less, it has made the rest far smaller
_POINTS = 2048  # decoded at a time
_MANY = 2_000_000  # pairs; fewer take no time worth a word
_PAIRS = 4096  # of an image and a point, compared at a time


def exact_log_likelihood(model: VAE, x: Images) -> np.ndarray:
    """Return log p(x) of each image, in nats, by a sum over a lattice of latent points.

    p(x) is the integral of p(x|z) p(z) over z (Kingma & Welling 2014, arXiv 1312.6114, section 2.1), which
    `elbo` and `log_likelihood` only bound from below. With one or two latent dimensions it can be summed.
    The lattice is made finer, where an image has its weight, until that changes nothing: the result is
    right to about 0.001 nats. It looks everywhere, not only where the encoder points: so an image that
    two places explain gets the weight of both. p(x|z) is as in `elbo`.

    Args:
        model: A `VAE` of 1 or 2 latent dimensions.
        x: n images, as `VAE` takes them.

    Returns:
        float64, shape (n,).

    Raises:
        TypeError: `model` is no VAE, or images of a type other than uint8 or float.
        ValueError: More than 2 latent dimensions, images of a wrong shape or range, or a decoder so sharp
            that the finest lattice still changes the sum.

    Example:
        >>> import numpy as np, vae
        >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
        >>> vae.evaluation.exact_log_likelihood(model, np.zeros((3, 784))).shape
        (3,)
    """
    check_instance("model", model, VAE)
    latent_dim = model.decoder.input_shape[-1]
    if latent_dim > 2:
        raise ValueError(f"model must have 1 or 2 latent dimensions; got {latent_dim}: see log_likelihood.")
    x = model.shape_images("x", x)
    z_mean, z_log_sigma = model.encode(x)
    reach = max(_BEYOND, float((np.abs(z_mean) + _BEYOND * np.minimum(1, np.exp(z_log_sigma))).max()))
    side = math.ceil(reach / _FIRST_STEP)
    lattice = np.indices((2 * side + 1,) * latent_dim).reshape(latent_dim, -1).T - side  # whole numbers
    return _refine(model, x, _Pairs(lattice, *np.divmod(np.arange(len(lattice) * len(x)), len(x))))


class _Pairs(NamedTuple):
    """Which points of a lattice are compared with which images."""

    lattice: np.ndarray  # (points, latent_dim), whole numbers: times the step, they are z
    point: np.ndarray  # (pairs,), ascending: rows of the lattice
    image: np.ndarray  # (pairs,): rows of x


def _refine(model: VAE, x: np.ndarray, pairs: _Pairs) -> np.ndarray:
    """Sum over lattices, each twice as fine as the last, until two of them agree."""
    log_density, latent_dim = _log_density(model), pairs.lattice.shape[1]
    result = np.full(len(x), -np.inf)
    for step in _FIRST_STEP * 0.5 ** np.arange(_MOST_HALVINGS + 1):
        summands, width = _compare(model, log_density, x, pairs, step)
        best = np.full(len(x), -np.inf)
        np.maximum.at(best, pairs.image, summands)
        with np.errstate(divide="ignore"):  # of images that are done, there are no more pairs
            sums = np.log(np.bincount(pairs.image, np.exp(summands - best[pairs.image]), len(x))) + best
        weighty = summands > best[pairs.image] - 1
        narrowest = np.full(len(x), np.inf)
        np.minimum.at(narrowest, pairs.image[weighty], width[weighty])
        # Two lattices wider than a peak can agree, and both be wrong.
        open_ones = (np.abs(sums - result) > _TOLERANCE) | (step > 2 * narrowest)
        result = np.where(np.isneginf(sums), result, sums)
        # Half a step away from a point, a peak as narrow as p(x|z) is there may be this much higher.
        hidden = 0.5 * latent_dim * (step / 2 / width) ** 2
        kept = open_ones[pairs.image] & (summands + hidden > best[pairs.image] - _NEGLIGIBLE)
        if not kept.any():
            return result
        pairs = _halve(pairs, kept, len(x))
    raise ValueError(
        f"model must have a smoother decoder: for {open_ones[np.unique(pairs.image)].sum()} of {len(x)} "
        f"images, steps of {step:.4f} in the latent space are still too wide to sum over it."
    )


def _log_density(model: VAE) -> Inference:
    """Return what computes log p(x|z) of images and what z decodes to, row by row."""
    x, decoded = keras.Input(model.encoder.input_shape[1:]), keras.Input(model.decoder.output_shape[1:])
    return Inference(keras.Model([x, decoded], LogDensity(model)([x, decoded])))


def _compare(
    model: VAE, log_density: Inference, x: np.ndarray, pairs: _Pairs, step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return of each pair log(p(x|z) p(z) step^latent_dim), and how wide a peak of p(z|x) would be there."""
    z, latent_dim = pairs.lattice * step, pairs.lattice.shape[1]
    log_prior = -0.5 * (z**2).sum(axis=1) - 0.5 * latent_dim * math.log(2 * math.pi)
    summands = log_prior[pairs.point] + latent_dim * math.log(step)
    curvature = np.ones(len(z))  # of -log p(z)
    starts, nudge = range(0, len(z), _POINTS), _NUDGE * np.eye(latent_dim)
    blocks = progress(starts, len(starts), "Summing over z, block") if len(summands) > _MANY else starts
    for start in blocks:
        block = slice(start, start + _POINTS)
        decoded = model.decode(z[block].astype(np.float32))
        (same,) = log_density(decoded, decoded)
        for direction in nudge:  # of -log p(x|z), of an image that z decodes to
            (aside,) = log_density(decoded, model.decode((z[block] + direction).astype(np.float32)))
            curvature[block] += 2 * np.maximum(same - aside, 0) / _NUDGE**2
        first, last = np.searchsorted(pairs.point, (start, start + _POINTS))
        for i in range(first, last, _PAIRS):
            rows = slice(i, min(i + _PAIRS, last))
            (log_p,) = log_density(x[pairs.image[rows]], decoded[pairs.point[rows] - start])
            summands[rows] += log_p
    return summands, curvature[pairs.point] ** -0.5


def _halve(pairs: _Pairs, kept: np.ndarray, images: int) -> _Pairs:
    """Return the kept pairs and their neighbours on a lattice twice as fine."""
    latent_dim = pairs.lattice.shape[1]
    around = np.indices((3,) * latent_dim).reshape(latent_dim, -1).T - 1
    places = 2 * pairs.lattice[pairs.point[kept], np.newaxis] + around  # (kept, neighbours, latent_dim)
    side = int(np.abs(places).max())
    # One whole number for a place and an image: NumPy sorts these far faster than rows.
    numbers = np.ravel_multi_index(
        tuple((places + side).reshape(-1, latent_dim).T), (2 * side + 1,) * latent_dim
    )
    both = np.unique(numbers * images + np.repeat(pairs.image[kept], len(around)))
    numbers, point = np.unique(both // images, return_inverse=True)
    lattice = np.stack(np.unravel_index(numbers, (2 * side + 1,) * latent_dim), axis=-1) - side
    return _Pairs(lattice, point, both % images)
