"""The sampling step of a variational autoencoder, as a Keras layer.

The encoder answers an image with a Gaussian: a mean, z_mean, and a spread, sigma = exp(z_log_sigma), for each
latent dimension. The decoder gets a draw z from it. But no gradient passes through a draw. The
reparameterisation trick (Kingma & Welling 2014, arXiv 1312.6114, section 2.4) draws epsilon from N(0, I),
which depends on no weight, and computes z from it: now z is a plain function of z_mean and z_log_sigma.
"""

from typing import Any

from vae._checks import check_pair_of_shapes, check_seed
from vae._keras import Tensor, keras

LOG_SIGMA_LIMIT = 15.0


def reparameterize(z_mean: Tensor, z_log_sigma: Tensor, epsilon: Tensor) -> Tensor:
    """Return z = z_mean + exp(z_log_sigma) * epsilon.

    Kingma & Welling 2014 (arXiv 1312.6114), section 2.4. The derivatives that training needs are
    dz/dz_mean = 1 and dz/dz_log_sigma = exp(z_log_sigma) * epsilon.

    Args:
        z_mean: Shape (batch, latent_dim), floats.
        z_log_sigma: The same shape: the logarithm of the standard deviation, exactly. Where a code gives
            you a log-variance, z_log_sigma is half of it.
        epsilon: The same shape: draws from N(0, I).

    Returns:
        The same shape.

    Example:
        >>> import numpy as np, vae
        >>> float(vae.reparameterize(1.0, np.log(0.5), 2.0))
        2.0
    """
    return z_mean + keras.ops.exp(z_log_sigma) * epsilon


@keras.saving.register_keras_serializable(package="vae")
def sample_z(inputs: list[Tensor], seed_generator: keras.random.SeedGenerator) -> Tensor:
    """Draw z from N(z_mean, exp(z_log_sigma)^2), one draw an image: what `Sampling` computes.

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
    """Clip to [-15, 15], so that exp(2 * z_log_sigma) stays far from overflow in float32.

    The gradient passes as if nothing were clipped: a plain clip has none outside its limits, and a
    run that once overshot them (Adam at 0.05 does) would stay there for good.
    """
    clipped = keras.ops.clip(z_log_sigma, -LOG_SIGMA_LIMIT, LOG_SIGMA_LIMIT)  # (batch, latent_dim)
    zero_with_gradient = z_log_sigma - keras.ops.stop_gradient(z_log_sigma)  # (batch, latent_dim)
    return keras.ops.stop_gradient(clipped) + zero_with_gradient


@keras.saving.register_keras_serializable(package="vae")
class Sampling(keras.layers.Lambda):
    """The Lambda layer that draws z from the encoder's Gaussian.

    z = z_mean + exp(z_log_sigma) * epsilon, with epsilon ~ N(0, I) drawn anew at every call, in
    training and in inference (Kingma & Welling 2014, arXiv 1312.6114, section 2.4).

    There is no `call` here: a Lambda layer calls the function that it wraps, and this one wraps
    `sample_z`. That is a function with a name, as Keras refuses to load a Python lambda, which a file
    would hold as bytecode. The layer owns the generator of its noise, so that each call gets fresh
    noise on every backend, also where it is compiled, and a run can be repeated.

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
        super().__init__(sample_z, **kwargs)
        self.seed = check_seed("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.arguments = {"seed_generator": self.seed_generator}  # what Lambda calls sample_z with

    def build(self, input_shape: Any) -> None:
        """Check that the inputs are z_mean and z_log_sigma of one shape."""
        check_pair_of_shapes("Sampling must be called on [z_mean, z_log_sigma]", input_shape)
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return the shape of z, which is that of z_mean."""
        return tuple(input_shape[0])

    def save_own_variables(self, store: Any) -> None:
        """Save the seed generator's state, which Keras leaves out: a loaded model would repeat its noise."""
        store["seed_generator_state"] = keras.ops.convert_to_numpy(self.seed_generator.state.value)

    def load_own_variables(self, store: Any) -> None:
        """Load the state; files without it leave the layer at its seed."""
        if "seed_generator_state" in store:
            self.seed_generator.state.assign(store["seed_generator_state"])

    def get_config(self) -> dict[str, Any]:
        """Return the seed and the layer's name and type; the function is always `sample_z`."""
        return {**keras.layers.Layer.get_config(self), "seed": self.seed}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None, safe_mode: Any = None
    ) -> "Sampling":
        """Build the layer from `get_config`; nothing in it is code, so safe mode has nothing to stop."""
        return cls(**config)
