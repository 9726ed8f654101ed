"""The sampling step of a variational autoencoder, as a Keras layer.

The reparameterisation trick (Kingma & Welling 2014, arXiv 1312.6114, section 2.4): instead of
drawing z from N(z_mean, sigma^2), which no gradient can pass, draw epsilon from N(0, I), which
depends on no weight, and compute z from it.
"""

import random
from typing import Any

from vae._checks import check_seed
from vae._keras import keras

LOG_SIGMA_LIMIT = 15.0


def drawn_seed() -> int:
    """Return a seed from Python's generator, which `keras.utils.set_random_seed` sets as well.

    From Keras's own, up to 3.12, the same call would not give the same again in one process.
    """
    return random.randrange(2**31)


def reparameterize(z_mean: Any, z_log_sigma: Any, epsilon: Any) -> Any:
    """Return z = z_mean + exp(z_log_sigma) * epsilon; all of shape (batch, latent_dim).

    `z_log_sigma` is the logarithm of the standard deviation (log-variance = 2 * z_log_sigma).
    """
    return z_mean + keras.ops.exp(z_log_sigma) * epsilon


@keras.saving.register_keras_serializable(package="vae")
def sample_z(inputs: Any, seed_generator: Any) -> Any:
    """Draw z from N(z_mean, exp(z_log_sigma)^2), one draw an image: what `Sampling` computes.

    Args:
        inputs: `[z_mean, z_log_sigma]`, two tensors of shape (batch, latent_dim).
        seed_generator: A `keras.random.SeedGenerator`; every call advances it.

    Returns:
        z, shape (batch, latent_dim).
    """
    z_mean, z_log_sigma = inputs
    epsilon = keras.random.normal(keras.ops.shape(z_mean), dtype=z_mean.dtype, seed=seed_generator)
    return reparameterize(z_mean, z_log_sigma, epsilon)


@keras.saving.register_keras_serializable(package="vae")
def clip_log_sigma(z_log_sigma: Any) -> Any:
    """Clip to [-15, 15], so that exp(2 * z_log_sigma) stays far from overflow in float32.

    The gradient passes as if nothing were clipped: a plain clip has none outside its limits, and a
    run that once overshot them (Adam at 0.05 does) would stay there for good.
    """
    clipped = keras.ops.clip(z_log_sigma, -LOG_SIGMA_LIMIT, LOG_SIGMA_LIMIT)
    exactly_zero = z_log_sigma - keras.ops.stop_gradient(z_log_sigma)
    return keras.ops.stop_gradient(clipped) + exactly_zero


@keras.saving.register_keras_serializable(package="vae")
class Sampling(keras.layers.Lambda):
    """The Lambda layer that draws z from the encoder's Gaussian.

    z = z_mean + exp(z_log_sigma) * epsilon, with epsilon ~ N(0, I) drawn anew at every call, in
    training and in inference (Kingma & Welling 2014, arXiv 1312.6114, section 2.4). The gradient
    passes through z_mean and z_log_sigma; epsilon is a constant to it.

    `z_log_sigma` is exactly the logarithm of the standard deviation. Where a code gives you a
    log-variance, z_log_sigma is half of it.

    The layer wraps the named function `sample_z`, not a Python lambda: a lambda would be stored
    as bytecode, which Keras refuses to load. It owns its seed generator, so that each call gets
    fresh noise on every backend and a run can be repeated.

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
        self.arguments = {"seed_generator": self.seed_generator}

    def build(self, input_shape: Any) -> None:
        """Check that the inputs are z_mean and z_log_sigma of one shape."""
        is_pair = len(input_shape) == 2 and all(isinstance(shape, list | tuple) for shape in input_shape)
        if not is_pair or tuple(input_shape[0]) != tuple(input_shape[1]):
            raise ValueError(
                "Sampling must be called on [z_mean, z_log_sigma], two tensors of one shape; "
                f"got {input_shape}."
            )
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
