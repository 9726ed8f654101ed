"""What the latent-space page holds, computed and written; how it looks and moves is in `page.html`.

The page cannot run the decoder, so it carries a grid of decoded images over the plane and blends the
four around the pointer. Pictures are PNGs, points 16-bit numbers, everything in one file.
"""

import base64
import hashlib
import html
import io
import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from vae._checks import check_images, check_labels, check_path, check_points
from vae.data import unscale
from vae.figures._shared import label_colors, to_mosaic, to_pictures
from vae.files.atomic import write_whole
from vae.training.chunked import Inference

# Points along each side. Blended, MNIST's images differ from what the decoder gives by 0.0013 a pixel on
# average, with the rounding to 8 bits; in the autoencoder's plane, which is wider, by 0.0034.
_FINEST_GRID = 64
_COARSEST_GRID = 8
_GRID_VALUES = 3_300_000  # pixels times channels of all decoded images: 64 x 64 of 28 x 28
_MOST_ORIGINALS = 1000
_ORIGINAL_VALUES = 1_000_000  # likewise; photographs compress far less than digits
_MOST_NAMES, _LONGEST_NAME = 20, 4  # of labels written into the plane; others would cover it
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


class _Network(NamedTuple):
    """One of the two models: how to call it on the page, and what it computes."""

    argument: str
    name: str
    axis: str
    encode: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]  # sigma is None without one
    decode: Callable[[np.ndarray], np.ndarray]
    least_reach: float


def explore(
    model: Any,
    images: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    autoencoder: Any = None,
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
        autoencoder: A trained model from `build_autoencoder`, latent_dim 2, whose plane the page
            offers as well; or None.
        path: Where to write, a name that ends in .html. Folders are made, an old file is replaced.
        image_shape: (height, width), or (height, width, channels) with 1 or 3 channels, for images
            given flat; None takes a square.
        title: Heading of the page; None says how many images it shows.

    Returns:
        A `Page`, with the file as `path`, which a notebook shows in place.

    Raises:
        TypeError: `model` is no VAE; images of a type other than uint8 or float; a `path` or `title`
            of a wrong type.
        ValueError: A latent space that is not 2-D, an `autoencoder` without the layers of
            `build_autoencoder`, a decoder that gives NaN, another suffix than .html, or images or
            labels of a wrong shape or range.

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
    legend = _legend(labels, len(array))
    networks = [_vae(model)] if autoencoder is None else [_vae(model), _autoencoder(autoencoder)]
    for network in networks:
        _check_network(network, array[:1], shape)

    most = min(_MOST_ORIGINALS, max(1, _ORIGINAL_VALUES // math.prod(shape)))
    chosen = np.linspace(0, len(array) - 1, min(len(array), most)).astype(int)
    data = {
        **legend,
        "shape": shape,
        "chosen": chosen.tolist(),
        "originals": _sheet(to_pictures("images", array[chosen], image_shape)),
        "planes": [_plane(network, array, chosen, shape, legend) for network in networks],
    }
    content = _fill(f"Latent plane of {len(array):,} images" if title is None else title, data)
    write_whole(target, content.encode(errors="replace"))  # half a surrogate pair, say
    return Page(target, content)


# Checks, before anything expensive happens


def _check_path(path: Any) -> Path:
    path = Path(check_path("path", path))
    if path.suffix.lower() != ".html":
        raise ValueError(f"path must end in .html; got {str(path)!r}.")
    return path


def _check_network(network: _Network, images: np.ndarray, shape: tuple[int, ...]) -> None:
    points, _ = network.encode(images)
    if np.ndim(points) != 2 or points.shape[1] != 2:
        raise ValueError(
            f"{network.argument} must have 2 latent dimensions to explore; got shape {np.shape(points)[1:]}."
        )
    pixels = network.decode(np.zeros((1, 2), np.float32)).size
    if pixels != math.prod(shape):
        raise ValueError(
            f"{network.argument} must decode to images of {math.prod(shape)} values, as images are; "
            f"got {pixels}."
        )


# The two models


def _vae(model: Any) -> _Network:
    if not hasattr(model, "encode") or not hasattr(model, "decode"):
        raise TypeError(f"model must be a vae.VAE; got {type(model).__name__}.")

    def encode(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z_mean, z_log_sigma = model.encode(images)
        return z_mean, np.exp(z_log_sigma)

    return _Network("model", "VAE", "z", encode, model.decode, _PRIOR_REACH)


def _autoencoder(autoencoder: Any) -> _Network:
    try:
        encoder, decoder = (autoencoder.get_layer(name) for name in ("Encoder-Model", "Decoder-Model"))
    except (AttributeError, ValueError):
        raise ValueError(
            f'autoencoder must have layers "Encoder-Model" and "Decoder-Model", as build_autoencoder '
            f"gives it; got {type(autoencoder).__name__}."
        ) from None
    compute, decode = Inference(encoder), Inference(decoder)
    shape = encoder.input_shape[1:]

    def encode(images: np.ndarray) -> tuple[np.ndarray, None]:
        if images[0].size != math.prod(shape):
            raise ValueError(
                f"autoencoder must take images of {images[0].size} values, as images are; got {shape}."
            )
        return compute(images.reshape(-1, *shape))[0], None

    return _Network("autoencoder", "Autoencoder", "code", encode, lambda z: decode(z)[0], 0.0)


# What the page is told


def _legend(labels: ArrayLike | None, n: int) -> dict[str, Any]:
    """Return names, their colours, and for each image which name it has; no names without labels."""
    if labels is None:
        return {"names": [], "colors": label_colors(1), "which": [0] * n}
    names, which = np.unique(check_labels("labels", labels, n), return_inverse=True)
    colors = label_colors(len(names))
    return {"names": [str(name) for name in names], "colors": colors, "which": which.tolist()}


def _plane(
    network: _Network,
    images: np.ndarray,
    chosen: np.ndarray,
    shape: tuple[int, ...],
    legend: dict[str, Any],
) -> dict[str, Any]:
    points, sigma = network.encode(images)
    rows = check_points(
        f"what {network.argument} encodes", points if sigma is None else np.hstack([points, sigma])
    )
    points = rows[:, :2]
    left, bottom, side = _square(points, network.least_reach)
    place = (points - [left, bottom]) / side
    size = math.isqrt(_GRID_VALUES // math.prod(shape))
    size = max(_COARSEST_GRID, min(_FINEST_GRID, size))
    return {
        "id": network.name.lower(),
        "name": network.name,
        "axis": network.axis,
        "square": [left, bottom, side],
        "points": _base64((np.clip(place, 0, 1) * 65535).round().astype("<u2").tobytes()),
        "beyond": int(((place < 0) | (place > 1)).any(axis=1).sum()),
        "medians": _medians(points, legend),
        "numbers": [[float(f"{number:.5g}") for number in row] for row in rows[chosen].tolist()],
        "reconstructions": _sheet(_decode(network, points[chosen], shape)),
        "size": size,
        "grid": _grid(network, (left, bottom, side), size, shape),
    }


def _medians(points: np.ndarray, legend: dict[str, Any]) -> list[list[float]]:
    """Return where to write each name; nowhere if they are too many or too long."""
    names, which = legend["names"], np.asarray(legend["which"])
    if len(names) > _MOST_NAMES or any(len(name) > _LONGEST_NAME for name in names):
        return []
    return [np.median(points[which == k], axis=0).tolist() for k in range(len(names))]


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


def _decode(network: _Network, points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    pictures = np.asarray(network.decode(points)).reshape(-1, *shape)
    if not np.isfinite(pictures).all():
        raise ValueError(f"{network.argument} must decode to finite values; got NaN or infinity.")
    return pictures


def _grid(network: _Network, square: tuple[float, float, float], size: int, shape: tuple[int, ...]) -> str:
    """Decode a grid of size x size points, from the square's lower left corner to its upper right one.

    One tile holds one pixel of all images, not all pixels of one: along the plane a pixel changes
    slowly, and the PNG is half as large.
    """
    left, bottom, side = square
    steps = np.linspace(0, side, size)
    x, y = np.meshgrid(left + steps, bottom + steps)
    pictures = _decode(network, np.stack([x.ravel(), y.ravel()], axis=1), shape)
    tiles = pictures.reshape(size, size, *shape)  # (rows, columns, height, width, ...)
    by_pixel = tiles.swapaxes(0, 2).swapaxes(1, 3)
    return _png(to_mosaic(by_pixel.reshape(-1, size, size, *shape[2:]), shape[1]))


def _sheet(pictures: np.ndarray) -> str:
    """Return pictures side by side, row by row, in a sheet about as high as wide."""
    columns = math.isqrt(len(pictures) - 1) + 1
    missing = -len(pictures) % columns
    padded = np.concatenate([pictures, np.zeros((missing, *pictures.shape[1:]), pictures.dtype)])
    return _png(to_mosaic(padded, columns))


def _png(picture: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(unscale(picture)).save(file, "png", optimize=True)
    return _base64(file.getvalue())


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
