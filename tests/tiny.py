"""Small models and images, so that a test takes no longer than its question; all tests use these."""

from functools import cache

import keras
import numpy as np

import vae

PIXELS, LATENT, UNITS = 36, 2, (8,)  # images of 6 x 6
X = np.random.default_rng(0).random((16, PIXELS), np.float32)  # sixteen images of noise
TERMS = ["loss", "reconstruction_loss", "kl_loss"]


def tiny_networks(units=UNITS, latent_dim=LATENT, shape=None, noise=None):
    """The encoder and the decoder of a VAE; convolutional for images of `shape`, if that is given.

    `noise` is the seed of the sampling layer.
    """
    if shape is None:
        encoder = vae.build_encoder(PIXELS, units, latent_dim, seed=noise)
        return encoder, vae.build_decoder(latent_dim, units[::-1], PIXELS)
    encoder = vae.build_conv_encoder(shape, (2,), latent_dim, hidden_units=(), seed=noise)
    return encoder, vae.build_conv_decoder(latent_dim, (2,), shape, hidden_units=())


def tiny_vae(units=UNITS, latent_dim=LATENT, shape=None, noise=None, *, seed=0, kind=vae.VAE, **options):
    """A fresh VAE, or a subclass of it, compiled by the recipe; of the same weights each time."""
    keras.utils.set_random_seed(seed)
    model = kind(*tiny_networks(units, latent_dim, shape, noise), **options)
    model.compile()
    return model


def tiny_autoencoder(units=UNITS, latent_dim=LATENT, *, seed=0, **options):
    """A fresh autoencoder, likewise."""
    keras.utils.set_random_seed(seed)
    built = vae.build_autoencoder(PIXELS, units, latent_dim)
    model = vae.Autoencoder(built.encoder, built.decoder, **options)
    model.compile()
    return model


BOTH = [tiny_vae, tiny_autoencoder]


@cache
def shared_vae(reconstruction="mse", shape=None):
    """One VAE for many tests, which leave it compiled as it is: every new one would be compiled anew."""
    model = tiny_vae((4,), shape=shape, noise=0, reconstruction=reconstruction)
    model.compile(jit_compile=False)
    return model


@cache
def shared_autoencoder():
    """One autoencoder, likewise."""
    return tiny_autoencoder((4,))


def fit(model, x=X, **options):
    """Train for one epoch, in silence, unless told otherwise; return the history's numbers."""
    return model.fit(x, **{"epochs": 1, "batch_size": 8, "verbose": 0, **options}).history


def to_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def values_of(model):
    """Return all that the model consists of: weights, beta, the states of its noise."""
    return [to_numpy(variable.value) for variable in model.variables]


def assert_same_values(one, other):
    """Check that two models are the same in every bit."""
    for a, b in zip(values_of(one), values_of(other), strict=True):
        np.testing.assert_array_equal(a, b)


def noise_of(model):
    """Return the states of the generators that a model draws from."""
    return [value for v, value in zip(model.variables, values_of(model), strict=True) if "seed" in v.path]


class Break(keras.callbacks.Callback):
    """Break a run off when an epoch begins; none, without its number."""

    def __init__(self, epoch=None, error=KeyboardInterrupt):
        super().__init__()
        self.epoch, self.error = epoch, error

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise self.error
