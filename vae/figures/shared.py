"""What several figures share: the colours, and images brought into the shape in which they are drawn."""

import io
import math
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from vae._checks import check_images, check_units
from vae.data import flatten

# Petroff 2021 (arXiv 2107.02270): ten colours that stay apart under colour-vision deficiency.
COLORS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)


class Picture(Figure):
    """A matplotlib figure that shows itself in a notebook, without pyplot and its global state."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"layout": "constrained", **kwargs})

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()


def to_pictures(
    name: str, images: ArrayLike, image_shape: tuple[int, ...] | None = None, n: int | None = None
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


def draw_picture(ax: Axes, picture: np.ndarray, **kwargs: Any) -> None:
    """Draw one picture over the whole range, black to white, without blending pixels."""
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest", **kwargs)


def clip_pictures(name: str, output: ArrayLike, image_shape: tuple[int, ...] | None) -> np.ndarray:
    """Return what a decoder gave as pictures."""
    # A linear output layer oversteps [0, 1] a little. NaN stays NaN, and is refused.
    return to_pictures(name, np.clip(output, 0, 1), image_shape)


def to_mosaic(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Join pictures, row by row from the top, into one; they must fill the last row."""
    height, width, *channels = pictures.shape[1:]
    # Row, column, y, x becomes row, y, column, x: every row of cells turns into rows of pixels.
    rows = pictures.reshape(-1, columns, height, width, *channels).swapaxes(1, 2)
    return rows.reshape(-1, columns * width, *channels)


def label_colors(n: int) -> tuple[str, ...]:
    """Return a colour for each of `n` labels."""
    if n <= len(COLORS):
        return COLORS[:n]
    return tuple(to_hex(color) for color in colormaps["turbo"](np.linspace(0.05, 0.95, n)))
