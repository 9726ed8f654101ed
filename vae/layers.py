"""The sampling step of a variational autoencoder, as a Keras layer.

The encoder answers an image with a Gaussian: a mean, z_mean, and a spread, sigma = exp(z_log_sigma), for each
latent dimension. The decoder gets a draw z from it. But a draw has no derivative, so no gradient of the
reconstruction loss could reach the encoder's weights. The reparameterisation trick (Kingma & Welling 2014,
arXiv 1312.6114, section 2.4) draws epsilon from N(0, I), which depends on no weight, and computes z = z_mean
+ sigma * epsilon: the same distribution, and a plain function of what the encoder gives.
"""

from typing import Any

from vae._keras import SeededLambda, Tensor, keras
from vae._tensors import check_pair_of_shapes, check_same_floats

# Where an encoder's z_log_sigma is clipped. 15 upwards was too far: the KL divergence of one image that
# overshot, once, was e^30 / 2, and Adam's memory of that gradient kept the encoder still for epochs.
LOG_SIGMA_RANGE = (-15.0, 2.0)


def reparameterize(z_mean: Tensor, z_log_sigma: Tensor, epsilon: Tensor) -> Tensor:
    """Return z = z_mean + exp(z_log_sigma) * epsilon.

    Kingma & Welling 2014 (arXiv 1312.6114), section 2.4. The derivatives that training needs are
    dz/dz_mean = 1 and dz/dz_log_sigma = exp(z_log_sigma) * epsilon.

    Args:
        z_mean: Shape (batch, latent_dim), floats.
        z_log_sigma: The same shape: the logarithm of the standard deviation, exactly. If another
            implementation gives you a log-variance, halve it.
        epsilon: The same shape: draws from N(0, I).

    Returns:
        The same shape.

    Raises:
        ValueError: The shapes of `z_mean`, `z_log_sigma` and `epsilon` differ.
        TypeError: One of them holds no floats.

    Example:
        >>> import numpy as np, vae
        >>> float(vae.reparameterize(1.0, np.log(0.5), 2.0))
        2.0
    """
    z_mean, z_log_sigma, epsilon = check_same_floats(z_mean=z_mean, z_log_sigma=z_log_sigma, epsilon=epsilon)
    return z_mean + keras.ops.exp(z_log_sigma) * epsilon  # (batch, latent_dim)


@keras.saving.register_keras_serializable(package="vae")
def sample_z(inputs: list[Tensor], seed_generator: keras.random.SeedGenerator) -> Tensor:
    """Draw z from N(z_mean, exp(z_log_sigma)^2), one draw per image: what `Sampling` computes.

    Args:
        inputs: `[z_mean, z_log_sigma]`, two tensors of shape (batch, latent_dim).
        seed_generator: Where the noise comes from; every call advances it.

    Returns:
        z, shape (batch, latent_dim).
    """
    z_mean, z_log_sigma = inputs  # both (batch, latent_dim)
    shape, dtype = keras.ops.shape(z_mean), z_mean.dtype
    epsilon = keras.random.normal(shape, dtype=dtype, seed=seed_generator)  # (batch, latent_dim)
    return reparameterize(z_mean, z_log_sigma, epsilon)  # (batch, latent_dim)


@keras.saving.register_keras_serializable(package="vae")
def clip_log_sigma(z_log_sigma: Tensor) -> Tensor:
    """Clip to [-15, 2], so that no single image can upset a run.

    A Gaussian wider than the prior, whose z_log_sigma is 0, is never the best answer; 2 leaves room on the
    way. Forward: the clipped value. Backward: the gradient passes as if nothing were clipped
    (straight-through). A plain clip has no gradient outside its limits, and a run that once overshot
    them (Adam at 0.05 does) would stay there for good. An encoder of your own had better clip likewise:
    from about 40 up, exp(2 * z_log_sigma) is infinite in float32.
    """
    clipped = keras.ops.clip(z_log_sigma, *LOG_SIGMA_RANGE)  # (batch, latent_dim)
    zero_with_gradient = z_log_sigma - keras.ops.stop_gradient(z_log_sigma)  # (batch, latent_dim)
    return keras.ops.stop_gradient(clipped) + zero_with_gradient


@keras.saving.register_keras_serializable(package="vae")
class Sampling(SeededLambda):
    """The Lambda layer that draws z from the encoder's Gaussian.

    z = z_mean + exp(z_log_sigma) * epsilon, with epsilon ~ N(0, I) drawn anew at every call, in
    training and in inference (Kingma & Welling 2014, arXiv 1312.6114, section 2.4).

    A Lambda layer makes a layer of a function, so there is no `call` here: Lambda's calls `sample_z`, with
    the inputs and the generator of the noise that the layer owns. So each call gets fresh noise on every
    backend, also where it is compiled, and a run can be repeated.

    Args:
        seed: A whole number from 0 up, or None to take one from `keras.utils.set_random_seed`.
        **kwargs: As for any Keras layer (`name`, `dtype`).

    Call arguments:
        inputs: `[z_mean, z_log_sigma]`, two tensors of shape (batch, latent_dim).

    Returns:
        z, shape (batch, latent_dim), in the layer's float type.

    Raises:
        ValueError: `seed` is no whole number, or the inputs are not two tensors of one shape.

    Example:
        >>> import numpy as np, vae
        >>> z_mean, z_log_sigma = np.zeros((4, 2)), np.zeros((4, 2))
        >>> tuple(vae.Sampling(seed=0)([z_mean, z_log_sigma]).shape)
        (4, 2)
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(sample_z, seed, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Check that the inputs are z_mean and z_log_sigma of one shape."""
        check_pair_of_shapes("Sampling must be called on [z_mean, z_log_sigma]", input_shape)
        self.built = True
