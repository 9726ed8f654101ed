"""What the latent-space page holds, computed and written; how it looks and moves is in `page.html`.

The page cannot run the decoder, so it carries a grid of decoded images over the plane and blends the
four around the pointer. Pictures are PNGs, points 16-bit numbers, everything in one file.
"""

import base64
import hashlib
import html
import json
import math
import os
import re
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from vae._checks import Images, Labels, check_images, check_instance, check_path, check_points
from vae.data import to_uint8
from vae.figures.labels import group_points, label_colors, name_places, number_labels
from vae.figures.mosaic import to_mosaic, to_png
from vae.figures.shared import check_plane, to_pictures
from vae.files.atomic import write_whole
from vae.model import VAE, Autoencoder

# Points along each side. Blended, MNIST's images differ from what the decoder gives by 0.0013 a pixel on
# average, with the rounding to 8 bits; in the autoencoder's plane, which is wider, by 0.0034.
_FINEST_GRID = 64
_COARSEST_GRID = 8
_GRID_VALUES = 3_300_000  # pixels times channels of all decoded images: 64 x 64 of 28 x 28
_MOST_ORIGINALS = 1000
_ORIGINAL_VALUES = 1_000_000  # likewise; photographs compress far less than digits
_LONGEST_NAME = 4  # of labels written into the plane; longer ones would cover it
_PRIOR_REACH = 2.5  # sigmas of N(0, I) that the VAE's plane shows at least


@dataclass(frozen=True)
class Page:
    """A latent-space page that `explore` wrote; as the last line of a notebook cell it shows itself.

    Args:
        path: The HTML file.
        content: What is in it.

    Example:
        >>> from pathlib import Path
        >>> from vae.explorer import Page
        >>> Page(Path("latent.html"), "<!doctype html>").path.name
        'latent.html'
    """

    path: Path
    content: str = field(repr=False)

    def _repr_html_(self) -> str:
        # Scripts run, but in an origin of their own: the page cannot reach the notebook.
        return (
            f'<iframe title="Latent-space page" sandbox="allow-scripts" width="100%" height="920" '
            f'style="border: 0" srcdoc="{html.escape(self.content)}"></iframe>'
        )


class _Plane(NamedTuple):
    """What the page shows of one model, and how its plane is called there."""

    argument: str  # of `explore`
    model: VAE | Autoencoder
    name: str
    axis: str
    least_reach: float  # from 0, of what is shown of the plane

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Return a row an image: its point, and of a VAE also its sigma."""
        if isinstance(self.model, VAE):
            z_mean, z_log_sigma = self.model.encode(images)
            rows = np.hstack([z_mean, np.exp(z_log_sigma)])  # (images, 4)
        else:
            rows = self.model.encode(images)  # (images, 2)
        return check_points(f"what {self.argument} encodes", rows)

    def decode(self, points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return the images at points of the plane."""
        pictures = self.model.decode(points).reshape(-1, *shape)
        if not np.isfinite(pictures).all():
            raise ValueError(f"{self.argument} must decode to finite values; got NaN or infinity.")
        return pictures


def explore(
    model: VAE,
    images: Images,
    labels: Labels | None = None,
    *,
    autoencoder: Autoencoder | None = None,
    path: str | os.PathLike[str] = "latent.html",
    image_shape: tuple[int, ...] | None = None,
    title: str | None = None,
) -> Page:
    """Write the latent-space page: one HTML file, for any browser, that needs no network and no Python.

    It shows the images as points in the latent plane and the decoded image under the pointer (mouse,
    finger or arrow keys); an image that is chosen stands beside its reconstruction, with its Gaussian
    as an ellipse of one sigma. At most 1,000 images, spread evenly, can be chosen, and fewer where
    they are large. The address keeps model and point, so that a place can be shared as a link.

    Args:
        model: A trained `VAE`, latent_dim 2, of any layers.
        images: Test images, shape (n, pixels), (n, height, width) or (n, height, width, channels);
            uint8, or floats in [0, 1].
        labels: One label an image, shape (n,), numbers or strings; None draws one colour.
        autoencoder: A trained `Autoencoder`, latent_dim 2, whose plane the page offers as well; or None.
        path: Where to write, a name that ends in .html. Folders are made, an old file is replaced.
        image_shape: (height, width), or (height, width, channels) with 1 or 3 channels, for images
            given flat; None takes a square.
        title: Heading of the page; None says how many images it shows.

    Returns:
        A `Page`, with the file as `path`, which a notebook shows in place.

    Raises:
        TypeError: `model` is no VAE, or `autoencoder` no autoencoder; images of a type other than uint8
            or float; a `path` or `title` of a wrong type.
        ValueError: A latent space that is not 2-D, a decoder that gives NaN, another suffix than .html,
            or images or labels of a wrong shape or range.

    Example:
        >>> import numpy as np, tempfile, vae
        >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
        >>> images, labels = np.random.rand(20, 28, 28), np.arange(20) % 10
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = vae.explore(model, images, labels, path=f"{folder}/latent.html")
        >>> page.path.name
        'latent.html'
    """
    target = _check_path(path)
    if title is not None and not isinstance(title, str):
        raise TypeError(f"title must be a string or None; got {title!r}.")
    array = check_images("images", images)
    shape = to_pictures("images", array, image_shape, n=1).shape[1:]
    names, numbers = ([], np.zeros(len(array), int)) if labels is None else number_labels(labels, len(array))
    check_instance("model", model, VAE)
    planes = [_Plane("model", model, "VAE", "z", _PRIOR_REACH)]
    if autoencoder is not None:
        check_instance("autoencoder", autoencoder, Autoencoder)
        planes.append(_Plane("autoencoder", autoencoder, "Autoencoder", "code", 0.0))
    for plane in planes:
        check_plane(plane.argument, plane.model, array)

    most = min(_MOST_ORIGINALS, max(1, _ORIGINAL_VALUES // math.prod(shape)))
    chosen = np.linspace(0, len(array) - 1, min(len(array), most)).astype(int)
    written = labels if all(len(name) <= _LONGEST_NAME for name in names) else None
    data = {
        "names": names,
        "colors": label_colors(max(1, len(names))),
        "which": numbers.tolist(),
        "shape": shape,
        "chosen": chosen.tolist(),
        "originals": _sheet(to_pictures("images", array[chosen], image_shape)),
        "planes": [_describe(plane, array, chosen, shape, written) for plane in planes],
    }
    content = _fill(f"Latent plane of {len(array):,} images" if title is None else title, data)
    write_whole(target, content.encode(errors="replace"))  # half a surrogate pair, say
    return Page(target, content)


def _check_path(path: Any) -> Path:
    path = Path(check_path("path", path))
    if path.suffix.lower() != ".html":
        raise ValueError(f"path must end in .html; got {str(path)!r}.")
    return path


# What the page is told


def _describe(
    plane: _Plane, images: np.ndarray, chosen: np.ndarray, shape: tuple[int, ...], labels: Labels | None
) -> dict[str, Any]:
    """Return what the page is told of a plane; the names of `labels` are written into it."""
    rows = plane.encode(images)
    points = rows[:, :2]
    left, bottom, side = _square(points, plane.least_reach)
    place = (points - [left, bottom]) / side
    size = max(_COARSEST_GRID, min(_FINEST_GRID, math.isqrt(_GRID_VALUES // math.prod(shape))))
    return {
        "id": plane.name.lower(),
        "name": plane.name,
        "axis": plane.axis,
        "square": [left, bottom, side],
        "points": _base64((np.clip(place, 0, 1) * 65535).round().astype("<u2").tobytes()),
        "beyond": int(((place < 0) | (place > 1)).any(axis=1).sum()),
        "medians": [(x, y) for _, x, y in name_places(group_points(points, labels))],
        "numbers": [[float(f"{number:.5g}") for number in row] for row in rows[chosen].tolist()],
        "reconstructions": _sheet(plane.decode(points[chosen], shape)),
        "size": size,
        "grid": _grid(plane, (left, bottom, side), size, shape),
    }


def _square(points: np.ndarray, least_reach: float) -> tuple[float, float, float]:
    """Return the part of the plane to show as (left, bottom, side): a square, so that both axes agree.

    It holds every point, with a margin, and for the VAE the bulk of the prior. Only where some of the
    outermost points lie further out than all the others are spread would showing them shrink the rest
    to a dot: the page draws those on the rim.
    """
    low, high = np.percentile(points.astype(float), (0.2, 99.8), axis=0)
    spread = (high - low).max() or np.ptp(points, axis=0).max()
    low = np.maximum(points.min(axis=0), low - spread)
    high = np.minimum(points.max(axis=0), high + spread)
    if least_reach:
        low, high = np.minimum(low, -least_reach), np.maximum(high, least_reach)
    side = 1.06 * float((high - low).max()) or 1.0
    left, bottom = (low + high) / 2 - side / 2
    return float(left), float(bottom), side


def _grid(plane: _Plane, square: tuple[float, float, float], size: int, shape: tuple[int, ...]) -> str:
    """Decode a grid of size x size points, from the square's lower left corner to its upper right one.

    One tile holds one pixel of all images, not all pixels of one: along the plane a pixel changes
    slowly, and the PNG is half as large.
    """
    left, bottom, side = square
    steps = np.linspace(0, side, size)
    x, y = np.meshgrid(left + steps, bottom + steps)
    pictures = plane.decode(np.stack([x.ravel(), y.ravel()], axis=1), shape)
    tiles = pictures.reshape(size, size, *shape)  # (rows, columns, height, width, ...)
    by_pixel = tiles.swapaxes(0, 2).swapaxes(1, 3)
    return _png(to_mosaic(by_pixel.reshape(-1, size, size, *shape[2:]), shape[1]))


def _sheet(pictures: np.ndarray) -> str:
    """Return pictures side by side, row by row, in a sheet about as high as wide."""
    return _png(to_mosaic(pictures, columns=math.isqrt(len(pictures) - 1) + 1))


def _png(picture: np.ndarray) -> str:
    return _base64(to_png(Image.fromarray(to_uint8(picture))))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


# The file


def _fill(title: str, data: dict[str, Any]) -> str:
    """Put title and data into the template, so that neither can end up as markup or code."""
    template = resources.files("vae.explorer").joinpath("page.html").read_text("utf-8")
    parts = {
        "policy": _policy(template),
        "title": html.escape(title),
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    }
    # In one pass, so that a title may hold {{data}}.
    return re.sub(r"{{(\w+)}}", lambda match: parts[match[1]], template)


def _policy(template: str) -> str:
    """Return a Content-Security-Policy: this script, this style, embedded pictures, nothing else."""
    allowed = {}
    for name in ("script", "style"):
        code = template.partition(f"<{name}>")[2].partition(f"</{name}>")[0]
        allowed[name] = f"'sha256-{_base64(hashlib.sha256(code.encode()).digest())}'"
    return (
        f"default-src 'none'; script-src {allowed['script']}; style-src {allowed['style']}; "
        f"img-src data:; base-uri 'none'; form-action 'none'"
    )
