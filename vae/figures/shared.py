"""What several figures share: colours, a figure that shows itself, images as they are drawn."""

import io
import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae._checks import Images, check_images, check_units
from vae.data import flatten
from vae.training.image_model import ImageModel

# Petroff 2021 (arXiv 2107.02270): ten colours that stay apart under colour-vision deficiency.
COLORS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
INK, GREY = "#1F2933", "#5B6773"  # of text and lines in diagrams
AMBER, PALE = "#FBD9A5", "#F3F5F7"  # what has to do with z; what holds other things


class Picture(Figure):
    """A matplotlib figure that shows itself in a notebook, without pyplot and its global state."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"layout": "constrained", **kwargs})

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()


def to_pictures(
    name: str, images: Images, image_shape: tuple[int, ...] | None = None, n: int | None = None
) -> np.ndarray:
    """Check images; return the first `n` as float32 (n, height, width) or (n, height, width, 3)."""
    array = check_images(name, images)
    pixels = array[0].size
    if image_shape is not None:
        shape = check_units("image_shape", image_shape)
    elif array.ndim > 2:
        shape = array.shape[1:]
    elif math.isqrt(pixels) ** 2 == pixels:
        shape = (math.isqrt(pixels),) * 2
    else:
        raise ValueError(
            f"image_shape must be given, (height, width) or (height, width, channels): {name} are flat, "
            f"and their {pixels} pixels make no square."
        )
    if len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)) or math.prod(shape) != pixels:
        raise ValueError(
            f"image_shape must be (height, width), with 1 or 3 channels behind it or none, and multiply out "
            f"to {pixels}, the pixels of each of {name}; got {shape}."
        )
    return flatten(array[:n]).reshape(-1, *(shape if shape[2:] == (3,) else shape[:2]))


def check_plane(name: str, model: ImageModel, images: np.ndarray) -> None:
    """Raise a ValueError where a model has no latent plane, or takes other images than these."""
    latent_dim, wanted = model.decoder.input_shape[-1], math.prod(model.encoder.input_shape[1:])
    if latent_dim != 2:
        raise ValueError(f"{name} must have 2 latent dimensions to be drawn in a plane; got {latent_dim}.")
    if wanted != images[0].size:
        raise ValueError(
            f"{name} must take images of {images[0].size} values, as images are; it takes {wanted}."
        )


def clip_pictures(name: str, output: Images, image_shape: tuple[int, ...] | None) -> np.ndarray:
    """Return what a decoder gave as pictures."""
    # A linear output layer oversteps [0, 1] a little. NaN stays NaN, and is refused.
    return to_pictures(name, np.clip(output, 0, 1), image_shape)


def draw_picture(ax: Axes, picture: np.ndarray, **kwargs: Any) -> None:
    """Draw one picture over the whole range, black to white, without blending pixels."""
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest", **kwargs)
