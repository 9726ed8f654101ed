"""What the latent-space page holds, computed and written; how it looks and moves is in `page.html`.

The page cannot run the decoder, so it carries a grid of decoded images over the plane and blends the
four around the pointer. Pictures are PNGs, points 16-bit numbers, everything in one file.
"""

import hashlib
import html
import json
import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vae._checks import Images, Labels, check_images, check_instance
from vae.data import to_uint8
from vae.figures.classes import Classes, View, group_points, name_places, sort_labels
from vae.figures.latent import encode_in_plane
from vae.figures.shared import COLORS, check_file, to_base64, to_mosaic, to_pictures, to_png
from vae.files.atomic import write_whole
from vae.model import VAE, Autoencoder

# Points along each side. Blended, MNIST's test images differ from what the decoder gives by 0.0018 a pixel on
# average, with the rounding to 8 bits; in the autoencoder's plane, which is 20 times as wide, by 0.022.
_FINEST_GRID = 64
_COARSEST_GRID = 8
_GRID_VALUES = 3_300_000  # pixels times channels of all decoded images: 64 x 64 of 28 x 28
_MOST_ORIGINALS = 1000
_ORIGINAL_VALUES = 1_000_000  # likewise; photographs compress far less than digits
_LONGEST_NAME = 4  # of labels written into the plane; longer ones would cover it
_NEIGHBOURS = 20  # of an image in the plane, that tell whether its label is at home there
_PRIOR_REACH = 2.5  # sigmas of N(0, I) that the VAE's plane shows at least


@dataclass(frozen=True)
class Page:
    """A latent-space page that `explore` wrote; as the last line of a notebook cell it shows itself."""

    path: Path
    content: str = field(repr=False)

    def _repr_html_(self) -> str:
        # Scripts run, but in an origin of their own: the page cannot reach the notebook.
        return (
            f'<iframe title="Latent-space page" sandbox="allow-scripts" width="100%" height="920" '
            f'style="border: 0" srcdoc="{html.escape(self.content)}"></iframe>'
        )


def explore(
    model: VAE,
    images: Images,
    labels: Labels | None = None,
    *,
    class_names: Sequence[str] | None = None,
    autoencoder: Autoencoder | None = None,
    path: str | os.PathLike[str] = "latent.html",
    image_shape: tuple[int, ...] | None = None,
    title: str | None = None,
) -> Page:
    """Write the latent-space page: one HTML file, for any browser, that needs no network and no Python.

    It shows the images as points in the latent plane and the decoded image under the pointer (mouse,
    finger or arrow keys); an image that is chosen stands beside its reconstruction, with its Gaussian
    as an ellipse of one sigma. It opens on an image that the model reconstructs well, among images of
    its own label. At most 1,000 images, spread evenly, can be chosen, and fewer where
    they are large. The address keeps model and point, so that a place can be shared as a link.

    Args:
        model: A trained `VAE`, latent_dim 2, of any layers.
        images: n test images, as `flatten` takes them.
        labels: One label an image, shape (n,), numbers or strings; None draws one colour.
        class_names: As in `plot_latent_space`.
        autoencoder: A trained `Autoencoder`, latent_dim 2, whose plane the page offers as well; or None.
        path: Where to write, a name that ends in .html. Folders are made, an old file is replaced.
        image_shape: (height, width) or (height, width, channels); None infers a square.
        title: Heading of the page; None says how many images it shows.

    Returns:
        A `Page`, with the file as `path` and what is in it as `content`; a notebook shows it in place.

    Raises:
        TypeError: `model`, `autoencoder`, `images`, `path` or `title` of a wrong type.
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
    target = check_file("path", path, ".html")
    if title is not None and not isinstance(title, str):
        raise TypeError(f"title must be a string or None; got {title!r}.")
    array = check_images("images", images)
    shape = to_pictures("images", array, image_shape, n=1).shape[1:]
    classes = Classes([], list(COLORS[:1]), np.zeros(len(array), int))
    if labels is not None:
        classes = sort_labels(labels, len(array), class_names)
    check_instance("model", model, VAE)
    models: dict[str, Any] = {"model": model}
    if autoencoder is not None:
        check_instance("autoencoder", autoencoder, Autoencoder)
        models["autoencoder"] = autoencoder
    encoded = {name: encode_in_plane(name, model, array) for name, model in models.items()}

    most = min(_MOST_ORIGINALS, max(1, _ORIGINAL_VALUES // math.prod(shape)))
    chosen = np.linspace(0, len(array) - 1, min(len(array), most)).astype(int)
    written = labels if all(len(name) <= _LONGEST_NAME for name in classes.names) else None

    def medians(points: np.ndarray, view: View) -> list[tuple[float, float]]:
        return [(x, y) for _, x, y in name_places(group_points(points, written, class_names), view)]

    originals = to_pictures("images", array[chosen], image_shape)
    planes = [_describe(name, models[name], encoded[name], chosen, shape, medians) for name in models]
    data = {
        "names": classes.names,
        "colors": classes.colors,
        "which": classes.numbers.tolist(),
        "shape": shape,
        "chosen": chosen.tolist(),
        "start": _choose_start(originals, model, encoded["model"][:, :2], chosen, classes.numbers),
        "originals": _sheet(originals),
        "planes": planes,
    }
    content = _fill(f"Latent plane of {len(array):,} images" if title is None else title, data)
    write_whole(target, content.encode(errors="replace"))  # half a surrogate pair, say
    return Page(target, content)


# What the page is told


def _describe(
    argument: str,
    model: Any,
    rows: np.ndarray,
    chosen: np.ndarray,
    shape: tuple[int, ...],
    medians: Callable[[np.ndarray, View], list[tuple[float, float]]],
) -> dict[str, Any]:
    """Return what the page is told of a model's plane; near `medians` of its points stand the labels."""
    is_vae, points = argument == "model", rows[:, :2]
    name, axis, least_reach = ("VAE", "z", _PRIOR_REACH) if is_vae else ("Autoencoder", "code", 0.0)
    left, bottom, side = _square(points, least_reach)
    place = (points - [left, bottom]) / side
    size = max(_COARSEST_GRID, min(_FINEST_GRID, math.isqrt(_GRID_VALUES // math.prod(shape))))
    steps = np.linspace(0, side, size)
    grid = np.stack(np.meshgrid(left + steps, bottom + steps), axis=-1).reshape(-1, 2)

    def decode(points: np.ndarray) -> np.ndarray:
        pictures = model.decode(points).reshape(-1, *shape)
        if not np.isfinite(pictures).all():
            raise ValueError(f"{argument} must decode to finite values; got NaN or infinity.")
        return pictures

    return {
        "id": name.lower(),
        "name": name,
        "axis": axis,
        "square": [left, bottom, side],
        "points": to_base64((np.clip(place, 0, 1) * 65535).round().astype("<u2").tobytes()),
        "beyond": int(((place < 0) | (place > 1)).any(axis=1).sum()),
        "medians": medians(points, View((left, left + side), (bottom, bottom + side), 0)),
        "numbers": [[float(f"{number:.5g}") for number in row] for row in rows[chosen].tolist()],
        "reconstructions": _sheet(decode(points[chosen])),
        "size": size,
        "grid": _grid(decode(grid).reshape(size, size, *shape)),
    }


def _choose_start(
    originals: np.ndarray, model: VAE, points: np.ndarray, chosen: np.ndarray, numbers: np.ndarray
) -> int:
    """Return the place in `chosen` of the image to open on.

    The one reconstructed with the least error, by its own brightness, of those whose label most of their
    neighbours share: where classes meet, as in the middle of the plane, what is decoded is no clear image.
    Where there are some within 2 sigma of the prior, one of these, so that it does not lie at the rim.
    """
    errors = (originals - model.decode(points[chosen]).reshape(originals.shape)) ** 2
    each = tuple(range(1, originals.ndim))
    errors = errors.sum(axis=each) / np.maximum((originals**2).sum(axis=each), 1e-6)
    shares, most = np.empty(len(chosen)), min(_NEIGHBOURS, len(points))
    for i, place in enumerate(chosen):
        nearest = np.argpartition(((points - points[place]) ** 2).sum(axis=1), most - 1)[:most]
        shares[i] = (numbers[nearest] == numbers[place]).mean()
    at_home = shares > 0.9 * shares.max()
    inner = at_home & ((points[chosen] ** 2).sum(axis=1) < 4)
    return int(np.where(inner if inner.any() else at_home, errors, np.inf).argmin())


def _square(points: np.ndarray, least_reach: float) -> tuple[float, float, float]:
    """Return the square of the plane to show, (left, bottom, side): all points, and the bulk of the prior."""
    # Where the outermost points lie further out than all the others are spread, showing them would shrink
    # the rest to a dot: the page draws them on the rim.
    low, high = np.percentile(points.astype(float), (0.2, 99.8), axis=0)
    spread = (high - low).max() or np.ptp(points, axis=0).max()
    low = np.maximum(points.min(axis=0), low - spread)
    high = np.minimum(points.max(axis=0), high + spread)
    if least_reach:
        low, high = np.minimum(low, -least_reach), np.maximum(high, least_reach)
    side = 1.06 * float((high - low).max()) or 1.0
    left, bottom = (low + high) / 2 - side / 2
    return float(left), float(bottom), side


def _grid(pictures: np.ndarray) -> str:
    """Return a grid of pictures, one tile for a pixel of all of them, not for all pixels of one."""
    # Along the plane a pixel changes slowly, and so the PNG is half as large.
    by_pixel = pictures.swapaxes(0, 2).swapaxes(1, 3)  # (height, width, rows, columns, ...)
    return _png(to_mosaic(by_pixel.reshape(-1, *by_pixel.shape[2:]), columns=by_pixel.shape[1]))


def _sheet(pictures: np.ndarray) -> str:
    """Return pictures side by side, row by row, in a sheet about as high as wide."""
    return _png(to_mosaic(pictures, columns=math.isqrt(len(pictures) - 1) + 1))


def _png(picture: np.ndarray) -> str:
    return to_base64(to_png(Image.fromarray(to_uint8(picture))))


# The file


def _fill(title: str, data: dict[str, Any]) -> str:
    """Put title and data into the template, so that neither can end up as markup or code."""
    template = resources.files("vae.explorer").joinpath("page.html").read_text("utf-8")
    hashes = []
    for name in ("script", "style"):
        code = template.partition(f"<{name}>")[2].partition(f"</{name}>")[0]
        digest = to_base64(hashlib.sha256(code.encode()).digest())
        hashes.append(f"{name}-src 'sha256-{digest}'; ")
    parts = {
        # This script, this style, embedded pictures, nothing else.
        "policy": f"default-src 'none'; {''.join(hashes)}img-src data:; base-uri 'none'; form-action 'none'",
        "title": html.escape(title),
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    }
    # In one pass, so that a title may hold {{data}}.
    return re.sub(r"{{(\w+)}}", lambda match: parts[match[1]], template)
