"""The two terms of a VAE's loss, and their sum: one number per image, in nats.

For an image x of D pixels, its reconstruction y, and a latent space of L dimensions, with sigma =
exp(z_log_sigma) (Kingma & Welling 2014, arXiv 1312.6114, section 2.2, appendix B; beta: Higgins et al.
2017):

    reconstruction loss = sum over the D pixels of (x - y)^2
    KL divergence       = 1/2 * sum over the L dimensions of (z_mean^2 + sigma^2 - 1 - 2 * z_log_sigma)
    loss                = reconstruction loss + beta * KL divergence

Sums over pixels and over latent dimensions, a mean over images: these are the weights that the bound on
log p(x) itself prescribes (see model.py), given that we model each pixel as a Gaussian of variance 1/2
around y. A mean over pixels instead is the same as beta = D: the KL term would win, and every image would
decode to the same grey one.

A nat is the unit of information with the natural logarithm: 1 nat = 1.44 bits. The squared error plus the
constant (D/2) * log(pi) is the negative log-likelihood of that Gaussian in nats. So with beta = 1, and on
average over the draws of z, -(loss + (D/2) * log(pi)) is the ELBO (evidence lower bound): it lies below log
p(x).
"""

from collections.abc import Callable, Mapping
from typing import Any

from vae._keras import Tensor, keras
from vae._tensors import check_float_tensors, check_latent_tensors, check_same_length, check_weight

ops = keras.ops
ReconstructionLoss = Callable[[Tensor, Tensor], Tensor]  # (x, reconstruction) -> (batch,)

_TINY = 1e-7  # the least probability of a pixel; log(0) would be infinite


def kl_divergence(z_mean: Tensor, z_log_sigma: Tensor) -> Tensor:
    """Return KL(N(z_mean, sigma^2) || N(0, I)) with sigma = exp(z_log_sigma), one number per image.

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
    # sigma^2 - 1 - log(sigma^2), written so that near sigma = 1 little cancels; what rounding leaves below
    # zero is cut off.
    log_variance = 2.0 * z_log_sigma
    sigma_part = ops.maximum(ops.expm1(log_variance) - log_variance, 0.0)
    return 0.5 * ops.sum(ops.square(z_mean) + sigma_part, axis=-1)  # (batch,)


@keras.saving.register_keras_serializable(package="vae")
def reconstruction_loss(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Return the squared error summed over all pixels (D times the MSE), one number per image.

    Up to an added constant, the negative log-likelihood in nats of a Gaussian with variance 1/2 around
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
    """Return the binary cross-entropy summed over all pixels, one number per image.

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
    x: Tensor,
    reconstruction: Tensor,
    z_mean: Tensor,
    z_log_sigma: Tensor,
    reconstruction_fn: ReconstructionLoss = reconstruction_loss,
) -> dict[str, Tensor]:
    """Return the terms of a VAE's loss by name, each (batch,): what `VAE` trains on and `vae_loss` adds up.

    `reconstruction_fn` gives the first term: a function of (x, reconstruction) that returns (batch,).
    """
    return {
        "reconstruction_loss": reconstruction_fn(x, reconstruction),  # (batch,)
        "kl_loss": kl_divergence(z_mean, z_log_sigma),  # (batch,)
    }


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, Any]) -> Tensor:
    """Return the sum of the terms, each times its weight; a term without one counts once."""
    return sum(ops.cast(weights.get(name, 1.0), term.dtype) * term for name, term in terms.items())


def vae_loss(
    x: Tensor, reconstruction: Tensor, z_mean: Tensor, z_log_sigma: Tensor, beta: Any = 1.0
) -> Tensor:
    """Return reconstruction loss + beta * KL divergence, the KL + MSE loss of a VAE, one number per image.

    `VAE.fit` lowers the mean of this over images, by the same code (a VAE built with
    `reconstruction="bernoulli"` has that loss as its first term). With beta = 1 it estimates the negative
    ELBO, up to an added constant (Kingma & Welling 2014, arXiv 1312.6114, equation 10). A larger beta
    brings each Gaussian closer to the prior and blurs the reconstructions; a smaller one does the reverse
    (Higgins et al. 2017, beta-VAE).

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
    check_same_length(x=terms["reconstruction_loss"], z_mean=terms["kl_loss"])  # one per row of each
    return weighted_sum(terms, {"kl_loss": check_weight("beta", beta)})  # (batch,)


def _sum_over_pixels(values: Tensor) -> Tensor:
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))
