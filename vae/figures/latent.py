"""Pictures of the latent space: where the encoder puts images, and how wide it spreads each."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
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
from vae.figures.classes import (
    Group,
    View,
    choose_view,
    describe_places,
    draw_legend,
    draw_points,
    group_points,
    name_places,
    to_trace,
    write_number,
)
from vae.figures.picture import new_picture
from vae.model import VAE, Autoencoder

_LEADER = "#595959"  # of lines from names that had to make room
_STROKE = [withStroke(linewidth=3, foreground="white")]


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
        An interactive plotly `Figure`, with one trace a label and, of up to 20 labels, one for the name in
        the plane; a matplotlib `Figure` if `static`.

    Raises:
        ValueError: `z_mean` is empty, not finite, of 1 latent dimension, or of more than 2 with all points
            equal; or another argument is not as described.
        TypeError: `z_mean` holds no numbers.

    Example:
        >>> import vae
        >>> figure = vae.plot_latent_space([[0.0, 1.0], [2.0, 3.0], [1.0, 1.0]], labels=[7, 7, 1])
        >>> [trace.name for trace in figure.data if trace.mode == "markers"]
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
    view = choose_view(points)
    caption += view.tell_outside()
    draw = _draw_static if check_flag("static", static) else _draw_interactive
    return draw(group_points(points, labels, class_names), view, axis_names, title, caption)


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

    groups, view = group_points(codes, names, class_names), choose_view(codes)
    ratio = float(np.clip(view.ratio, 0.6, 1.5))  # neither plane is drawn much larger than the other
    figure = new_picture(figsize=(12, 1.9 + 10.6 / (1 + 1 / ratio)))
    left, right = figure.subplots(1, 2, width_ratios=(1 / ratio, 1))
    draw_points(left, groups, size=12)
    _show_view(left, view, ["code[0]", "code[1]"])
    _draw_gaussians(right, gaussians)
    _write_title(left, "Autoencoder: a point for each image", f"its code{view.tell_outside()}")
    _write_title(right, "VAE: a Gaussian for each image", "its ellipse reaches one sigma from z_mean")
    draw_legend(left, groups, loc="outside lower center", ncols=10, markerscale=2)
    axes = view.describe("code[0]", "code[1]")
    figure.alt = (
        f"Left, {len(codes):,} images as points, each at its code; {axes}."
        f"{describe_places(groups)} Right, the same images as Gaussians, ellipses around z_mean, with the "
        f"prior's circles of 1 and 2 sigma; {_describe_sigma(gaussians)}.{describe_places(gaussians)}"
    )
    return figure


def encode_in_plane(name: str, model: Autoencoder | VAE, images: np.ndarray) -> np.ndarray:
    """Return a row an image: its point in the latent plane, and of a VAE also its sigma."""
    latent_dim = model.decoder.input_shape[-1]
    if latent_dim != 2:
        raise ValueError(f"{name} must have 2 latent dimensions to be drawn in a plane; got {latent_dim}.")
    return encode_rows(name, model, images)


def encode_rows(name: str, model: Autoencoder | VAE, images: np.ndarray) -> np.ndarray:
    """Return a row an image: its point in the latent space, and of a VAE behind it its sigma."""
    wanted = math.prod(model.encoder.input_shape[1:])
    if wanted != images[0].size:
        got = f"{images[0].size} values, as images are"
        one = " For one image, pass images[None]." if images.size == wanted else ""
        raise ValueError(f"{name} must take images of {got}; it takes {wanted}.{one}")
    rows = model.encode(images)  # (images, latent_dim), of a VAE z_mean and z_log_sigma
    rows = np.hstack([rows[0], np.exp(rows[1])]) if isinstance(model, VAE) else rows
    return check_points(f"what {name} encodes", rows)


def _two_dimensions(points: np.ndarray, name: str) -> tuple[np.ndarray, list[str]]:
    """Return the points in two dimensions, and what the two are called."""
    latent_dim = points.shape[1]
    if latent_dim == 2:
        return points, [f"{name}[0]", f"{name}[1]"]
    if (points == points[0]).all():
        raise ValueError(f"z_mean must hold points that differ; got {len(points)} equal ones.")
    from sklearn.decomposition import PCA

    pca = PCA(n_components=2, svd_solver="full")  # exact, with signs that do not depend on chance
    largest = np.finfo(np.float32).max
    projected = pca.fit_transform(points.astype(np.float64)).clip(-largest, largest)
    return projected.astype(np.float32), [
        f"principal component {i} of {latent_dim} ({100 * share:.0f} % of the variance)"
        for i, share in enumerate(pca.explained_variance_ratio_, start=1)
    ]


def _draw_interactive(
    groups: list[Group], view: View, axis_names: list[str], title: str, caption: str
) -> go.Figure:
    figure, hover = go.Figure(), "(%{x:.2f}, %{y:.2f})<extra></extra>"
    for group in groups:
        template = hover if group.name is None else f"label {group.name}<br>{hover}"
        options = {"hovertemplate": template, "legendgroup": group.name}
        figure.add_trace(to_trace(group, 4 * _marker_scale(groups), **options))
    figure.add_traces([_name_trace(*place, *median[1:]) for place, median in _places(groups, view)])
    figure.update_layout(
        template="plotly_white",
        title={"text": title, "subtitle": {"text": caption}},
        legend={"title": {"text": "label"}, "itemsizing": "constant"},
        xaxis={"title": {"text": axis_names[0]}, "range": view.x, "constrain": "domain"},
        yaxis={"title": {"text": axis_names[1]}, "range": view.y, "constrain": "domain", "scaleanchor": "x"},
    )
    named = groups[0].name is not None
    height = int(np.clip(180 + 600 * view.ratio, 460, 900))
    return figure.update_layout(width=800, height=height, dragmode="zoom", showlegend=named)


def _places(groups: list[Group], view: View) -> Iterator[tuple[Any, Any]]:
    """Return where names stand in a view, and the medians that they name."""
    return zip(name_places(groups, view), name_places(groups), strict=True)


def _name_trace(name: str, x: float, y: float, from_x: float, from_y: float) -> go.Scattergl:
    """Return a name, black on a larger white one, and a line from the median; it hides with its class."""
    font = {"color": [_LEADER, "white", "black"], "size": [1, 23, 17], "weight": "bold"}
    options: dict[str, Any] = {"legendgroup": name, "showlegend": False, "hoverinfo": "skip"}
    options |= {"line": {"color": _LEADER, "width": 1.5}, "mode": "lines+text", "textfont": font}
    # Points are drawn by WebGL, and lie above all other traces: so is this, or it would lie below them.
    return go.Scattergl(x=[from_x, x, x], y=[from_y, y, y], text=["", name, name], name=name, **options)


def _draw_static(groups: list[Group], view: View, axis_names: list[str], title: str, caption: str) -> Figure:
    figure = new_picture(figsize=(8, float(np.clip(1.1 + 6.6 * view.ratio, 4.2, 9))))
    ax = figure.add_subplot()
    draw_points(ax, groups, size=4 * _marker_scale(groups) ** 2)  # matplotlib counts area
    for (name, x, y), (_, *median) in _places(groups, view):
        ax.plot([x, median[0]], [y, median[1]], color=_LEADER, lw=1.2, zorder=3)
        ax.text(x, y, name, size=14, weight="bold", ha="center", va="center", path_effects=_STROKE)
    _write_title(ax, title, caption)
    _show_view(ax, view, axis_names)
    if groups[0].name is not None:
        draw_legend(ax, groups, loc="outside right upper", title="label", markerscale=3)
    number = sum(len(group.points) for group in groups)
    shown = f"{number:,} images as points" if number > 1 else "One image as a point"
    figure.alt = f"{shown}; {view.describe(*axis_names)}.{describe_places(groups)}"
    return figure


def _show_view(ax: Axes, view: View, axis_names: list[str]) -> None:
    """Show a part of the plane, both axes to one scale."""
    ax.set(xlim=view.x, ylim=view.y, xlabel=axis_names[0], ylabel=axis_names[1])
    ax.set_aspect("equal", adjustable="box")


def _write_title(ax: Axes, title: str, caption: str) -> None:
    ax.set_title(title, pad=24)
    ax.annotate(caption, (0.5, 1), (0, 7), "axes fraction", "offset points", ha="center", color="0.35")


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
        ax.annotate(
            f"prior, {radius} sigma",
            (0, radius),
            (0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            path_effects=_STROKE,
            zorder=5,  # ellipses would cover it
        )
    ax.set(xlim=(-1.08 * reach, 1.08 * reach), ylim=(-1.08 * reach, 1.08 * reach), aspect="equal")
    ax.set(xlabel="z_mean[0]", ylabel="z_mean[1]")
    ax.grid(alpha=0.25)


def _describe_sigma(groups: list[Group]) -> str:
    """Return in words how wide the Gaussians are, in the middle of all."""
    across, up = np.median(np.concatenate([group.points[:, 2:] for group in groups]), axis=0)
    return f"their median sigma is {write_number(across)} across and {write_number(up)} up"
