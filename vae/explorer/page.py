"""What the latent-space page holds, computed and written: one file, with everything in it.

The page carries the networks themselves and runs them, so it can encode and decode anything. Beside them it
has the images, compressed, and their points as 16-bit numbers. How it looks is in `page.html`.
The scripts are put into it: `networks.js` computes, `plane.js` paints the latent plane, `drawing.js` draws on
the image, and `page.js` moves and says what is seen.
"""

import hashlib
import html
import json
import math
import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from vae._checks import Images, Labels, check_images, check_instance
from vae.data import to_uint8
from vae.explorer.networks import write_networks
from vae.figures.classes import Classes, Group, View, name_places, sort_labels
from vae.figures.latent import encode_rows
from vae.figures.shared import COLORS, check_file, to_base64, to_pictures
from vae.files.atomic import write_whole
from vae.model import VAE, Autoencoder

_MOST_ORIGINALS = 1000
_ORIGINAL_VALUES = 1_000_000  # of all images that can be chosen; photographs compress far less than digits
_LONGEST_NAME = 4  # of labels written into the plane; longer ones would cover it
_NEIGHBOURS = 20  # of an image in the plane, that tell whether its label is at home there
_PRIOR_REACH = 2.5  # sigmas of N(0, I) that the VAE's plane shows at least
MOST_DIMENSIONS = 32  # of a latent space; more sliders would be no help
_SCRIPTS = ("networks.js", "plane.js", "drawing.js", "page.js")  # in the order in which the page runs them


@dataclass(frozen=True)
class Page:
    """A latent-space page that `explore` wrote; as the last line of a notebook cell it shows itself."""

    path: Path
    content: str = field(repr=False)

    def _repr_html_(self) -> str:
        # Scripts run, but in an origin of their own: the page cannot reach the notebook.
        return (
            f'<iframe title="Latent-space page" sandbox="allow-scripts" width="100%" height="1360" '
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

    The page carries the model's networks and runs them. It shows the images as points in the latent plane,
    what is decoded under the pointer (mouse, finger or arrow keys), and one image beside its reconstruction,
    with its Gaussian as an ellipse of one sigma. One can draw on that image, and see at once how it is
    encoded, both terms of its loss, and what draws from its Gaussian decode to. At most 1,000 images, spread
    evenly, can be chosen, and fewer where they are large. More than two dimensions have sliders. The address
    keeps model and point, so that a place can be shared as a link.

    In the browser's console, `latentPage.encode(pixels)` gives `{z_mean, z_log_sigma}` and
    `latentPage.decode(z)` pixels, of the model that is shown: flat arrays, pixels in [0, 1], row by row,
    channels last.

    Args:
        model: A trained `VAE`, latent_dim at most 32, of the layers and activations of `vae.builders`, and
            of `Dropout` and `GaussianNoise`, which act in training alone.
        images: n test images, as `flatten` takes them.
        labels: One label an image, shape (n,), numbers or strings; None draws one colour.
        class_names: As in `plot_latent_space`.
        autoencoder: A trained `Autoencoder`, likewise, whose plane the page offers as well; or None.
        path: Where to write, a name that ends in .html. Folders are made, an old file is replaced.
        image_shape: (height, width) or (height, width, channels); None infers a square.
        title: Heading of the page; None says how many images it shows.

    Returns:
        A `Page`, with the file as `path` and what is in it as `content`; a notebook shows it in place.

    Raises:
        TypeError: `model`, `autoencoder`, `images`, `path` or `title` of a wrong type.
        ValueError: More than 32 latent dimensions, a layer that the page cannot run, a decoder that gives
            NaN, another suffix than .html, or images or labels of a wrong shape or range.

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
    one = Classes([], list(COLORS[:1]), np.zeros(len(array), int))
    classes = one if labels is None else sort_labels(labels, len(array), class_names)
    check_instance("model", model, VAE)
    models: dict[str, Any] = {"model": model}
    if autoencoder is not None:
        check_instance("autoencoder", autoencoder, Autoencoder)
        models["autoencoder"] = autoencoder
    points = {name: _encode(name, model, array) for name, model in models.items()}

    most = min(_MOST_ORIGINALS, max(1, _ORIGINAL_VALUES // math.prod(shape)))
    chosen = np.linspace(0, len(array) - 1, min(len(array), most)).astype(int)
    originals = to_pictures("images", array[chosen], image_shape)
    planes = [
        _describe(name, model, points[name], classes)
        | write_networks(name, model, array[chosen], points[name][chosen])
        for name, model in models.items()
    ]
    data = {
        "names": classes.names,
        "colors": classes.colors,
        "which": classes.numbers.tolist(),
        "shape": shape,
        "paper": int(np.median(originals) > 0.5),  # dark or light: what a cleared drawing is of
        "fitted": _is_like_mnist(originals),
        "chosen": chosen.tolist(),
        "start": _choose_start(model, originals, points["model"], chosen, classes.numbers),
        "originals": to_base64(zlib.compress(to_uint8(originals).tobytes(), 9)),
        "planes": planes,
    }
    content = _fill(f"Latent plane of {len(array):,} images" if title is None else title, data)
    write_whole(target, content.encode(errors="replace"))  # half a surrogate pair, say
    return Page(target, content)


# What the page is told


def _encode(argument: str, model: Any, images: np.ndarray) -> np.ndarray:
    """Return the points of images in a model's latent space, (images, latent_dim)."""
    latent_dim = model.decoder.input_shape[-1]
    if latent_dim > MOST_DIMENSIONS:
        raise ValueError(
            f"{argument} must have at most {MOST_DIMENSIONS} latent dimensions to be explored; "
            f"got {latent_dim}."
        )
    return encode_rows(argument, model, images)[:, :latent_dim]


def _describe(argument: str, model: Any, points: np.ndarray, classes: Classes) -> dict[str, Any]:
    """Return what the page is told of a model's latent space."""
    is_vae = argument == "model"
    name, axis, least_reach = ("VAE", "z", _PRIOR_REACH) if is_vae else ("Autoencoder", "code", 0.0)
    low, side = _cube(points, least_reach)
    place = (points - low) / side
    order = np.argsort(-points.std(axis=0), kind="stable")  # the most active first
    axes = sorted(order[:2].tolist())
    return {
        "id": name.lower(),
        "name": name,
        "axis": axis,
        "low": low.tolist(),
        "side": side,
        "order": order.tolist(),
        "axes": axes,
        **_loss(model),
        "points": to_base64((np.clip(place, 0, 1) * 65535).round().astype("<u2").tobytes()),
        "beyond": int(((place < 0) | (place > 1))[:, axes].any(axis=1).sum()),
        "places": _places(points[:, axes], low[axes], side, classes) if len(axes) == 2 else [],
    }


def _loss(model: Any) -> dict[str, Any]:
    """Return what the page computes the loss with; one of the user's own it cannot."""
    loss = model.reconstruction
    if not isinstance(loss, str) or type(model).loss_terms not in (VAE.loss_terms, Autoencoder.loss_terms):
        loss = "own"
    return {
        "loss": loss,
        "log_sigma": math.log(model.reconstruction_loss.sigma) if loss == "gaussian" else 0,
        "beta": model.beta if isinstance(model, VAE) else 0,
    }


def _is_like_mnist(originals: np.ndarray) -> bool:
    """Tell whether images are made as MNIST's: light on dark, in 28 x 28, of which they fill 20 x 20."""
    if originals.shape[1:] != (28, 28):
        return False
    lit = np.stack([(originals > 0.1).any(axis=axis) for axis in (1, 2)])  # columns and rows, of each image
    sides = 28 - lit.argmax(axis=2) - lit[:, :, ::-1].argmax(axis=2)
    return bool((abs(np.max(sides, axis=0) - 19) <= 1).mean() > 0.95)


def _places(points: np.ndarray, low: np.ndarray, side: float, classes: Classes) -> list[tuple[float, float]]:
    """Return where the page writes the labels, near the medians of their points; none where they are long."""
    if not all(len(name) <= _LONGEST_NAME for name in classes.names):
        return []
    groups = [Group(name, "", points[classes.numbers == i]) for i, name in enumerate(classes.names)]
    view = View((low[0], low[0] + side), (low[1], low[1] + side), 0)
    return [(x, y) for _, x, y in name_places(groups, view)]


def _choose_start(
    model: VAE, originals: np.ndarray, points: np.ndarray, chosen: np.ndarray, numbers: np.ndarray
) -> int:
    """Return the place in `chosen` of the image to open on.

    The one reconstructed with the least error, by its own brightness, of those whose label most of their
    neighbours share: where classes meet, as in the middle of the plane, what is decoded is no clear image.
    Where there are some within 2 sigma of the prior (of a plane), one of these: it does not lie at the rim.
    """
    pixels = originals.reshape(len(chosen), -1)
    errors = (pixels - np.reshape(model.decode(points[chosen]), pixels.shape)) ** 2
    errors = errors.sum(axis=1) / np.maximum((pixels**2).sum(axis=1), 1e-6)
    shares, most = np.empty(len(chosen)), min(_NEIGHBOURS, len(points))
    for i, place in enumerate(chosen):
        nearest = np.argpartition(((points - points[place]) ** 2).sum(axis=1), most - 1)[:most]
        shares[i] = (numbers[nearest] == numbers[place]).mean()
    at_home = shares > 0.9 * shares.max()
    inner = at_home & ((points[chosen] ** 2).mean(axis=1) < 2)
    return int(np.where(inner if inner.any() else at_home, errors, np.inf).argmin())


def _cube(points: np.ndarray, least_reach: float) -> tuple[np.ndarray, float]:
    """Return the part of the space to show, (lowest corner, side): all points, and the bulk of the prior."""
    # Where the outermost points lie further out than all the others are spread, showing them would shrink
    # the rest to a dot: the page draws them on the rim.
    low, high = np.percentile(points.astype(float), (0.2, 99.8), axis=0)
    spread = (high - low).max() or np.ptp(points, axis=0).max()
    low = np.maximum(points.min(axis=0), low - spread)
    high = np.minimum(points.max(axis=0), high + spread)
    if least_reach:
        low, high = np.minimum(low, -least_reach), np.maximum(high, least_reach)
    side = 1.06 * float((high - low).max()) or 1.0
    return (low + high) / 2 - side / 2, side


# The file


def _fill(title: str, data: dict[str, Any]) -> str:
    """Put title and data into the template, so that neither can end up as markup or code."""
    folder = resources.files("vae.explorer")
    template = folder.joinpath("page.html").read_text("utf-8")
    script = "\n".join(folder.joinpath(name).read_text("utf-8") for name in _SCRIPTS)
    style = template.partition("<style>")[2].partition("</style>")[0]
    hashes = ""
    for name, code in (("script", script), ("style", style)):
        hashes += f"{name}-src 'sha256-{to_base64(hashlib.sha256(code.encode()).digest())}'; "
    parts = {
        # This script, this style, an empty icon, nothing else.
        "policy": f"default-src 'none'; {hashes}img-src data:; base-uri 'none'; form-action 'none'",
        "title": html.escape(title),
        "script": script,
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    }
    # In one pass, so that a title may hold {{data}}.
    return re.sub(r"{{(\w+)}}", lambda match: parts[match[1]], template)
