"""One image file, read as if a stranger had made it: six formats, known by content, upright, on black."""

import contextlib
import textwrap

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")


def read_image(path: str, size: tuple[int, int], mode: str) -> Image.Image:
    """Read an image as `load_images` promises.

    Args:
        path: Of the file.
        size: (height, width) of the result.
        mode: "L" or "RGB", Pillow's names.

    Returns:
        The image.

    Raises:
        Exception: Nearly any, as Pillow does on damaged files; `why_unreadable` puts it in words.
    """
    # Given a name instead of a stream, Pillow maps plain TIFF files into memory, and garbles turned ones.
    with open(path, "rb") as stream, Image.open(stream, formats=_FORMATS) as file:
        # A JPEG decodes at 1/2, 1/4 or 1/8 at once; twice the size leaves the filter something to do.
        file.draft(mode, (2 * max(size), 2 * max(size)))
        file.load()  # some formats have their EXIF data behind the pixels
        if file.format != "TIFF":  # `load` has turned it already; Pillow 10.0 would turn it again
            with contextlib.suppress(Exception):  # damaged metadata; the pixels are sound
                ImageOps.exif_transpose(file, in_place=True)  # a copy would be lost with its metadata
        return ImageOps.fit(_to_mode(file, mode), (size[1], size[0]), Image.Resampling.LANCZOS)


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):  # I: Pillow 10
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))  # Pillow would clip at 255
    elif image.mode in ("I", "F"):
        raise ValueError("neither 8 nor 16 bits a pixel")
    elif "transparency" in image.info or image.mode in ("LA", "PA", "RGBA"):
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    elif image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")  # first, as not every mode goes to grey directly
    return image.convert(mode)


def why_unreadable(error: Exception) -> str:
    """Return what `read_image` raised in a few words."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    return textwrap.shorten(str(getattr(error, "strerror", "") or error) or type(error).__name__, 60)
