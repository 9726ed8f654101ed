"""The variational autoencoder in one picture."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Polygon

from vae._checks import Images, as_array
from vae.figures.picture import new_picture
from vae.figures.shared import AMBER, GREY, INK, PALE, draw_picture, to_pictures

BLUE, GREEN, ROSE = "#D6E4F2", "#D5EBDD", "#F3DCDC"  # of encoder, decoder and loss
ARROWS = (  # corners, from start to end
    ((1.7, 0), (2.6, 0)),
    ((4.0, 0.4), (4.6, 0.9)),
    ((4.0, -0.4), (4.6, -0.9)),
    ((6.6, 0), (7.5, 0)),
    ((7.9, -1.95), (7.9, -0.4)),
    ((8.3, 0), (9.3, 0)),
    ((11.3, 0), (12.05, 0)),
    ((5.5, -1.5), (5.5, -2.75)),
    ((6.6, -3.15), (9.5, -3.15)),
    ((0.85, -1.45), (0.85, -4.5), (8.8, -4.5)),
    ((12.9, -1.45), (12.9, -4.5), (11.8, -4.5)),
    ((10.3, -4.1), (10.3, -3.55)),
)
_WORDS = (
    "Scheme of a variational autoencoder. The encoder turns an image x into z_mean and z_log_sigma, which "
    "are a Gaussian, and z = z_mean + exp(z_log_sigma) * epsilon, a draw from it; the decoder turns z into a "
    "reconstruction. The loss is the sum of the reconstruction loss, from x and its reconstruction, and of "
    "beta times the KL divergence, from z_mean and z_log_sigma."
)


def plot_architecture(image: Images | None = None, reconstruction: Images | None = None) -> Figure:
    """Draw how a variational autoencoder works: image, encoder, sampling, decoder, reconstruction, loss.

    The encoder turns image x into a Gaussian; z is drawn from it by the reparameterisation trick
    (Kingma & Welling 2014, arXiv 1312.6114, section 2.4); the decoder turns z into an image. The loss adds
    what the reconstruction misses and how far the Gaussian is from the prior.

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
    figure = new_picture(figsize=(11, 6.1))
    axes = figure.add_subplot(xlim=(-0.02, 13.77), ylim=(-5.0, 2.65), aspect="equal")
    axes.set_axis_off()
    _draw_frame(axes, (2.3, -2.0), (8.6, 2.0), BLUE)
    _draw_frame(axes, (4.45, -1.5), (6.6, 1.5), "white")
    for corners in ARROWS:
        axes.plot(*np.transpose(corners[:-1]), color=GREY, linewidth=1, zorder=2)
        head = {"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", corners[-1], corners[-2], arrowprops=head)
    _draw_end(axes, 0.85, "$x$", "image", image)
    _draw_block(axes, (3.3, 0), (1.4, 2.4, 1.4), "white", "layers")
    _draw_block(axes, (5.5, 0.9), (1.8, 0.8, 0.8), AMBER, r"$\mathtt{z\_mean}$")
    _draw_block(axes, (5.5, -0.9), (1.8, 0.8, 0.8), AMBER, r"$\mathtt{z\_log\_sigma}$")
    _draw_block(axes, (7.9, 0), (0.8, 0.8, 0.8), AMBER, "$z$")
    _draw_block(axes, (10.3, 0), (2, 1.5, 2.7), GREEN, "decoder\n$p\\,(x\\,|\\,z)$")
    _draw_end(axes, 12.9, r"$\hat{x}$", "reconstruction", reconstruction)
    _draw_block(axes, (5.5, -3.15), (2.2, 0.8, 0.8), ROSE, "KL divergence")
    _draw_block(axes, (10.3, -3.15), (1.6, 0.8, 0.8), ROSE, "loss = sum")
    _draw_block(axes, (10.3, -4.5), (3.0, 0.8, 0.8), ROSE, "reconstruction loss")
    _write(axes, (5.5, 0), "a Gaussian")
    _write(axes, (8.05, -2.9), r"times $\beta$")
    _write(axes, (4.05, 2.3), r"encoder $q\,(z\,|\,x)$, three outputs")
    _write(axes, (8.9, 2.3), r"$z = \mathtt{z\_mean} + \exp(\mathtt{z\_log\_sigma}) \cdot \epsilon$")
    _write(axes, (7.9, -2.25), r"$\epsilon \sim \mathcal{N}(0, I)$")
    given = {"image": image, "its reconstruction": reconstruction}
    shown = [name for name, pixels in given.items() if pixels is not None]
    figure.alt = _WORDS + f" Drawn in it: {' and '.join(shown)}." * bool(shown)
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


def _draw_frame(axes: Axes, low: tuple[float, float], high: tuple[float, float], colour: str) -> None:
    """Draw what holds several blocks."""
    width, height = np.subtract(high, low)
    box = FancyBboxPatch(low, width, height, "round,pad=0,rounding_size=0.2")
    axes.add_patch(box)
    box.set(facecolor=colour, edgecolor=GREY, linewidth=0.8, zorder=1)


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
