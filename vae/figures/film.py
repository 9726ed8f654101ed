"""The film of a training run: the latent plane and what it decodes to, epoch by epoch."""

import io
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
from vae.figures.classes import Group, draw_legend, draw_points, group_points, to_trace
from vae.figures.picture import new_picture
from vae.figures.shared import draw_picture, to_base64, to_mosaic, to_pictures

_TITLE = "The latent plane in training"
_MILLISECONDS = 400  # a frame
_STILLS = (0, 1, 3)  # epochs that the static twin shows, and the last: most happens early
_WIDTH, _HEIGHT = 800, 560  # pixels, of a notebook's cell
_QUALITY = 50  # of the grids' pictures, enough for a film, of which a page holds many frames


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
        static: Whether to return the matplotlib twin instead, of four frames: those nearest to the epochs
            0, 1 and 3, and the last.
        image_shape: (height, width) or (height, width, channels); None infers a square.

    Returns:
        A plotly `Figure` with a play button and a slider, which waits until it is played; a matplotlib
        `Figure` if `static`.

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


def _state(film: TrainingFilm, i: int) -> str:
    loss = film.losses[i]
    return "before training" if loss is None else f"epoch {film.epochs[i]}, loss {loss:.2f}"


def _title(film: TrainingFilm, i: int) -> dict[str, Any]:
    return {"text": _TITLE, "subtitle": {"text": _state(film, i)}}


def _draw_film(
    film: TrainingFilm, groups: list[list[Group]], mosaics: list[np.ndarray], reach: float
) -> go.Figure:
    figure, named = make_subplots(1, 2, horizontal_spacing=0.12), groups[0][0].name is not None
    figure.add_traces([to_trace(group, 5, showlegend=named, xaxis="x", yaxis="y") for group in groups[0]])
    limit = film.limit
    box = {"x0": -limit, "x1": limit, "y0": -limit, "y1": limit}
    figure.add_shape(type="rect", line={"color": "gray", "dash": "dot"}, row=1, col=1, **box)
    images = [_image(mosaic, limit) for mosaic in mosaics]
    figure.add_layout_image(images[0])
    figure.frames = [
        go.Frame(
            name=str(i),  # an epoch's number comes again where training was started again
            data=[_moved(group) for group in groups[i]],
            traces=list(range(len(groups[i]))),
            layout={"images": [images[i]], "title": _title(film, i)},
        )
        for i in range(len(images))
    ]
    panels = ((1, reach, "x", "y", "z_mean of each image"), (2, limit, "x2", "y2", "decoded grid of points"))
    for column, end, x, y, name in panels:
        ends = {"range": [-end, end], "row": 1, "col": column, "constrain": "domain"}
        figure.update_xaxes(**ends, title={"text": "z[0]", "standoff": 4})
        figure.update_yaxes(**ends, title={"text": "z[1]", "standoff": 4}, scaleanchor=x)
        place = {"x": 0.5, "y": 1, "xref": f"{x} domain", "yref": f"{y} domain", "yanchor": "bottom"}
        figure.add_annotation(text=name, showarrow=False, font={"size": 14}, **place)
    figure.update_yaxes(ticklabelstandoff=4)
    return figure.update_layout(template="plotly_white", title=_title(film, 0), **_outside(film))


def _moved(group: Group) -> go.Scattergl:
    """Return where a frame has the points of a label; all else stays as it is."""
    return go.Scattergl(x=group.points[:, 0], y=group.points[:, 1])


def _image(mosaic: np.ndarray, limit: float) -> dict[str, Any]:
    packed = io.BytesIO()
    Image.fromarray(to_uint8(mosaic)).save(packed, "webp", quality=_QUALITY, method=6)
    source = f"data:image/webp;base64,{to_base64(packed.getvalue())}"
    place = {"x": -limit, "y": limit, "sizex": 2 * limit, "sizey": 2 * limit}
    return {"source": source, "xref": "x2", "yref": "y2", "sizing": "stretch", "layer": "above", **place}


def _outside(film: TrainingFilm) -> dict[str, Any]:
    """Return what stands around the two planes, and how all is placed in a narrow window."""
    # Padded in pixels from the axes, so that nothing overlaps in a window of another height.
    buttons = [_button("Play", None, _MILLISECONDS), _button("Pause", [None])]
    menu = {"type": "buttons", "direction": "left", "buttons": buttons, "showactive": False}
    menu |= {"x": 0, "y": 0, "xanchor": "left", "yanchor": "top", "pad": {"t": 62}}
    steps = [_button(str(epoch), [str(i)]) for i, epoch in enumerate(film.epochs)]
    slider = {
        "steps": steps,
        "pad": {"t": 46},
        "currentvalue": {"prefix": "epoch "},
        "x": 0.2,
        "y": 0,
        "len": 0.8,
    }
    legend = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "itemsizing": "constant"}
    narrow = {
        "xaxis.domain": [0, 1],
        "xaxis2.domain": [0, 1],
        "yaxis.domain": [0.57, 1],
        "yaxis2.domain": [0, 0.43],
    }
    narrow |= {"sliders[0].x": 0, "sliders[0].len": 1, "sliders[0].pad.t": 100, "margin.t": 110}
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "updatemenus": [menu],
        "sliders": [slider],
        "legend": legend,
        "meta": {"narrow": narrow},
        "margin": {"l": 60, "r": 20, "t": 90},
    }


def _button(label: str, frames: list[Any] | None, milliseconds: int = 0) -> dict[str, Any]:
    """Return what plays frames when it is pressed; None plays all of them, and [None] stops."""
    how: dict[str, Any] = {"frame": {"duration": milliseconds, "redraw": True}, "transition": {"duration": 0}}
    how |= {"mode": "immediate", "fromcurrent": True}
    return {"label": label, "method": "animate", "args": [frames, how]}


def _choose(epochs: list[int]) -> list[int]:
    """Return which frames the static twin shows: the last, and of the others those nearest to `_STILLS`."""
    rest = list(range(len(epochs)))
    chosen = [rest.pop()]
    for epoch in _STILLS:
        if rest:
            nearest = min(rest, key=lambda i: abs(epochs[i] - epoch))
            rest.remove(nearest)
            chosen.append(nearest)
    return sorted(chosen)


def _draw_stills(
    film: TrainingFilm, groups: list[list[Group]], mosaics: list[np.ndarray], reach: float
) -> Figure:
    chosen = _choose(film.epochs)
    figure = new_picture(figsize=(_WIDTH / 100, _HEIGHT / 100), layout="compressed")  # no gap between rows
    figure.suptitle(_TITLE, size=12)
    states = "; ".join(_state(film, i) for i in chosen)
    figure.alt = (
        f"The latent plane of {len(film.x):,} images and the decoded grid of {film.n} by {film.n} points "
        f"below it, as they change in training. Stills from left to right: {states}."
    )
    columns = figure.subplots(2, len(chosen), squeeze=False).T
    for i, (above, below) in zip(chosen, columns, strict=True):
        draw_points(above, groups[i], size=3)
        above.set(xlim=(-reach, reach), ylim=(-reach, reach))
        above.set_title(_state(film, i), size=9)
        above.set_aspect("equal", adjustable="box")
        draw_picture(below, mosaics[i], extent=(-film.limit, film.limit) * 2, aspect="equal")
        for ax in (above, below):
            ax.set_xlabel("z[0]", size=9)
            ax.set_ylabel("z[1]" if i == chosen[0] else "", size=9)
            ax.tick_params(labelsize=8)
    if film.labels is not None:
        draw_legend(above, groups[-1], loc="outside lower center", ncols=10, markerscale=3)
    return figure
