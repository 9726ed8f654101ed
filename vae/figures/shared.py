"""What several figures share: colours, a figure that shows itself, images as they are drawn or joined."""

import base64
import io
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from vae._checks import Images, as_array, check_images, check_path, check_units
from vae.data import flatten, to_uint8

# Of the labels 0 to 9. Digits whose points touch in the latent plane, such as 3, 5 and 8, are furthest apart,
# for colour-blind readers too; there is no grey, which would look as if two others overlapped.
COLORS = (
    *("#4477aa", "#009e73", "#882255", "#a56eff", "#b28600"),
    *("#bd1f01", "#ff9da7", "#66ccee", "#c0d72f", "#6929c4"),
)
INK, GREY = "#1F2933", "#5B6773"  # of text and lines in diagrams
AMBER, PALE = "#FBD9A5", "#F3F5F7"  # what has to do with z; what holds other things
Shape = tuple[int, ...] | None  # of an image; None infers a square
_SHEET_PIXELS = 900  # about the longer side of a sheet; small images are enlarged to reach it


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
            f"and their {pixels} pixels make no square. For one image, pass {name}[None]."
        )
    if len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)) or math.prod(shape) != pixels:
        raise ValueError(
            f"image_shape must be (height, width), with 1 or 3 channels behind it or none, and multiply out "
            f"to {pixels}, the pixels of each of {name}; got {shape}."
        )
    return flatten(array[:n]).reshape(-1, *(shape if shape[2:] == (3,) else shape[:2]))


def check_several(name: str, images: Images) -> None:
    """Raise a ValueError for what may be one image, where several are asked for and nothing tells."""
    shape = as_array(name, images).shape
    one = f"for one image, pass {name}[None]"
    if len(shape) == 2 and shape[0] == shape[1]:
        side = math.isqrt(shape[1])
        flat = (side, side) if side**2 == shape[1] else "(height, width)"
        raise ValueError(
            f"{name} must tell whether they are one or many; got shape {shape}: {one}; "
            f"for {shape[0]} flat ones, image_shape={flat}."
        )
    if len(shape) == 3 and shape[2] in (1, 3):
        raise ValueError(f"{name} must have an axis for their number; got shape {shape}: {one}.")


def clip_pictures(name: str, output: Images, image_shape: tuple[int, ...] | None) -> np.ndarray:
    """Return what a decoder gave as pictures."""
    # A linear output layer oversteps [0, 1] a little. NaN stays NaN, and is refused.
    return to_pictures(name, np.clip(output, 0, 1), image_shape)


def draw_picture(ax: Axes, picture: np.ndarray, **kwargs: Any) -> None:
    """Draw one picture over the whole range, black to white, without blending pixels."""
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest", **kwargs)


def to_mosaic(pictures: np.ndarray, columns: int, gap: int = 0, background: int = 0) -> np.ndarray:
    """Join pictures, row by row from the top; gaps, and places left over, have the background's value."""
    n, height, width, *channels = pictures.shape
    size = (gap + -(-n // columns) * (height + gap), gap + columns * (width + gap), *channels)
    mosaic = np.full(size, background, pictures.dtype)
    for i, picture in enumerate(pictures):
        y, x = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        mosaic[y : y + height, x : x + width] = picture
    return mosaic


def to_sheet(images: Images, image_shape: tuple[int, ...]) -> bytes:
    """Return generated images side by side on a white sheet, about square, as a PNG."""
    pictures = to_uint8(clip_pictures("generated images", images, image_shape))
    n, height, width = pictures.shape[:3]
    sheet = to_mosaic(pictures, min(n, math.ceil(math.sqrt(n * height / width))), gap=1, background=255)
    factor = max(1, round(_SHEET_PIXELS / max(sheet.shape[:2])))
    return to_png(Image.fromarray(sheet.repeat(factor, axis=0).repeat(factor, axis=1)))


def to_png(image: Image.Image) -> bytes:
    """Return the content of a PNG file, as small as Pillow can make it."""
    png = io.BytesIO()
    image.save(png, "png", optimize=True)
    return png.getvalue()


def to_base64(content: bytes) -> str:
    """Return the content of a file as text, for JSON and HTML."""
    return base64.b64encode(content).decode("ascii")


def check_file(name: str, value: Any, suffixes: str) -> Path:
    """Return the path of a file, whose name must end in one of `suffixes`, such as ".png or .pdf"."""
    path = Path(check_path(name, value))
    if path.suffix.lower() not in re.split(", | or ", suffixes):
        raise ValueError(f"{name} must end in {suffixes}; got {str(path)!r}.")
    return path
