"""The film of a training run: the latent plane and what it decodes to, epoch by epoch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from PIL import Image
from plotly.subplots import make_subplots

from vae._checks import check_flag, check_instance
from vae.callbacks import TrainingFilm
from vae.data import to_uint8
from vae.figures.latent import Group, draw_legend, draw_points, group_points, to_trace
from vae.figures.picture import new_picture
from vae.figures.shared import draw_picture, to_base64, to_mosaic, to_pictures, to_png

_MILLISECONDS = 400  # a frame
_STILLS = 4  # of the static twin
_SHADES = 32  # enough for a film, of which a page holds many frames


def plot_training_film(
    film: TrainingFilm,
    *,
    class_names: Sequence[str] | None = None,
    static: bool = False,
    image_shape: tuple[int, ...] | None = None,
) -> go.Figure | Figure:
    """Show what a `TrainingFilm` recorded: the latent plane beside the decoded grid, frame by frame.

    Args:
        film: A `TrainingFilm` that took part in a `fit`.
        class_names: As in `plot_latent_space`.
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
    check_instance("film", film, TrainingFilm)
    if not film.epochs:
        raise ValueError("film must hold frames; pass it to fit(callbacks=[film]) first.")
    mosaics = [to_mosaic(to_pictures("film", grid, image_shape), film.n) for grid in film.grids]
    reach = 1.05 * max(film.limit, *(float(np.quantile(np.abs(z), 0.995)) for z in film.z_mean))
    groups = [group_points(points, film.labels, class_names) for points in film.z_mean]
    return (_draw_stills if check_flag("static", static) else _draw_film)(film, groups, mosaics, reach)


def _title(film: TrainingFilm, i: int) -> str:
    loss = film.losses[i]
    return "before training" if loss is None else f"epoch {film.epochs[i]}, loss {loss:.2f}"


def _draw_film(
    film: TrainingFilm, groups: list[list[Group]], mosaics: list[np.ndarray], reach: float
) -> go.Figure:
    figure = make_subplots(1, 2, subplot_titles=["z_mean of each image", "decoded grid of points"])
    figure.add_traces(_traces(groups[0]))
    limit = film.limit
    box = {"x0": -limit, "x1": limit, "y0": -limit, "y1": limit}
    figure.add_shape(type="rect", line={"color": "gray", "dash": "dot"}, row=1, col=1, **box)
    images = [_image(mosaic, limit) for mosaic in mosaics]
    figure.add_layout_image(images[0])
    figure.frames = [
        go.Frame(
            name=str(epoch),
            data=_traces(groups[i]),
            traces=list(range(len(figure.data))),
            layout={"images": [images[i]], "title": {"text": _title(film, i)}},
        )
        for i, epoch in enumerate(film.epochs)
    ]
    for column, end, anchor in ((1, reach, "x"), (2, limit, "x2")):
        ends = {"range": [-end, end], "row": 1, "col": column}
        figure.update_xaxes(**ends, title="z, dimension 1")
        figure.update_yaxes(**ends, title="z, dimension 2", scaleanchor=anchor, constrain="domain")
    figure.update_yaxes(ticklabelstandoff=4)
    legend = {"title": {"text": "label"}, "itemsizing": "constant"}
    figure.update_layout(template="plotly_white", title={"text": _title(film, 0)}, legend=legend)
    return figure.update_layout(width=1000, height=620, **_controls(film))


def _traces(groups: list[Group]) -> list[go.Scattergl]:
    return [to_trace(group, 5, showlegend=group.name is not None, xaxis="x", yaxis="y") for group in groups]


def _image(mosaic: np.ndarray, limit: float) -> dict[str, Any]:
    picture = Image.fromarray(to_uint8(mosaic)).quantize(_SHADES, dither=Image.Dither.NONE)
    source = f"data:image/png;base64,{to_base64(to_png(picture))}"
    place = {"x": -limit, "y": limit, "sizex": 2 * limit, "sizey": 2 * limit}
    return {"source": source, "xref": "x2", "yref": "y2", "sizing": "stretch", "layer": "above", **place}


def _controls(film: TrainingFilm) -> dict[str, Any]:
    """Return the buttons that play the film and stop it, and the slider beside them."""
    buttons = [_button("Play", None, _MILLISECONDS), _button("Pause", [None])]
    menu = {"type": "buttons", "direction": "left", "buttons": buttons, "showactive": False}
    menu_place = {"x": 0, "y": -0.16, "xanchor": "left", "yanchor": "top"}
    slider = {"steps": [_button(str(epoch), [str(epoch)]) for epoch in film.epochs], "pad": {"t": 8}}
    slider_place = {"x": 0.16, "y": -0.12, "len": 0.84, "currentvalue": {"prefix": "epoch "}}
    return {"updatemenus": [{**menu, **menu_place}], "sliders": [{**slider, **slider_place}]}


def _button(label: str, frames: list[Any] | None, milliseconds: int = 0) -> dict[str, Any]:
    """Return what plays frames when it is pressed; None plays all of them, and [None] stops."""
    how: dict[str, Any] = {"frame": {"duration": milliseconds, "redraw": True}, "transition": {"duration": 0}}
    how |= {"mode": "immediate", "fromcurrent": True}
    return {"label": label, "method": "animate", "args": [frames, how]}


def _draw_stills(
    film: TrainingFilm, groups: list[list[Group]], mosaics: list[np.ndarray], reach: float
) -> Figure:
    chosen = np.unique(np.linspace(0, len(mosaics) - 1, _STILLS).round().astype(int))
    figure = new_picture(figsize=(3 * len(chosen), 6.4))
    columns = figure.subplots(2, len(chosen), squeeze=False).T
    for i, (above, below) in zip(chosen, columns, strict=True):
        draw_points(above, groups[i], size=4)
        above.set(title=_title(film, i), xlim=(-reach, reach), ylim=(-reach, reach))
        above.set_aspect("equal", adjustable="box")
        draw_picture(below, mosaics[i], extent=(-film.limit, film.limit) * 2, aspect="equal")
        for ax in (above, below):
            ax.set(xlabel="z, dimension 1", ylabel="z, dimension 2" if i == 0 else "")
    if film.labels is not None:
        draw_legend(above, groups[-1], loc="outside lower center", ncols=10, markerscale=3)
    return figure
