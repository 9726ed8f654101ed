"""The film of a training run: the latent plane and what it decodes to, epoch by epoch."""

import base64
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from PIL import Image
from plotly.subplots import make_subplots

from vae._checks import check_flag
from vae.callbacks import TrainingFilm
from vae.data import to_uint8
from vae.figures.labels import draw_legend, draw_points, group_points
from vae.figures.mosaic import to_mosaic, to_png
from vae.figures.shared import Picture, draw_picture, to_pictures

_MILLISECONDS = 400  # a frame
_STILLS = 4  # of the static twin
_SHADES = 32


def plot_training_film(
    film: TrainingFilm, *, static: bool = False, image_shape: tuple[int, ...] | None = None
) -> go.Figure | Figure:
    """Show what a `TrainingFilm` recorded: the latent plane beside the decoded grid, frame by frame.

    Args:
        film: A `TrainingFilm` that took part in a `fit`.
        static: Whether to return the matplotlib twin instead, of four frames.
        image_shape: (height, width) or (height, width, channels); None infers a square.

    Returns:
        A plotly `Figure` with a play button and a slider; a matplotlib `Figure` if `static`.

    Raises:
        ValueError: The film is empty, `image_shape` does not fit, or `static` is no bool.
        TypeError: `film` is no `TrainingFilm`.

    Example:
        >>> import vae
        >>> digits = vae.load_digits()
        >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
        >>> model.compile()
        >>> film = vae.TrainingFilm(digits.x_test, digits.y_test, n=5)
        >>> history = model.fit(digits.x_train, epochs=2, verbose=0, callbacks=[film])
        >>> len(vae.plot_training_film(film).frames)
        3
    """
    if not isinstance(film, TrainingFilm):
        raise TypeError(f"film must be a vae.TrainingFilm; got {type(film).__name__}.")
    if not film.epochs:
        raise ValueError("film must hold frames; pass it to fit(callbacks=[film]) first.")
    mosaics = [to_mosaic(to_pictures("film", grid, image_shape), film.n) for grid in film.grids]
    reach = 1.05 * max(film.limit, *(float(np.quantile(np.abs(z), 0.995)) for z in film.z_mean))
    return (_draw_stills if check_flag("static", static) else _draw_film)(film, mosaics, reach)


def _title(film: TrainingFilm, i: int) -> str:
    if film.losses[i] is None:
        return "before training"
    return f"epoch {film.epochs[i]}, loss {film.losses[i]:.2f}"


def _draw_film(film: TrainingFilm, mosaics: list[np.ndarray], reach: float) -> go.Figure:
    figure = make_subplots(1, 2, subplot_titles=["z_mean of each image", "decoded grid of points"])
    limit = film.limit
    figure.add_traces(_traces(film, 0))
    box = {"x0": -limit, "x1": limit, "y0": -limit, "y1": limit}
    figure.add_shape(type="rect", line={"color": "gray", "dash": "dot"}, row=1, col=1, **box)
    figure.add_layout_image(_image(mosaics[0], limit))
    figure.frames = [
        go.Frame(
            name=str(epoch),
            data=_traces(film, i),
            traces=list(range(len(figure.data))),
            layout={"images": [_image(mosaics[i], limit)], "title": {"text": _title(film, i)}},
        )
        for i, epoch in enumerate(film.epochs)
    ]
    figure.update_xaxes(range=[-reach, reach], title="z, dimension 1", row=1, col=1)
    figure.update_yaxes(
        range=[-reach, reach], title="z, dimension 2", scaleanchor="x", constrain="domain", row=1, col=1
    )
    figure.update_xaxes(range=[-limit, limit], title="z, dimension 1", row=1, col=2)
    figure.update_yaxes(
        range=[-limit, limit], title="z, dimension 2", scaleanchor="x2", constrain="domain", row=1, col=2
    )
    figure.update_yaxes(ticklabelstandoff=4)
    return figure.update_layout(
        template="plotly_white",
        title={"text": _title(film, 0)},
        width=1000,
        height=620,
        legend={"title": {"text": "label"}, "itemsizing": "constant"},
        updatemenus=[_buttons()],
        sliders=[_slider(film)],
    )


def _traces(film: TrainingFilm, i: int) -> list[go.Scattergl]:
    groups = group_points(film.z_mean[i], film.labels)
    return [
        go.Scattergl(
            x=points[:, 0],
            y=points[:, 1],
            name=name,
            mode="markers",
            showlegend=name is not None,
            marker={"color": color, "size": 5, "opacity": 0.6},
            xaxis="x",
            yaxis="y",
        )
        for name, color, points in groups
    ]


def _image(mosaic: np.ndarray, limit: float) -> dict[str, Any]:
    # Few shades are enough for a film, and a page holds many frames.
    picture = Image.fromarray(to_uint8(mosaic)).quantize(_SHADES, dither=Image.Dither.NONE)
    source = "data:image/png;base64," + base64.b64encode(to_png(picture)).decode("ascii")
    place = {"x": -limit, "y": limit, "sizex": 2 * limit, "sizey": 2 * limit}
    return {"source": source, "xref": "x2", "yref": "y2", "sizing": "stretch", "layer": "above", **place}


def _animation(frames: list[str] | None, milliseconds: int) -> list[Any]:
    how = {"frame": {"duration": milliseconds, "redraw": True}, "transition": {"duration": 0}}
    return [frames, {**how, "mode": "immediate", "fromcurrent": True}]


def _buttons() -> dict[str, Any]:
    buttons = [
        {"label": "Play", "method": "animate", "args": _animation(None, _MILLISECONDS)},
        {"label": "Pause", "method": "animate", "args": _animation([None], 0)},  # type: ignore[list-item]
    ]
    place = {"x": 0, "y": -0.16, "xanchor": "left", "yanchor": "top"}
    return {"type": "buttons", "direction": "left", "buttons": buttons, "showactive": False, **place}


def _slider(film: TrainingFilm) -> dict[str, Any]:
    steps = [
        {"label": str(epoch), "method": "animate", "args": _animation([str(epoch)], 0)}
        for epoch in film.epochs
    ]
    place = {"x": 0.16, "y": -0.12, "len": 0.84}
    return {"steps": steps, "currentvalue": {"prefix": "epoch "}, "pad": {"t": 8}, **place}


def _draw_stills(film: TrainingFilm, mosaics: list[np.ndarray], reach: float) -> Figure:
    chosen = np.unique(np.linspace(0, len(mosaics) - 1, _STILLS).round().astype(int))
    figure = Picture(figsize=(3 * len(chosen), 6.4))
    axes = figure.subplots(2, len(chosen), squeeze=False)
    for column, i in enumerate(chosen):
        above, below = axes[:, column]
        groups = group_points(film.z_mean[i], film.labels)
        draw_points(above, groups, size=4)
        above.set(title=_title(film, i), xlim=(-reach, reach), ylim=(-reach, reach))
        above.set_aspect("equal", adjustable="box")
        draw_picture(below, mosaics[i], extent=(-film.limit, film.limit) * 2, aspect="equal")
        for ax in (above, below):
            ax.set_xlabel("z, dimension 1")
            if column == 0:
                ax.set_ylabel("z, dimension 2")
    if film.labels is not None:
        draw_legend(above, groups, loc="outside lower center", ncols=10, markerscale=3)
    return figure
