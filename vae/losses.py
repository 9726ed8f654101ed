"""The two terms of a VAE's loss, and their sum: one number an image, in nats.

For an image x of D pixels, its reconstruction y, and a latent space of L dimensions, with sigma =
exp(z_log_sigma) (Kingma & Welling 2014, arXiv 1312.6114, section 2.2, appendix B; beta: Higgins et al. 2017):

    reconstruction loss = sum over the D pixels of (x - y)^2
    KL divergence       = 1/2 * sum over the L dimensions of (z_mean^2 + sigma^2 - 1 - 2 * z_log_sigma)
    loss                = reconstruction loss + beta * KL divergence

Sums over pixels and over latent dimensions, a mean over images: only so do the two terms stand in the
proportion that probability theory gives them. With the mean over pixels, the KL term would win, and every
image would decode to the same grey one.

A nat is the unit of information with the natural logarithm: 1 nat = 1.44 bits. The squared error is, in nats,
the negative log-likelihood of a Gaussian with variance 1/2 around each pixel of y, less its constant
(D/2) * log(pi); so with beta = 1, -(loss + (D/2) * log(pi)) is an ELBO, a lower bound on log p(x).
"""

from collections.abc import Mapping
from typing import Any

from vae._checks import check_float_tensors, check_latent_tensors, check_same_length, check_weight
from vae._keras import Tensor, keras

ops = keras.ops

_TINY = 1e-7  # the least probability of a pixel; log(0) would be infinite


def kl_divergence(z_mean: Tensor, z_log_sigma: Tensor) -> Tensor:
    """Return KL(N(z_mean, sigma^2) || N(0, I)) with sigma = exp(z_log_sigma), one number an image.

    How far the encoder's Gaussian is from the prior. Summed over the latent axis, in nats. Kingma &
    Welling 2014 (arXiv 1312.6114), appendix B.

    Args:
        z_mean: Shape (batch, latent_dim), floats.
        z_log_sigma: The same shape: the logarithm of the standard deviation, exactly; log-variance = 2 *
            z_log_sigma.

    Returns:
        Shape (batch,); 0 where the Gaussian is the prior N(0, I), above 0 elsewhere.

    Raises:
        ValueError: The two shapes differ, or are not (batch, latent_dim).
        TypeError: `z_mean` or `z_log_sigma` are no floats.

    Example:
        >>> import vae
        >>> float(vae.kl_divergence([[1.0, 0.0]], [[0.0, 0.0]])[0])
        0.5
    """
    z_mean, z_log_sigma = check_latent_tensors(z_mean=z_mean, z_log_sigma=z_log_sigma)  # (batch, latent_dim)
    # sigma^2 - 1 - log(sigma^2), written so that near sigma = 1 it does not cancel to below zero.
    log_variance = 2.0 * z_log_sigma
    spread = ops.maximum(ops.expm1(log_variance) - log_variance, 0.0)
    return 0.5 * ops.sum(ops.square(z_mean) + spread, axis=-1)  # (batch,)


@keras.saving.register_keras_serializable(package="vae")
def reconstruction_loss(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the squared error summed over all pixels (D times the MSE), one number an image.

    The negative log-likelihood, in nats and less a constant, of a Gaussian with variance 1/2 around
    each reconstructed pixel (Kingma & Welling 2014, arXiv 1312.6114, appendix C.2).

    Args:
        x: Images, shape (batch, ...), floats in [0, 1].
        reconstruction: The images that the decoder gave, the same shape.

    Returns:
        Shape (batch,).

    Raises:
        ValueError: The two shapes differ, or are no (batch, ...).
        TypeError: `x` or `reconstruction` are integers: scale them first, with `vae.flatten`.

    Example:
        >>> import vae
        >>> float(vae.reconstruction_loss([[0.0, 1.0]], [[0.5, 0.5]])[0])
        0.5
    """
    x, reconstruction = check_float_tensors(x=x, reconstruction=reconstruction)  # both (batch, ...)
    return _sum_over_pixels(ops.square(x - reconstruction))  # (batch,)


@keras.saving.register_keras_serializable(package="vae")
def bernoulli_loss(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the binary cross-entropy summed over all pixels, one number an image.

    The negative log-likelihood, in nats, of black-and-white pixels of which each is white with the
    probability that the decoder gives (Kingma & Welling 2014, arXiv 1312.6114, appendix C.1). On grey
    values it is a loss in wide use, but no likelihood: its least value is then above 0.

    Args:
        x: Images, shape (batch, ...), floats in [0, 1].
        reconstruction: The same shape: probabilities. They are clipped to [1e-7, 1 - 1e-7].

    Returns:
        Shape (batch,).

    Raises:
        ValueError: The two shapes differ, or are no (batch, ...).
        TypeError: `x` or `reconstruction` are integers: scale them first, with `vae.flatten`.

    Example:
        >>> import vae
        >>> round(float(vae.bernoulli_loss([[0.0, 1.0]], [[0.5, 0.5]])[0]), 4)
        1.3863
    """
    x, reconstruction = check_float_tensors(x=x, reconstruction=reconstruction)  # both (batch, ...)
    p = ops.clip(reconstruction, _TINY, 1 - _TINY)
    return _sum_over_pixels(-(x * ops.log(p) + (1 - x) * ops.log(1 - p)))  # (batch,)


# The choices of VAE(reconstruction=...)
RECONSTRUCTION_LOSSES = {"mse": reconstruction_loss, "bernoulli": bernoulli_loss}


def vae_loss_terms(
    x: Tensor, reconstruction: Tensor, z_mean: Tensor, z_log_sigma: Tensor, compare: Any = reconstruction_loss
) -> dict[str, Tensor]:
    """Return the terms of a VAE's loss by name, each (batch,): what `VAE` trains on and `vae_loss` adds up.

    `compare` is the function that gives the first term.
    """
    return {
        "reconstruction_loss": compare(x, reconstruction),  # (batch,)
        "kl_loss": kl_divergence(z_mean, z_log_sigma),  # (batch,)
    }


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, Any]) -> Tensor:
    """Return the sum of the terms, each times its weight; a term without one counts once."""
    return sum(weights.get(name, 1.0) * term for name, term in terms.items())


def vae_loss(
    x: Tensor, reconstruction: Tensor, z_mean: Tensor, z_log_sigma: Tensor, beta: Any = 1.0
) -> Tensor:
    """Return reconstruction loss + beta * KL divergence, the KL + MSE loss of a VAE, one number an image.

    `VAE.fit` lowers the mean of this over images, by the same code. With beta = 1 it is a negative
    ELBO less a constant (Kingma & Welling 2014, arXiv 1312.6114, equation 10); other values weigh
    order in the latent space against sharp reconstructions (Higgins et al. 2017, beta-VAE).

    Args:
        x: Images, shape (batch, ...), floats in [0, 1].
        reconstruction: The images that the decoder gave, the same shape.
        z_mean: Shape (batch, latent_dim).
        z_log_sigma: The same shape as `z_mean`; the logarithm of the standard deviation.
        beta: Weight of the KL term, 0 or more.

    Returns:
        Shape (batch,), in nats.

    Raises:
        ValueError: Shapes that differ, or a `beta` that is negative or no finite number.
        TypeError: No floats. Scale images of integers first, with `vae.flatten`.

    Example:
        >>> import vae
        >>> float(vae.vae_loss([[0.0, 1.0]], [[0.5, 0.5]], [[1.0, 0.0]], [[0.0, 0.0]])[0])
        1.0
    """
    terms = vae_loss_terms(x, reconstruction, z_mean, z_log_sigma)  # each (batch,)
    check_same_length(x=terms["reconstruction_loss"], z_mean=terms["kl_loss"])
    return weighted_sum(terms, {"kl_loss": check_weight("beta", beta)})  # (batch,)


def _sum_over_pixels(values: Tensor) -> Tensor:
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))
