"""The two terms of a VAE's loss, and their sum: one number an image, in nats.

For an image of D pixels and L latent dimensions (Kingma & Welling 2014, arXiv 1312.6114):

    reconstruction = sum over D of (x - reconstruction)^2             section 2.2, Gaussian decoder
    KL             = 1/2 sum over L of (z_mean^2 + sigma^2 - 1) - log(sigma)          appendix B
    loss           = reconstruction + beta * KL                       beta: Higgins et al. 2017

Sums over pixels and over latent dimensions, a mean over images: only so do the two terms stand
in the proportion that probability theory gives them. The squared error is the negative
log-likelihood of a Gaussian with variance 1/2 around the reconstruction, less its constant
(D/2) * log(pi); so with beta = 1, -(loss + (D/2) * log(pi)) is an ELBO.
"""

from typing import Any

import numpy as np

from vae._checks import as_array, check_beta
from vae._keras import keras

ops = keras.ops

_TINY = 1e-7  # the least probability of a pixel; log(0) would be infinite


def kl_divergence(z_mean: Any, z_log_sigma: Any) -> Any:
    """Return KL(N(z_mean, sigma^2) || N(0, I)) with sigma = exp(z_log_sigma), one number an image.

    `z_log_sigma` is the logarithm of the standard deviation, exactly; log-variance = 2 *
    z_log_sigma. Summed over the latent axis, in nats, never averaged. Kingma & Welling 2014
    (arXiv 1312.6114), appendix B.

    Args:
        z_mean: Shape (batch, latent_dim), floats.
        z_log_sigma: The same shape.

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
    z_mean, z_log_sigma = _as_floats("z_mean", z_mean), _as_floats("z_log_sigma", z_log_sigma)
    _check_same_shape("z_mean", z_mean, "z_log_sigma", z_log_sigma)
    if len(z_mean.shape) != 2:
        raise ValueError(f"z_mean must have shape (batch, latent_dim); got {tuple(z_mean.shape)}.")
    # sigma^2 - 1 - log(sigma^2), written so that near sigma = 1 it does not cancel to below zero.
    log_variance = 2.0 * z_log_sigma
    spread = ops.maximum(ops.expm1(log_variance) - log_variance, 0.0)
    return 0.5 * ops.sum(ops.square(z_mean) + spread, axis=-1)


@keras.saving.register_keras_serializable(package="vae")
def reconstruction_loss(x: Any, reconstruction: Any) -> Any:
    """Return the squared error summed over all pixels (D times the MSE), one number an image.

    The negative log-likelihood, in nats and less a constant, of a Gaussian with variance 1/2
    around each reconstructed pixel (Kingma & Welling 2014, arXiv 1312.6114, appendix C.2). It
    also serves as `loss=` of a plain autoencoder.

    Args:
        x: Images, shape (batch, ...), floats in [0, 1].
        reconstruction: The same shape.

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
    x, reconstruction = _as_images(x, reconstruction)
    return _sum_over_pixels(ops.square(x - reconstruction))


@keras.saving.register_keras_serializable(package="vae")
def bernoulli_loss(x: Any, reconstruction: Any) -> Any:
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
    x, reconstruction = _as_images(x, reconstruction)
    p = ops.clip(reconstruction, _TINY, 1 - _TINY)
    return _sum_over_pixels(-(x * ops.log(p) + (1 - x) * ops.log(1 - p)))


# The choices of VAE(reconstruction=...)
RECONSTRUCTION_LOSSES = {"mse": reconstruction_loss, "bernoulli": bernoulli_loss}


def vae_loss(x: Any, reconstruction: Any, z_mean: Any, z_log_sigma: Any, beta: float = 1.0) -> Any:
    """Return reconstruction + beta * KL, the loss of a VAE, one number an image.

    With beta = 1 this is a negative ELBO less a constant (Kingma & Welling 2014, arXiv
    1312.6114, equation 10); other values weigh order in the latent space against sharp
    reconstructions (Higgins et al. 2017, beta-VAE).

    Args:
        x: Images, shape (batch, ...), floats in [0, 1].
        reconstruction: The same shape.
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
    if not keras.ops.is_tensor(beta):  # inside a compiled graph a tensor has no value to look at
        beta = check_beta("beta", beta)
    terms = reconstruction_loss(x, reconstruction), kl_divergence(z_mean, z_log_sigma)
    _check_same_shape("x (its length)", terms[0], "z_mean (its length)", terms[1])
    return terms[0] + beta * terms[1]


def _as_images(x: Any, reconstruction: Any) -> tuple[Any, Any]:
    x, reconstruction = _as_floats("x", x), _as_floats("reconstruction", reconstruction)
    _check_same_shape("x", x, "reconstruction", reconstruction)
    if len(x.shape) == 0:
        raise ValueError("x must have shape (batch, ...); got one number.")
    return x, reconstruction


def _sum_over_pixels(values: Any) -> Any:
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))


def _as_floats(name: str, value: Any) -> Any:
    # One type for all: NumPy's float64 beside float32 is an error on some backends, and a sum over
    # pixels in the float16 of a mixed-precision model would overflow.
    floatx = keras.config.floatx()
    if not (ops.is_tensor(value) or isinstance(value, keras.KerasTensor | keras.Variable)):
        # By way of NumPy: of some arrays TensorFlow dies without an error.
        array = as_array(name, value)
        if not _is_float(array.dtype.name):
            raise TypeError(f"{name} must hold floats; got dtype {array.dtype}.")
        with np.errstate(over="ignore"):
            return ops.convert_to_tensor(array.astype(floatx))
    dtype = getattr(value.dtype, "name", str(value.dtype))  # such as "float32", or PyTorch's "torch.float32"
    if not _is_float(dtype):
        raise TypeError(f"{name} must hold floats; got dtype {dtype}.")
    return ops.cast(value, floatx)


def _is_float(dtype: str) -> bool:
    return "float" in dtype


def _check_same_shape(name: str, tensor: Any, other_name: str, other: Any) -> None:
    # Inside a compiled graph a size may be unknown (None), which fits every size.
    shape, other_shape = tuple(tensor.shape), tuple(other.shape)
    fits = len(shape) == len(other_shape) and all(
        a == b or a is None or b is None for a, b in zip(shape, other_shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} and {other_name} must have one shape; got {shape} and {other_shape}.")
