"""Many pictures joined into one, and pixels written as PNG."""

import io
import math

import numpy as np
from PIL import Image

from vae._checks import Images
from vae.data import to_uint8
from vae.figures.shared import clip_pictures

_SHEET_PIXELS = 900  # about the longer side of a sheet; small images are enlarged to reach it
_GAP = 1  # pixels between the images of a sheet, before they are enlarged


def to_mosaic(pictures: np.ndarray, columns: int, gap: int = 0, background: int = 0) -> np.ndarray:
    """Join pictures, row by row from the top; gaps, and places left over, have the background's value."""
    missing, no_channel = -len(pictures) % columns, [(0, 0)] * (pictures.ndim - 3)
    # Each picture brings the gap above it and to its left; the last ones, below and right, come at the end.
    widths = [(0, missing), (gap, 0), (gap, 0), *no_channel]
    cells = np.pad(pictures, widths, constant_values=background)
    height, width, *channels = cells.shape[1:]
    # Row, column, y, x becomes row, y, column, x: every row of cells turns into rows of pixels.
    rows = cells.reshape(-1, columns, height, width, *channels).swapaxes(1, 2)
    mosaic = rows.reshape(-1, columns * width, *channels)
    return np.pad(mosaic, [(0, gap), (0, gap), *no_channel], constant_values=background)


def to_sheet(images: Images, image_shape: tuple[int, ...]) -> bytes:
    """Return generated images side by side on a white sheet, about square, as a PNG."""
    pictures = to_uint8(clip_pictures("generated images", images, image_shape))
    n, height, width = pictures.shape[:3]
    columns = min(n, math.ceil(math.sqrt(n * height / width)))
    sheet = to_mosaic(pictures, columns, _GAP, background=255)
    factor = max(1, round(_SHEET_PIXELS / max(sheet.shape[:2])))
    return to_png(Image.fromarray(sheet.repeat(factor, axis=0).repeat(factor, axis=1)))


def to_png(image: Image.Image) -> bytes:
    """Return the content of a PNG file, as small as Pillow can make it."""
    png = io.BytesIO()
    image.save(png, "png", optimize=True)
    return png.getvalue()
