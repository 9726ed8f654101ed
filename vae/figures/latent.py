"""Pictures of the latent space: where the encoder puts images, and how wide it spreads each."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke

from vae._checks import (
    Images,
    Labels,
    Points,
    check_flag,
    check_images,
    check_instance,
    check_labels,
    check_points,
    check_positive_int,
    check_text,
)
from vae.figures.picture import new_picture
from vae.figures.shared import COLORS
from vae.model import VAE, Autoencoder

_SHADOW = ", ".join(f"{x}px {y}px 1px white" for x in (-1, 0, 1) for y in (-1, 0, 1))
_STROKE = [withStroke(linewidth=3, foreground="white")]
_MOST_NAMES = 20  # above, names written into a picture would cover it


class Group(NamedTuple):
    """The points of one label; the name is None where there are no labels."""

    name: str | None
    color: str
    points: np.ndarray


def plot_latent_space(
    z_mean: Points,
    labels: Labels | None = None,
    *,
    class_names: Sequence[str] | None = None,
    static: bool = False,
    title: str | None = None,
    name: str = "z_mean",
) -> go.Figure | Figure:
    """Draw images as points in the latent space, coloured by label.

    More than two latent dimensions are projected on their first two principal components.

    Args:
        z_mean: The means that `VAE.encode` gives, shape (images, latent_dim), latent_dim at least 2.
        labels: One label an image, shape (images,), numbers or strings; None draws one colour. A whole
            number has the same colour in every figure.
        class_names: What the labels 0, 1, ... are called, such as `Dataset.class_names`; or the order of
            labels that are strings, which gives each of these its colour.
        static: Whether to return the matplotlib twin instead, of the same numbers.
        title: Of the figure; None says how many images it shows.
        name: What the points are, for axes and caption; "code" for those of an `Autoencoder`.

    Returns:
        An interactive plotly `Figure` with one trace a label; a matplotlib `Figure` if `static`.

    Raises:
        ValueError: `z_mean` is empty, not finite, of 1 latent dimension, or of more than 2 with all points
            equal; or another argument is not as described.
        TypeError: `z_mean` holds no numbers.

    Example:
        >>> import vae
        >>> figure = vae.plot_latent_space([[0.0, 1.0], [2.0, 3.0], [1.0, 1.0]], labels=[7, 7, 1])
        >>> [trace.name for trace in figure.data]
        ['1', '7']
    """
    points = check_points("z_mean", z_mean)
    if points.shape[1] < 2:
        raise ValueError(f"z_mean must have at least 2 latent dimensions to draw; got shape {points.shape}.")
    points, axis_names = _two_dimensions(points, check_text("name", name))
    title = f"Latent space of {len(points):,} images" if title is None else check_text("title", title)
    caption = f"each point is the {name} of one image"
    if name == "z_mean":
        caption += ", the encoder's mean: nothing is sampled"
    draw = _draw_static if check_flag("static", static) else _draw_interactive
    return draw(group_points(points, labels, class_names), axis_names, title, caption)


def plot_latent_intuition(
    autoencoder: Autoencoder,
    model: VAE,
    images: Images,
    labels: Labels,
    *,
    class_names: Sequence[str] | None = None,
    n: int = 400,
) -> Figure:
    """Draw the same images in two latent spaces: as points (autoencoder), as Gaussians (VAE).

    Each ellipse has its centre at z_mean and reaches one sigma = exp(z_log_sigma) along each axis.
    Dashed circles are the prior N(0, I), to which the KL divergence draws the Gaussians; an
    autoencoder has no prior, and puts its codes wherever they serve.

    Args:
        autoencoder: A trained `Autoencoder`, latent_dim 2.
        model: A trained `VAE`, latent_dim 2.
        images: As `flatten` takes them.
        labels: One label an image, shape (images,).
        class_names: As in `plot_latent_space`.
        n: How many to draw, spread evenly over all that are given.

    Returns:
        A matplotlib `Figure` with two axes.

    Raises:
        TypeError: `autoencoder` is no autoencoder, `model` no VAE, or images neither uint8 nor float.
        ValueError: A latent space that is not 2-D, or holds NaN, as after a run that diverged; or images or
            labels of a wrong shape or range.

    Example:
        >>> import numpy as np, vae
        >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
        >>> images, labels = np.random.rand(20, 28, 28), np.arange(20) % 10
        >>> len(vae.plot_latent_intuition(vae.build_autoencoder(), model, images, labels).axes)
        2
    """
    check_instance("autoencoder", autoencoder, Autoencoder)
    check_instance("model", model, VAE)
    array = check_images("images", images)
    names = check_labels("labels", labels, len(array))
    chosen = np.linspace(0, len(array) - 1, min(check_positive_int("n", n), len(array))).astype(int)
    array, names = array[chosen], names[chosen]
    codes = encode_in_plane("autoencoder", autoencoder, array)
    gaussians = group_points(encode_in_plane("model", model, array), names, class_names)

    figure = new_picture(figsize=(12, 6.4))
    left, right = figure.subplots(1, 2)
    groups = group_points(codes, names, class_names)
    draw_points(left, groups, size=12)
    _draw_gaussians(right, gaussians)
    for ax, title, axis in (left, "Autoencoder: a point", "code"), (right, "VAE: a Gaussian", "z"):
        ax.set(title=f"{title} for each image", xlabel=f"{axis}, dimension 1", ylabel=f"{axis}, dimension 2")
    draw_legend(left, groups, loc="outside lower center", ncols=10, markerscale=2)
    return figure


def encode_in_plane(name: str, model: Autoencoder | VAE, images: np.ndarray) -> np.ndarray:
    """Return a row an image: its point in the latent plane, and of a VAE also its sigma."""
    latent_dim, wanted = model.decoder.input_shape[-1], math.prod(model.encoder.input_shape[1:])
    if latent_dim != 2:
        raise ValueError(f"{name} must have 2 latent dimensions to be drawn in a plane; got {latent_dim}.")
    if wanted != images[0].size:
        got = f"{images[0].size} values, as images are"
        one = " For one image, pass images[None]." if images.size == wanted else ""
        raise ValueError(f"{name} must take images of {got}; it takes {wanted}.{one}")
    rows = model.encode(images)  # (images, 2), of a VAE z_mean and z_log_sigma
    rows = np.hstack([rows[0], np.exp(rows[1])]) if isinstance(model, VAE) else rows
    return check_points(f"what {name} encodes", rows)


def _two_dimensions(points: np.ndarray, name: str) -> tuple[np.ndarray, list[str]]:
    """Return the points in two dimensions, and what the two are called."""
    latent_dim = points.shape[1]
    if latent_dim == 2:
        return points, [f"{name}, dimension 1", f"{name}, dimension 2"]
    if (points == points[0]).all():
        raise ValueError(f"z_mean must hold points that differ; got {len(points)} equal ones.")
    from sklearn.decomposition import PCA

    pca = PCA(n_components=2, svd_solver="full")  # exact, with signs that do not depend on chance
    largest = np.finfo(np.float32).max
    projected = pca.fit_transform(points.astype(np.float64)).clip(-largest, largest)
    return projected.astype(np.float32), [
        f"principal component {i} of {latent_dim} latent dimensions ({100 * share:.0f} % of the variance)"
        for i, share in enumerate(pca.explained_variance_ratio_, start=1)
    ]


def _draw_interactive(groups: list[Group], axis_names: list[str], title: str, caption: str) -> go.Figure:
    figure, hover = go.Figure(), "(%{x:.2f}, %{y:.2f})<extra></extra>"
    for group in groups:
        template = hover if group.name is None else f"label {group.name}<br>{hover}"
        figure.add_trace(to_trace(group, 4 * _marker_scale(groups), hovertemplate=template))
    for name, x, y in name_places(groups):
        font = {"size": 18, "weight": 700, "color": "black", "shadow": _SHADOW}
        figure.add_annotation(x=x, y=y, text=name, showarrow=False, font=font)
    figure.update_layout(
        template="plotly_white",
        title={"text": title, "subtitle": {"text": caption}},
        legend={"title": {"text": "label"}, "itemsizing": "constant"},
        xaxis={"title": {"text": axis_names[0]}},
        yaxis={"title": {"text": axis_names[1]}, "scaleanchor": "x"},
    )
    named = groups[0].name is not None
    return figure.update_layout(width=800, height=700, dragmode="zoom", showlegend=named)


def _draw_static(groups: list[Group], axis_names: list[str], title: str, caption: str) -> Figure:
    figure = new_picture(figsize=(8, 7))
    ax = figure.add_subplot()
    draw_points(ax, groups, size=4 * _marker_scale(groups) ** 2)  # matplotlib counts area
    for name, x, y in name_places(groups):
        ax.text(x, y, name, size=14, weight="bold", ha="center", va="center", path_effects=_STROKE)
    ax.set_title(title, pad=24)
    ax.annotate(caption, (0.5, 1), (0, 7), "axes fraction", "offset points", ha="center", color="0.35")
    ax.set(xlabel=axis_names[0], ylabel=axis_names[1])
    if groups[0].name is not None:
        draw_legend(ax, groups, loc="outside right upper", title="label", markerscale=3)
    return figure


def _marker_scale(groups: list[Group]) -> float:
    """Draw few points larger, up to twice as wide."""
    return float(np.clip(np.sqrt(3000 / sum(len(group.points) for group in groups)), 1, 2))


def _draw_gaussians(ax: Axes, groups: list[Group]) -> None:
    """Draw an ellipse for each row (z_mean, sigma) of the groups, and the prior over them."""
    reach = 2.0
    for _, color, rows in groups:
        mean, sigma, level = rows[:, :2], rows[:, 2:], np.zeros(len(rows))
        width, height = 2 * sigma.T
        ellipses = EllipseCollection(
            width, height, level, units="xy", offsets=mean, offset_transform=ax.transData
        )
        ellipses.set(facecolor=(color, 0.3), edgecolor=(color, 0.8), linewidth=0.6)
        ax.add_collection(ellipses)
        reach = max(reach, float((np.abs(mean) + sigma).max()))
    for radius in (1, 2):
        ax.add_patch(Circle((0, 0), radius, fill=False, linestyle="--", edgecolor="0.2"))
        ax.text(0, radius, f"prior, {radius} sigma", ha="center", va="center", path_effects=_STROKE)
    ax.set(xlim=(-1.08 * reach, 1.08 * reach), ylim=(-1.08 * reach, 1.08 * reach), aspect="equal")
    ax.grid(alpha=0.25)


# Points by label


class Classes(NamedTuple):
    """The labels that occur, in order, with their colours; of each image the number of its label there."""

    names: list[str]
    colors: list[str]
    numbers: np.ndarray


def sort_labels(labels: Labels, n: int, class_names: Sequence[str] | None = None) -> Classes:
    """Return the classes of `n` images; each has a place, which decides its colour.

    The place of a whole number is the number itself, that of a string is where it stands in `class_names`,
    or, without these, among the strings that occur.
    """
    kinds, numbers = np.unique(check_labels("labels", labels, n), return_inverse=True)
    names, known = (
        [str(kind) for kind in kinds],
        [str(name) for name in (() if class_names is None else class_names)],
    )
    places = list(range(len(kinds)))
    if kinds.dtype.kind in "biuf" and (np.floor(kinds) == kinds).all() and np.abs(kinds).max() < 2**31:
        places = [int(kind) for kind in kinds]
    elif known:
        places = [known.index(name) if name in known else -1 for name in names]
    if known:
        missing = [name for name, place in zip(names, places, strict=True) if not 0 <= place < len(known)]
        if missing:
            raise ValueError(f"class_names must name every label; got {known}, and the label {missing[0]}.")
        names = [known[place] for place in places]
    order = np.argsort(places)
    return Classes(
        [names[i] for i in order], [_label_color(places[i]) for i in order], np.argsort(order)[numbers]
    )


def _label_color(place: int) -> str:
    if 0 <= place < len(COLORS):
        return COLORS[place]
    # Steps of the golden section never come back to the same hue.
    return str(to_hex(colormaps["turbo"](0.05 + 0.9 * (place * 0.618034 % 1))))


def group_points(
    points: np.ndarray, labels: Labels | None, class_names: Sequence[str] | None = None
) -> list[Group]:
    """Sort points by label; each label has its name and colour."""
    if labels is None:
        return [Group(None, COLORS[0], points)]
    classes = sort_labels(labels, len(points), class_names)
    shown = [name.replace("$", r"\$") for name in classes.names]  # a dollar would open a formula
    return [Group(name, classes.colors[i], points[classes.numbers == i]) for i, name in enumerate(shown)]


def name_places(groups: list[Group]) -> list[tuple[str, float, float]]:
    """Return where to write each name, the median of its points; none without labels, or of too many."""
    if len(groups) > _MOST_NAMES:
        return []
    return [(name, *np.median(points, axis=0).tolist()) for name, _, points in groups if name is not None]


def to_trace(group: Group, size: float, **options: Any) -> go.Scattergl:
    """Return a group of points for plotly, which writes float32 as base64: 11 characters a point."""
    (x, y), marker = group.points.T, {"color": group.color, "size": size, "opacity": 0.6}
    return go.Scattergl(x=x, y=y, name=group.name, mode="markers", marker=marker, **options)


def draw_points(ax: Axes, groups: list[Group], size: float) -> None:
    """Draw groups of points in their colours, both axes to one scale."""
    for name, color, points in groups:
        x, y = points.T
        ax.scatter(x, y, s=size, color=color, alpha=0.6, linewidths=0, label=name, rasterized=True)
    ax.set_aspect("equal", adjustable="datalim")
    ax.grid(alpha=0.25)


def draw_legend(ax: Axes, groups: list[Group], **options: Any) -> None:
    """Name the groups that were drawn, beside the axes."""
    numbers = [str(i) for i in range(len(groups))]
    legend = ax.figure.legend(ax.collections, numbers, frameon=False, **options)
    # Set afterwards: matplotlib leaves out names that are empty or begin with "_".
    for text, group in zip(legend.get_texts(), groups, strict=True):
        text.set_text(group.name)
