"""An interactive figure in a notebook, with a picture of it for where no JavaScript runs."""

import inspect
import io
import json
import os
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import plotly.graph_objects as go
from matplotlib.figure import Figure
from PIL import Image
from plotly.io import templates
from plotly.offline import get_plotlyjs

from vae._checks import check_path
from vae.figures.picture import kept_from_pyplot, png_bundle
from vae.figures.shared import to_png
from vae.files.atomic import write_whole

_CONFIG = {"displaylogo": False, "showSendToCloud": False}  # plotly 7 has an upload button otherwise
# What changes in a narrow window, by plotly's names; `meta["narrow"]` of a figure or a trace adds to it.
_NARROW = {
    "margin.l": 45,
    "margin.r": 12,
    "legend.orientation": "h",
    "legend.title.side": "top",
    "legend.xref": "container",
    "legend.x": 0.02,
    "legend.xanchor": "left",
    "legend.yref": "container",
    "legend.y": 0,
    "legend.yanchor": "bottom",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' \
'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
html, body {{ margin: 0; height: 100%; overflow: hidden; background: {paper}; }}
#figure {{ width: 100vw; height: 100vh; height: 100dvh; }}
@media (prefers-color-scheme: dark) {{ html, body {{ background: {dark_paper}; color: {dark_ink}; }} }}
</style>
</head>
<body>
<main id="figure" role="figure" aria-label="{alt}"></main>
<noscript>This figure needs JavaScript. It loads nothing from the network.</noscript>
<script>{plotly}</script>
<script type="application/json" id="content">{content}</script>
<script>{script}</script>
</body>
</html>
"""
# The look goes into the figure before plotly draws, and again when the window or the reader's theme changes.
_LOOK = r"""
"use strict";
(async () => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const { data, layout, frames, config, dark, narrow } = content;
  const isDark = matchMedia("(prefers-color-scheme: dark)"), isNarrow = matchMedia("(max-width: 640px)");
  const parts = (path) => path.match(/[^.[\]]+/g);
  const get = (from, path) => parts(path).reduce((at, key) => at?.[key], from);
  const put = (into, path, value) => {
    const keys = parts(path), last = keys.pop();
    keys.reduce((at, key) => (at[key] ??= {}), into)[last] = value;
  };
  const choose = (from, changes) => Object.fromEntries(Object.entries(changes || {}).map(
    ([path, value]) => [path, isNarrow.matches ? value : get(from, path) ?? null]));
  const flip = (color) => !isDark.matches ? color
    : ({ white: dark.paper, "#FFFFFF": dark.paper, black: dark.ink })[color] ?? color;
  const wrap = (text, letters) => {
    const lines = [""];
    for (const word of text.split(" ")) {
      if (lines.at(-1).length + word.length > letters) lines.push("");
      lines.push(lines.pop() + word + " ");
    }
    return lines.join("<br>");
  };
  const styled = (from, look) => {
    const to = structuredClone(from);
    for (const [path, value] of Object.entries(look)) put(to, path, value);
    return to;
  };

  function ofLayout() {
    const look = { ...choose(layout, { ...narrow, ...layout.meta?.narrow }) };
    look.template = isDark.matches ? dark.template : layout.template;
    for (const [path, size] of [["title.text", 10], ["title.subtitle.text", 7]]) {
      const text = get(layout, path); // plotly would cut it off
      if (text?.length > 320 / size) look[path] = isNarrow.matches ? wrap(text, innerWidth / size) : text;
    }
    return look;
  }
  function ofTrace(trace) {
    const look = choose(trace, trace.meta?.narrow), opacity = trace.marker?.opacity;
    if ((trace.mode || "").includes("text")) look["textfont.color"] = [trace.textfont.color].flat().map(flip);
    if (trace.type === "sunburst") look["marker.line.color"] = trace.marker.line.color.map(flip);
    if (opacity < 1) look["marker.opacity"] = isDark.matches ? Math.min(1, 1.5 * opacity) : opacity;
    return look;
  }

  const traces = data.map((trace) => styled(trace, ofTrace(trace)));
  await Plotly.newPlot("figure", traces, styled(layout, ofLayout()), config);
  if (frames) await Plotly.addFrames("figure", frames);
  const repaint = async () => {
    for (const [i, trace] of data.entries()) {
      const look = Object.entries(ofTrace(trace)).map(([path, value]) => [path, [value]]);
      if (look.length) await Plotly.restyle("figure", Object.fromEntries(look), [i]);
    }
    await Plotly.relayout("figure", ofLayout());
  };
  isDark.addEventListener("change", repaint);
  isNarrow.addEventListener("change", repaint);
})();
"""


def show(
    plot: Callable[..., Any], *args: Any, html: str | os.PathLike[str] | None = None, **kwargs: Any
) -> None:
    """Display an interactive figure together with its static twin, as one output of the cell.

    Jupyter shows the first kind that it can: the interactive figure, or, where no JavaScript runs
    (GitHub, nbconvert), the PNG, of the same size. The twin's `alt` goes with it, as text for readers who
    see neither. Nothing comes from the network. Outside IPython one line of text is printed instead.

    Args:
        plot: A function with a parameter `static`, such as `plot_latent_space`.
        *args: Positional arguments of `plot`.
        html: A file to write the interactive figure to as well: a page that fills its window, light or
            dark as the reader's system is, and holds all that it needs, plotly's script (4.8 MB)
            included. A link to it is displayed as a second output.
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
        write_whole(Path(html), _to_page(figure, twin).encode(errors="replace"))  # half a surrogate pair, say
        # JupyterLab opens pages in a tab of its own, in which no script runs at first.
        address = quote(Path(html).as_posix())
        link = f"[Open the interactive figure]({address}) (in JupyterLab, press *Trust HTML*)"
        outputs.append(({"text/markdown": link, "text/plain": f"Interactive figure in {html}"}, {}))
    if get_ipython() is None:  # here, display would print all of it
        print(
            f"Interactive figure: {_title(figure)}",
            *(text["text/plain"] for text, _ in outputs[1:]),
            sep="\n",
        )
        return
    for output, metadata in outputs:
        display(output, metadata=metadata, raw=True)


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


def _title(figure: go.Figure) -> str:
    return figure.layout.title.text or "untitled"


def _alt(figure: go.Figure, twin: Figure) -> str:
    return getattr(twin, "alt", "") or f"Interactive figure: {_title(figure)}"


def _bundle(figure: go.Figure, twin: Figure) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return one output in three kinds, and its metadata. No kind is HTML, which would win over the PNG."""
    # JupyterLab shows the picture, pixel by pixel whatever its metadata say, until plotly has drawn: at
    # another size, the page would jump.
    width, height = figure.layout.width or 700, figure.layout.height or 450
    twin.set_size_inches(twin.get_figwidth(), twin.get_figwidth() * height / width)
    drawn = io.BytesIO()
    twin.savefig(drawn, format="png", dpi=width / twin.get_figwidth())
    # 256 colours look the same, in a third of the bytes, and a notebook holds many figures.
    picture = Image.open(drawn).convert("RGB").quantize(dither=Image.Dither.NONE)
    data, metadata = png_bundle(to_png(picture), _alt(figure, twin))
    metadata["image/png"] |= {"width": width, "height": height}
    plotly = {**json.loads(figure.to_json()), "config": _CONFIG}
    return {"application/vnd.plotly.v1+json": plotly, **data}, metadata


def _to_page(figure: go.Figure, twin: Figure) -> str:
    """Return a page that shows the figure as large as the window, and is one file."""
    content = json.loads(figure.to_json())
    for side in ("width", "height"):
        content["layout"].pop(side, None)
    # A template of plotly's own, like the white one of the figures but for its colours.
    template = templates["plotly_dark"].to_plotly_json()
    dark = {"paper": template["layout"]["paper_bgcolor"], "ink": template["layout"]["font"]["color"]}
    content["dark"] = {**dark, "template": template}
    content["narrow"] = _NARROW
    content["config"] = {**_CONFIG, "responsive": True, "scrollZoom": True}
    return _PAGE.format(
        title=escape(_title(figure)),
        alt=escape(_alt(figure, twin)),
        paper=figure.layout.paper_bgcolor or "white",
        dark_paper=dark["paper"],
        dark_ink=dark["ink"],
        plotly=get_plotlyjs(),
        content=json.dumps(content, separators=(",", ":")).replace("<", "\\u003c"),
        script=_LOOK,
    )
