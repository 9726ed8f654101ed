"""An interactive figure in a notebook, with a picture of it for where no JavaScript runs."""

import inspect
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import plotly.graph_objects as go
from matplotlib.figure import Figure
from PIL import Image
from plotly.offline import get_plotlyjs

from vae._checks import check_path
from vae.figures.picture import kept_from_pyplot
from vae.figures.shared import to_base64, to_png
from vae.files.atomic import write_whole

_DPI = 110
_CONFIG = {"displaylogo": False, "showSendToCloud": False}  # plotly 7 has an upload button otherwise
_SCRIPT = "plotly.min.js"  # the name in pages written with include_plotlyjs="directory"


def show(
    plot: Callable[..., Any], *args: Any, html: str | os.PathLike[str] | None = None, **kwargs: Any
) -> None:
    """Display an interactive figure together with its static twin, as one output of the cell.

    Jupyter shows the first kind that it can: the interactive figure, or, where no JavaScript runs
    (GitHub, nbconvert), the PNG. Nothing comes from the network. Outside IPython one line of text
    is printed instead.

    Args:
        plot: A function with a parameter `static`, such as `plot_latent_space`.
        *args: Positional arguments of `plot`.
        html: A file to write the interactive figure to as well, beside one copy of plotly.js
            (4.5 MB) that all such files share. A link to it is displayed as a second output.
        **kwargs: Keyword arguments of `plot`.

    Raises:
        ImportError: IPython is not installed.
        ValueError: `html` names no file.
        TypeError: `html` is no path; `plot` takes no `static`, or does not return the two kinds of figure.

    Example:
        >>> import vae
        >>> vae.show(vae.plot_latent_space, [[0.0, 1.0], [2.0, 3.0]], labels=[7, 1])
        Interactive figure: Latent space of 2 images
    """
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError as error:
        raise ImportError('vae.show needs IPython: pip install "vae[notebook]".') from error
    if html is not None and not Path(check_path("html", html)).name:
        raise ValueError(f"html must be a file; got {html!r}.")
    figure, twin = _draw_both(plot, args, kwargs)
    outputs = [_bundle(figure, twin)]
    if html is not None:
        _write_page(figure, Path(html))
        link = f"[Open the interactive figure]({quote(Path(html).as_posix())})"
        outputs.append({"text/markdown": link, "text/plain": f"Interactive figure in {html}"})
    for output in outputs:
        if get_ipython() is None:  # here, display would print all of it
            print(output["text/plain"])
        else:
            display(output, raw=True)


def _draw_both(plot: Callable[..., Any], args: Any, kwargs: Any) -> tuple[go.Figure, Figure]:
    name = getattr(plot, "__name__", repr(plot))
    try:
        takes_static = "static" in inspect.signature(plot).parameters
    except (TypeError, ValueError):  # not callable; some of Python's own functions do not tell
        takes_static = False
    if not takes_static:
        raise TypeError(f"plot must be a function with a parameter static; got {name}.")
    figure = plot(*args, **kwargs)
    with kept_from_pyplot():  # or a notebook would show the twin, too
        twin = plot(*args, static=True, **kwargs)
    if not isinstance(figure, go.Figure) or not isinstance(twin, Figure):
        raise TypeError(
            f"plot must return a plotly figure, and a matplotlib figure with static=True; "
            f"{name} returned {type(figure).__name__} and {type(twin).__name__}."
        )
    return figure, twin


def _bundle(figure: go.Figure, twin: Figure) -> dict[str, Any]:
    """Return one output in three kinds. None is HTML, which would win over the PNG and go blank."""
    drawn = io.BytesIO()
    twin.savefig(drawn, format="png", dpi=_DPI)
    # 256 colours look the same, in a third of the bytes, and a notebook holds many figures.
    picture = Image.open(drawn).convert("RGB").quantize(dither=Image.Dither.NONE)
    return {
        "application/vnd.plotly.v1+json": {**json.loads(figure.to_json()), "config": _CONFIG},
        "image/png": to_base64(to_png(picture)),
        "text/plain": f"Interactive figure: {figure.layout.title.text or 'untitled'}",
    }


def _write_page(figure: go.Figure, path: Path) -> None:
    config = {**_CONFIG, "scrollZoom": True}  # in a notebook, scrolling should scroll
    page = figure.to_html(include_plotlyjs="directory", config=config, div_id="figure")
    script, source = path.with_name(_SCRIPT), get_plotlyjs().encode()
    if not script.exists() or script.read_bytes() != source:  # plotly would keep one of another version
        write_whole(script, source)
    write_whole(path, page.encode())
