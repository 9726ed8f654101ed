"""The variational autoencoder in one picture."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from vae._checks import Images, as_array
from vae.figures.picture import new_picture
from vae.figures.shared import AMBER, GREY, INK, PALE, draw_picture, to_pictures

BLUE, GREEN = "#D6E4F2", "#D5EBDD"  # of encoder and decoder
ARROWS = (  # from, to
    ((1.7, 0), (2.4, 0)),
    ((4.4, 0.4), (5.0, 0.9)),
    ((4.4, -0.4), (5.0, -0.9)),
    ((6.8, 0.9), (7.6, 0.25)),
    ((6.8, -0.9), (7.6, -0.25)),
    ((8.0, -1.55), (8.0, -0.4)),
    ((8.4, 0), (9.0, 0)),
    ((11.0, 0), (11.35, 0)),
)


def plot_architecture(image: Images | None = None, reconstruction: Images | None = None) -> Figure:
    """Draw how a variational autoencoder works: image, encoder, sampling, decoder, reconstruction.

    The encoder turns image x into a Gaussian; z is drawn from it by the reparameterisation trick
    (Kingma & Welling 2014, arXiv 1312.6114, section 2.4); the decoder turns z into an image.

    Args:
        image: One image to show on the left, shape (height, width); None draws a plain box.
        reconstruction: One image to show on the right, likewise.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        TypeError: An image of a type other than uint8 or float.
        ValueError: An image of a wrong shape or range.

    Example:
        >>> import vae
        >>> figure = vae.plot_architecture()
        >>> figure.savefig("architecture.png")  # doctest: +SKIP
    """
    figure = new_picture(figsize=(11, 3.8))
    axes = figure.add_subplot(xlim=(-0.02, 13.07), ylim=(-2.1, 2.25), aspect="equal")
    axes.set_axis_off()
    arrow = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0}
    for start, end in ARROWS:
        axes.annotate("", end, start, arrowprops=arrow)
    _draw_end(axes, 0.85, "$x$", "image", image)
    _draw_block(axes, (3.4, 0), (2, 2.7, 1.5), BLUE, "encoder\n$q\\,(z\\,|\\,x)$")
    _draw_block(axes, (5.9, 0.9), (1.8, 0.8, 0.8), AMBER, r"$\mathtt{z\_mean}$")
    _draw_block(axes, (5.9, -0.9), (1.8, 0.8, 0.8), AMBER, r"$\mathtt{z\_log\_sigma}$")
    _draw_block(axes, (8, 0), (0.8, 0.8, 0.8), AMBER, "$z$")
    _draw_block(axes, (10, 0), (2, 1.5, 2.7), GREEN, "decoder\n$p\\,(x\\,|\\,z)$")
    _draw_end(axes, 12.2, r"$\hat{x}$", "reconstruction", reconstruction)
    _write(axes, (8, -1.85), r"$\epsilon \sim \mathcal{N}(0, I)$")
    _write(axes, (7, 2), r"$z = \mathtt{z\_mean} + \exp(\mathtt{z\_log\_sigma}) \cdot \epsilon$")
    return figure


def _draw_end(axes: Axes, x: float, symbol: str, name: str, image: Images | None) -> None:
    """Draw one end of the chain: the image, or a plain box in its place, and its name below."""
    if image is None:
        _draw_block(axes, (x, 0), (1.7, 1.7, 1.7), PALE, symbol)
    else:
        picture = to_pictures(name, as_array(name, image)[np.newaxis])[0]
        height, width = (0.85 * size / max(picture.shape[:2]) for size in picture.shape[:2])
        extent = (x - width, x + width, -height, height)
        draw_picture(axes, picture, extent=extent, zorder=2)
    _write(axes, (x, -1.25), name if image is None else f"{name} {symbol}", va="baseline")


def _draw_block(
    axes: Axes, centre: tuple[float, float], size: tuple[float, float, float], colour: str, text: str
) -> None:
    """Draw a block of a size: its width, its height on the left, and its height on the right."""
    (x, y), (width, left, right) = centre, np.array(size) / 2
    corners = [(x - width, y - left), (x - width, y + left), (x + width, y + right), (x + width, y - right)]
    axes.add_patch(Polygon(corners, facecolor=colour, edgecolor=GREY, zorder=2))
    _write(axes, centre, text)


def _write(axes: Axes, at: tuple[float, float], text: str, va: str = "center") -> None:
    axes.text(*at, text, ha="center", va=va, color=INK, fontsize=12, linespacing=1.6, zorder=3)
