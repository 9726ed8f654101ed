"""Which models a figure takes."""

import math
from typing import Any

import numpy as np

from vae.model import Autoencoder
from vae.training.image_model import ImageModel


def check_image_model(name: str, model: Any) -> ImageModel:
    """Return a VAE or an autoencoder."""
    if isinstance(model, ImageModel):
        return model
    raise TypeError(f"{name} must be a vae.VAE or vae.Autoencoder; got {type(model).__name__}.")


def check_autoencoder(name: str, model: Any) -> Autoencoder:
    """Return an autoencoder."""
    if isinstance(model, Autoencoder):
        return model
    raise TypeError(f"{name} must be a vae.Autoencoder; got {type(model).__name__}.")


def check_plane(name: str, model: ImageModel, images: np.ndarray) -> None:
    """Raise a ValueError where a model has no latent plane, or takes other images than these."""
    latent_dim, wanted = model.decoder.input_shape[-1], math.prod(model.encoder.input_shape[1:])
    if latent_dim != 2:
        raise ValueError(f"{name} must have 2 latent dimensions to be drawn in a plane; got {latent_dim}.")
    if wanted != images[0].size:
        raise ValueError(
            f"{name} must take images of {images[0].size} values, as images are; it takes {wanted}."
        )
