"""Pictures of the latent space: where the encoder puts images, and how wide it spreads each."""

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from sklearn.decomposition import PCA

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
from vae.figures.labels import Group, draw_legend, draw_points, group_points, name_places
from vae.figures.shared import Picture, check_plane
from vae.model import VAE, Autoencoder

_SHADOW = ", ".join(f"{x}px {y}px 1px white" for x in (-1, 0, 1) for y in (-1, 0, 1))
_STROKE = [withStroke(linewidth=3, foreground="white")]


def plot_latent_space(
    z_mean: Points,
    labels: Labels | None = None,
    *,
    static: bool = False,
    title: str | None = None,
    name: str = "z_mean",
) -> go.Figure | Figure:
    """Draw images as points in the latent space, coloured by label.

    More than two latent dimensions are projected on their first two principal components.

    Args:
        z_mean: The means that `VAE.encode` gives, shape (images, latent_dim), latent_dim at least 2.
        labels: One label an image, shape (images,), numbers or strings; None draws one colour.
        static: Whether to return the matplotlib twin instead, of the same numbers.
        title: Of the figure; None says how many images it shows.
        name: What the points are, for axes and caption; "code" for those of an `Autoencoder`.

    Returns:
        An interactive plotly `Figure` with one trace a label; a matplotlib `Figure` if `static`.

    Raises:
        ValueError: `z_mean` is empty, not finite, or has fewer than 2 latent dimensions; `labels`
            are not one an image; of more than 2 dimensions, all points are equal; or `static`, `title`
            or `name` of a wrong type.
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
    return draw(group_points(points, labels), axis_names, title, caption)


def plot_latent_intuition(
    autoencoder: Autoencoder, model: VAE, images: Images, labels: Labels, *, n: int = 400
) -> Figure:
    """Draw the same images in two latent spaces: as points (autoencoder), as Gaussians (VAE).

    Each ellipse has its centre at z_mean and reaches one sigma = exp(z_log_sigma) along each axis.
    Dashed circles are the prior N(0, I), to which the KL divergence draws the Gaussians; an
    autoencoder has no prior, and puts its codes wherever they serve.

    Args:
        autoencoder: A trained `Autoencoder`, latent_dim 2.
        model: A trained `VAE`, latent_dim 2.
        images: Shape (images, pixels), (images, height, width) or (images, height, width,
            channels); uint8, or floats in [0, 1].
        labels: One label an image, shape (images,).
        n: How many to draw, spread evenly over all that are given.

    Returns:
        A matplotlib `Figure` with two axes.

    Raises:
        TypeError: `autoencoder` is no autoencoder, `model` no VAE, or images of a type other than
            uint8 or float.
        ValueError: A latent space that is not 2-D, one that a model that diverged has filled with NaN,
            or images or labels of a wrong shape or range.

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
    check_plane("autoencoder", autoencoder, array)
    check_plane("model", model, array)
    codes = check_points("what autoencoder encodes", autoencoder.encode(array))
    z_mean, z_log_sigma = (check_points("what model encodes", part) for part in model.encode(array))

    figure = Picture(figsize=(12, 6.4))
    left, right = figure.subplots(1, 2)
    groups = group_points(codes, names)
    draw_points(left, groups, size=12)
    _draw_gaussians(right, group_points(np.hstack([z_mean, np.exp(z_log_sigma)]), names))
    left.set(
        title="Autoencoder: a point for each image", xlabel="code, dimension 1", ylabel="code, dimension 2"
    )
    right.set(title="VAE: a Gaussian for each image", xlabel="z, dimension 1", ylabel="z, dimension 2")
    draw_legend(left, groups, loc="outside lower center", ncols=10, markerscale=2)
    return figure


def _two_dimensions(points: np.ndarray, name: str) -> tuple[np.ndarray, list[str]]:
    """Return the points in two dimensions, and what the two are called."""
    latent_dim = points.shape[1]
    if latent_dim == 2:
        return points, [f"{name}, dimension 1", f"{name}, dimension 2"]
    if (points == points[0]).all():
        raise ValueError(f"z_mean must hold points that differ; got {len(points)} equal ones.")
    pca = PCA(n_components=2, svd_solver="full")  # exact, with signs that do not depend on chance
    largest = np.finfo(np.float32).max
    projected = pca.fit_transform(points.astype(np.float64)).clip(-largest, largest)
    return projected.astype(np.float32), [
        f"principal component {i} of {latent_dim} latent dimensions ({100 * share:.0f} % of the variance)"
        for i, share in enumerate(pca.explained_variance_ratio_, start=1)
    ]


def _draw_interactive(groups: list[Group], axis_names: list[str], title: str, caption: str) -> go.Figure:
    figure, scale = go.Figure(), _marker_scale(groups)
    for name, color, points in groups:
        hover = "(%{x:.2f}, %{y:.2f})<extra></extra>"
        figure.add_scattergl(  # plotly writes float32 arrays as base64: 11 characters a point
            x=points[:, 0],
            y=points[:, 1],
            name=name,
            mode="markers",
            marker={"color": color, "size": 4 * scale, "opacity": 0.6},
            hovertemplate=hover if name is None else f"label {name}<br>{hover}",
        )
    for name, x, y in name_places(groups):
        font = {"size": 18, "weight": 700, "color": "black", "shadow": _SHADOW}
        figure.add_annotation(x=x, y=y, text=name, showarrow=False, font=font)
    return figure.update_layout(
        template="plotly_white",
        title={"text": title, "subtitle": {"text": caption}},
        width=800,
        height=700,
        dragmode="zoom",
        showlegend=groups[0].name is not None,
        legend={"title": {"text": "label"}, "itemsizing": "constant"},
        xaxis={"title": {"text": axis_names[0]}},
        yaxis={"title": {"text": axis_names[1]}, "scaleanchor": "x"},
    )


def _draw_static(groups: list[Group], axis_names: list[str], title: str, caption: str) -> Figure:
    figure = Picture(figsize=(8, 7))
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
        mean, (width, height) = rows[:, :2], 2 * rows[:, 2:].T
        ellipses = EllipseCollection(
            width, height, np.zeros(len(rows)), units="xy", offsets=mean, offset_transform=ax.transData
        )
        ellipses.set(facecolor=(color, 0.3), edgecolor=(color, 0.8), linewidth=0.6)
        ax.add_collection(ellipses)
        reach = max(reach, float((np.abs(mean) + rows[:, 2:]).max()))
    for radius in (1, 2):
        ax.add_patch(Circle((0, 0), radius, fill=False, linestyle="--", edgecolor="0.2"))
        ax.text(0, radius, f"prior, {radius} sigma", ha="center", va="center", path_effects=_STROKE)
    ax.set(xlim=(-1.08 * reach, 1.08 * reach), ylim=(-1.08 * reach, 1.08 * reach), aspect="equal")
    ax.grid(alpha=0.25)
