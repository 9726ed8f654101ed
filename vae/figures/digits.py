"""Pictures of new digits: of one point of the latent space, and of a grid of points."""

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vae._checks import (
    Points,
    as_array,
    as_float,
    check_choice,
    check_points,
    check_positive_int,
)
from vae._keras import keras
from vae.figures.picture import new_picture
from vae.figures.rows import draw_cells
from vae.figures.shared import Shape, clip_pictures, draw_picture, to_mosaic
from vae.training.image_model import ImageModel

_MOST_TICKS = 10


def plot_digit(model: keras.Model, z: Points, *, image_shape: Shape = None) -> Figure:
    """Decode one point of the latent space and draw the image under its coordinates.

    Args:
        model: A `VAE`, an `Autoencoder`, or a Keras decoder.
        z: The point, shape (latent_dim,) or (1, latent_dim).
        image_shape: (height, width) or (height, width, channels); None infers a square.

    Returns:
        A matplotlib `Figure` with one axes.

    Raises:
        TypeError: `model` is no VAE, autoencoder or decoder.
        ValueError: `z` is not one finite point of the model's latent size, or `image_shape` does not fit.

    Example:
        >>> import vae
        >>> vae.plot_digit(vae.build_decoder(), [0.5, -1.2]).axes[0].get_title()
        'z = (0.50, -1.20)'
    """
    decode, latent_dim = _decoder(model)
    point = check_points("z", np.atleast_2d(as_array("z", z)), latent_dim)
    if len(point) != 1:
        raise ValueError(f"z must be one point, shape (latent_dim,) or (1, latent_dim); got {point.shape}.")
    shown = [_two_decimals(value) for value in point[0, :4]] + ["..."] * (latent_dim > 4)
    picture = clip_pictures("decoded images", decode(point), image_shape)
    title = f"z = ({', '.join(shown)})"
    figure = draw_cells(picture, 1, [title], inches=3)
    figure.alt = f"One image, decoded from {title}."
    return figure


def plot_digit_grid(
    model: keras.Model,
    n: int = 30,
    *,
    spacing: Literal["even", "quantiles"] = "even",
    limits: tuple[float, float] = (-2.5, 2.5),
    axes: tuple[int, int] = (0, 1),
    image_shape: Shape = None,
) -> Figure:
    """Decode an n x n grid over two latent dimensions and draw the new images as one mosaic.

    Kingma & Welling 2014 (arXiv 1312.6114), figure 4. Each image stands with its centre at the z that
    was decoded; z grows to the right and upwards. All images come from one decode call.

    Args:
        model: A `VAE`, an `Autoencoder`, or a Keras decoder, of at least 2 latent dimensions.
        n: Images along each side.
        spacing: "even" steps between the `limits`; or "quantiles" of the prior N(0, 1), from 5 % to
            95 %, so that every image stands for an equal share of the prior.
        limits: Lowest and highest coordinate of even spacing.
        axes: The two latent dimensions that vary, counted from 0. All others are 0.
        image_shape: (height, width) or (height, width, channels); None infers a square.

    Returns:
        A matplotlib `Figure` with one axes that holds one image.

    Raises:
        TypeError: `model` is no VAE, autoencoder or decoder.
        ValueError: A latent space of 1 dimension, or another argument that is not as described.

    Example:
        >>> import vae
        >>> vae.plot_digit_grid(vae.build_decoder(), n=5).axes[0].images[0].get_array().shape
        (140, 140)
    """
    n, (decode, latent_dim) = check_positive_int("n", n), _decoder(model)
    if latent_dim < 2:
        raise ValueError(f"model must have at least 2 latent dimensions for a grid; got {latent_dim}.")
    pair, coordinates = _pair(axes), _coordinates(n, spacing, limits)
    if len(set(pair) & set(range(latent_dim))) < 2:
        raise ValueError(f"axes must be two different dimensions from 0 to {latent_dim - 1}; got {axes!r}.")
    across, up = map(int, pair)
    z = np.zeros((n, n, latent_dim), np.float32)
    z[:, :, across] = coordinates
    z[:, :, up] = coordinates[::-1, None]  # the first row of an image is the top one
    pictures = clip_pictures("decoded images", decode(z.reshape(n * n, latent_dim)), image_shape)
    mosaic, (height, width) = to_mosaic(pictures, n), pictures.shape[1:3]
    # With fewer dots than pixels, pixels would be dropped: large mosaics get more dots.
    figure = new_picture(figsize=(8, 8), dpi=max(100, n * max(height, width) / 7))
    ax = figure.add_subplot()
    draw_picture(ax, mosaic, extent=(-0.5, n - 0.5, -0.5, n - 0.5), aspect=height / width)
    ticks, names = _ticks(coordinates, spacing)
    ax.set_xticks(ticks, names)
    ax.set_yticks(ticks, names)
    rest = f"; the other {latent_dim - 2} are 0" if latent_dim > 2 else ""
    ax.set(xlabel=f"z[{across}]{rest}", ylabel=f"z[{up}]")
    steps = "even steps" if spacing == "even" else "quantiles of the prior N(0, 1)"
    ax.set_title(f"{n} x {n} new images, decoded at {steps}")
    ends = f"from {_short(coordinates[0])} to {_short(coordinates[-1])} across, in {steps}"
    figure.alt = f"A grid of {n} x {n} decoded images; z[{across}] {ends}, z[{up}] likewise up{rest}."
    return figure


def _decoder(model: Any) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """Return what decodes latent points, and how many dimensions these have."""
    if isinstance(model, ImageModel):
        return model.decode, model.decoder.input_shape[-1]
    if isinstance(model, keras.Model) and getattr(model, "inputs", None):  # else it is not built yet
        shapes = [tuple(tensor.shape) for tensor in model.inputs]
        if len(shapes) == len(model.outputs) == 1 and len(shapes[0]) == 2:  # a VAE's encoder has 3 outputs
            return lambda z: model.predict(z, verbose=0), shapes[0][1]
    raise TypeError(
        f"model must be a vae.VAE, a vae.Autoencoder or a built Keras decoder; got {type(model).__name__}."
    )


def _pair(values: Any) -> list[float]:
    """Return two numbers; NaN where there are not two."""
    pair = [as_float(value) for value in values] if np.iterable(values) else []
    return pair if len(pair) == 2 else [np.nan, np.nan]


def _coordinates(n: int, spacing: str, limits: Any) -> np.ndarray:
    """Return the latent coordinates of `n` cells."""
    check_choice("spacing", spacing, ("even", "quantiles"))
    low, high = _pair(limits)
    if not -np.inf < low < high < np.inf:
        raise ValueError(f"limits must be two finite numbers, the lower one first; got {limits!r}.")
    low, high = (low, high) if spacing == "even" else (0.05, 0.95)
    values = np.linspace(low, high, n) if n > 1 else [(low + high) / 2]
    return np.array(values if spacing == "even" else [NormalDist().inv_cdf(value) for value in values])


def _ticks(coordinates: np.ndarray, spacing: str) -> tuple[Sequence[float], list[str]]:
    """Return where ticks go, in cells from the first one's centre, and the latent coordinates there."""
    n = len(coordinates)
    if spacing == "even" and n > 1:  # round coordinates, wherever they fall
        round_values = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(coordinates[0], coordinates[-1])
        inside = [value for value in round_values if coordinates[0] <= value <= coordinates[-1]]
        return np.interp(inside, coordinates, np.arange(n)).tolist(), [f"{value:g}" for value in inside]
    step = -(-n // _MOST_TICKS)
    cells = range((n - 1) % step // 2, n, step)  # as far from the first cell as from the last
    return cells, [_two_decimals(coordinates[cell]) for cell in cells]


def _short(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:g}"


def _two_decimals(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:.2f}"  # + 0.0 turns -0.00 into 0.00
