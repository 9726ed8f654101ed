"""Diagrams: a Keras model layer by layer, and the variational autoencoder in one picture.

Keras writes a model as Graphviz text; the wheels of `pygraphviz` carry Graphviz itself, so that no
system program is needed to draw it.
"""

import base64
import contextlib
import html
import io
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydot
from matplotlib import get_data_path
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from numpy.typing import ArrayLike
from PIL import Image

from vae._checks import as_array, check_path, check_positive_int
from vae._keras import _stderr_held_back, keras
from vae.figures._shared import Picture, to_pictures
from vae.files.atomic import write_whole

SUFFIXES = (".png", ".svg", ".pdf")
INK, GREY = "#1F2933", "#5B6773"
BLUE, AMBER, GREEN, PALE = "#D6E4F2", "#FBD9A5", "#D5EBDD", "#F3F5F7"
# DejaVu comes with matplotlib and Verdana is as wide, so text fits its box wherever an SVG is shown.
FONT = "DejaVu Sans,Verdana,sans-serif"

ARROWS = (  # of the architecture: from, to
    ((1.7, 0), (2.4, 0)),
    ((4.4, 0.4), (5.0, 0.9)),
    ((4.4, -0.4), (5.0, -0.9)),
    ((6.8, 0.9), (7.6, 0.25)),
    ((6.8, -0.9), (7.6, -0.25)),
    ((8.0, -1.55), (8.0, -0.4)),
    ((8.4, 0), (9.0, 0)),
    ((11.0, 0), (11.35, 0)),
)


@dataclass(frozen=True)
class Diagram:
    """A drawn model; as the last line of a notebook cell it shows itself.

    Attributes:
        name: Name of the model.
        svg: The drawing as SVG text.
        png: The drawing as a PNG file's content.
    """

    name: str
    svg: str = field(repr=False)
    png: bytes = field(repr=False)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        # No SVG: pages made from notebooks stretch it to their full width. The size keeps the PNG
        # sharp on screens with small pixels.
        data = {"image/png": base64.b64encode(self.png).decode("ascii"), "text/plain": repr(self)}
        width, height = Image.open(io.BytesIO(self.png)).size
        return data, {"image/png": {"width": width // 2, "height": height // 2}}


def plot_model(
    model: keras.Model, to_file: str | os.PathLike[str] | None = None, *, dpi: int = 144
) -> Diagram:
    """Draw a Keras model layer by layer: names, activations, and shapes in and out.

    Nested models are drawn opened up, each in a frame. A model that consists of an `encoder` and a
    `decoder`, such as `vae.VAE`, is drawn as the two joined at z. No system program is needed.

    Args:
        model: Any built Keras model.
        to_file: Where to write the drawing as well: a name that ends in .png, .svg or .pdf.
        dpi: Pixels an inch of the PNG.

    Returns:
        A `Diagram` with the members `svg` and `png`, which shows itself in a notebook.

    Raises:
        TypeError: `model` is no Keras model, or `to_file` no path.
        ValueError: `model` is not built yet, `to_file` has another suffix, or `dpi` is no positive
            whole number.
        FileNotFoundError: The folder of `to_file` does not exist.
        RuntimeError: Neither pygraphviz nor Graphviz's program `dot` works here.

    Example:
        >>> import vae
        >>> vae.plot_model(vae.VAE(vae.build_encoder(), vae.build_decoder()))
        Diagram(name='VAE-Model')
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model; got {type(model).__name__}.")
    target = None if to_file is None else _check_target(to_file)
    dpi = check_positive_int("dpi", dpi)
    text = _to_dot(model)
    svg, png = _render(text, "svg"), _render(text.replace("{", f"{{\ndpi={dpi};", 1), "png")
    if target is not None:
        contents = {".svg": svg, ".png": png}.get(target.suffix.lower()) or _render(text, "pdf")
        write_whole(target, contents)
    return Diagram(model.name, svg.decode("utf-8"), png)


def _check_target(to_file: str | os.PathLike[str]) -> Path:
    path = Path(check_path("to_file", to_file))
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"to_file must end in .png, .svg or .pdf; got {str(path)!r}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"to_file must lie in a folder that exists; there is no {str(path.parent)!r}."
        )
    return path


# From Keras to Graphviz text


def _to_dot(model: keras.Model) -> str:
    """Return the model as Graphviz text: Keras's graph in our own dress."""
    if halves := _halves(model):
        dot = pydot.Dot()
        for half in halves:
            dot.add_subgraph(keras.utils.model_to_dot(half, expand_nested=True, subgraph=True))
        z, decoder_input = halves[0].outputs[-1], halves[1].inputs[0]
        dot.add_edge(pydot.Edge(_key(_origin(z)), _key(_origin(decoder_input))))
    elif model.built:
        dot = keras.utils.model_to_dot(model, expand_nested=True)
    else:
        raise ValueError(f"model must be built, so that its shapes are known; {model.name!r} is not.")
    dot.set("concentrate", "false")  # merged arrows hide where they come from
    dot.set("splines", "spline")
    dot.set("ranksep", "0.3")  # inches between layers
    operations = {_key(operation): operation for part in halves or [model] for operation in _operations(part)}
    _dress(dot, operations)
    # Ids change from run to run, the drawing must not.
    names = {
        key: json.dumps(f"{i} {operations[key].name}", ensure_ascii=False) for i, key in enumerate(operations)
    }
    return re.sub(r"\b\d+\b", lambda match: names.get(match[0], match[0]), dot.to_string())


def _halves(model: keras.Model) -> list[keras.Model]:
    """Return encoder and decoder of a model that consists of the two, or nothing."""
    halves: list[Any] = [getattr(model, name, None) for name in ("encoder", "decoder")]
    if all(isinstance(half, keras.Model) and half.built and getattr(half, "inputs", None) for half in halves):
        return [keras.Model(half.inputs, half.outputs, name=half.name) for half in halves]
    return []


def _key(operation: Any) -> str:
    return str(id(operation))  # as Keras names its nodes


def _origin(tensor: Any) -> Any:
    """Return the layer, however deeply nested, that a symbolic tensor comes from."""
    operation, _, index = tensor._keras_history
    return _origin(operation.outputs[index]) if isinstance(operation, keras.Model) else operation


def _operations(model: keras.Model) -> Iterator[Any]:
    yield model
    for operation in getattr(model, "operations", model.layers):
        if isinstance(operation, keras.Model):
            yield from _operations(operation)
        else:
            yield operation


def _dress(graph: Any, operations: dict[str, Any]) -> None:
    """Give the nodes, edges and frames of a graph their looks, in place."""
    for node in graph.get_nodes():
        if operation := operations.get(node.get_name()):
            fill = AMBER if operation.name.startswith("Z-") else "white"
            _set(node, shape="box", style="rounded,filled", color=GREY, fillcolor=fill, margin="0.2,0.08")
            _set(node, fontname=FONT, label=_label(operation))
    _centre_forks(graph)
    for edge in graph.get_edges():
        _set(edge, color=GREY, penwidth="1.2", arrowsize="0.7")
    for frame in graph.get_subgraphs():
        name = html.escape(frame.get("label").strip('"'))
        _set(frame, style="rounded,filled", color="#C5CDD5", fillcolor=PALE, margin="12")
        _set(frame, fontname=FONT, fontsize="11", fontcolor=GREY, label=f"<<b>{name}</b>>")
        _dress(frame, operations)


def _set(element: Any, **attributes: str) -> None:
    for name, value in attributes.items():
        element.set(name, value)


def _centre_forks(graph: Any) -> None:
    """Put a layer that joins two sides, as z joins Z-Mean and Z-Log-Sigma, midway below their origin.

    To Graphviz every place between the two sides is as good; an unseen edge down the middle decides.
    """
    parents: dict[str, list[str]] = {}
    for edge in graph.get_edges():
        parents.setdefault(edge.get_destination(), []).append(edge.get_source())
    for joint, sides in parents.items():
        origins = [parents.get(side, []) for side in sides]
        if len(sides) == 2 and len(origins[0]) == 1 and origins[0] == origins[1]:
            origin = origins[0][0]
            graph.del_edge(origin, sides[1])
            graph.add_edge(pydot.Edge(origin, joint, style="invis"))
            graph.add_edge(pydot.Edge(origin, sides[1]))
            for node in graph.get_node(origin):
                node.set("ordering", "out")


def _label(operation: Any) -> str:
    kind = type(operation).__name__
    activation = getattr(operation, "activation", None)
    if activation is not None:
        kind += f" · {getattr(activation, '__name__', None) or getattr(activation, 'name', activation)}"
    name, kind, shapes = (html.escape(line) for line in (operation.name, kind, _shapes(operation)))
    small = f'<font point-size="10" color="{GREY}">'
    return (
        '<<table border="0" cellspacing="0" cellpadding="1">'
        f'<tr><td><font point-size="13" color="{INK}"><b>{name}</b></font></td></tr>'
        f"<tr><td>{small}{kind}</font></td></tr><tr><td>{small}{shapes}</font></td></tr></table>>"
    )


def _shapes(operation: Any) -> str:
    """Return the shapes in and out as `model.summary()` writes them; an input layer has only one."""
    try:
        ends = [operation.output]
        if not isinstance(operation, keras.layers.InputLayer):
            ends.insert(0, operation.input)
    except (ValueError, AttributeError):  # a layer that is called in several places has no single shape
        return "?"
    return " → ".join(
        ", ".join(str(tuple(tensor.shape)) for tensor in keras.tree.flatten(end)) for end in ends
    )


# From Graphviz text to pictures


def _render(text: str, file_format: str) -> bytes:
    failures = []
    with _bundled_fonts(), _stderr_held_back():  # fontconfig grumbles there about files of the system
        for draw in (_draw_with_pygraphviz, _draw_with_program):
            try:
                return draw(text, file_format)
            except Exception as error:  # whatever goes wrong with the one, the other may work
                failures.append(f"{type(error).__name__}: {error}")
    raise RuntimeError(
        "Drawing a model needs Graphviz: run `pip install pygraphviz`, whose wheels contain it, or install "
        f"Graphviz's program `dot`. What was tried: {'; '.join(failures)}"
    )


def _draw_with_pygraphviz(text: str, file_format: str) -> bytes:
    import pygraphviz  # has no wheel for some machines

    return pygraphviz.AGraph(string=text).draw(format=file_format, prog="dot")


def _draw_with_program(text: str, file_format: str) -> bytes:
    import graphviz

    return graphviz.Source(text).pipe(format=file_format, quiet=True)


@contextlib.contextmanager
def _bundled_fonts() -> Iterator[None]:
    """Let Graphviz find matplotlib's fonts: a bare container has no others and would draw empty boxes."""
    if "FONTCONFIG_FILE" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "fonts.conf")
        config.write_text(
            '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
            '<include ignore_missing="yes">/etc/fonts/fonts.conf</include>'
            f"<dir>{html.escape(get_data_path())}/fonts/ttf</dir></fontconfig>",
            encoding="utf-8",
        )
        os.environ["FONTCONFIG_FILE"] = str(config)
        try:
            yield
        finally:
            del os.environ["FONTCONFIG_FILE"]


# The variational autoencoder in one picture


def plot_architecture(image: ArrayLike | None = None, reconstruction: ArrayLike | None = None) -> Figure:
    """Draw how a variational autoencoder works: image, encoder, sampling, decoder, reconstruction.

    The encoder turns image x into a Gaussian; z is drawn from it by the reparameterisation trick
    (Kingma & Welling 2014, arXiv 1312.6114, section 2.4); the decoder turns z into an image.

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
    figure = Picture(figsize=(11, 3.8))
    axes = figure.add_subplot(xlim=(-0.02, 13.07), ylim=(-2.1, 2.25), aspect="equal")
    axes.set_axis_off()
    for start, end in ARROWS:
        axes.annotate(
            "", end, start, arrowprops={"arrowstyle": "-|>", "color": GREY, "shrinkA": 0, "shrinkB": 0}
        )
    _draw_end(axes, 0.85, "$x$", "image", image)
    _draw_block(axes, (3.4, 0), 2, (2.7, 1.5), BLUE, "encoder\n$q\\,(z\\,|\\,x)$")
    _draw_block(axes, (5.9, 0.9), 1.8, (0.8, 0.8), AMBER, r"$\mathtt{z\_mean}$")
    _draw_block(axes, (5.9, -0.9), 1.8, (0.8, 0.8), AMBER, r"$\mathtt{z\_log\_sigma}$")
    _draw_block(axes, (8, 0), 0.8, (0.8, 0.8), AMBER, "$z$")
    _draw_block(axes, (10, 0), 2, (1.5, 2.7), GREEN, "decoder\n$p\\,(x\\,|\\,z)$")
    _draw_end(axes, 12.2, r"$\hat{x}$", "reconstruction", reconstruction)
    _write(axes, (8, -1.85), r"$\epsilon \sim \mathcal{N}(0, I)$")
    _write(axes, (7, 2), r"$z = \mathtt{z\_mean} + \exp(\mathtt{z\_log\_sigma}) \cdot \epsilon$")
    return figure


def _draw_end(axes: Axes, x: float, symbol: str, name: str, image: ArrayLike | None) -> None:
    """Draw one end of the chain: the image, or a plain box in its place, and its name below."""
    if image is None:
        _draw_block(axes, (x, 0), 1.7, (1.7, 1.7), PALE, symbol)
    else:
        picture = to_pictures(name, as_array(name, image)[np.newaxis])[0]
        height, width = (0.85 * size / max(picture.shape[:2]) for size in picture.shape[:2])
        extent = (x - width, x + width, -height, height)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=extent, zorder=2)
    _write(axes, (x, -1.25), name if image is None else f"{name} {symbol}", va="baseline")


def _draw_block(
    axes: Axes,
    centre: tuple[float, float],
    width: float,
    heights: tuple[float, float],
    colour: str,
    text: str,
) -> None:
    """Draw a block as high as `heights` say on its left and on its right."""
    x, y = centre
    left, right = heights[0] / 2, heights[1] / 2
    corners = [(-width / 2, -left), (-width / 2, left), (width / 2, right), (width / 2, -right)]
    axes.add_patch(
        Polygon([(x + dx, y + dy) for dx, dy in corners], facecolor=colour, edgecolor=GREY, zorder=2)
    )
    _write(axes, centre, text)


def _write(axes: Axes, at: tuple[float, float], text: str, va: str = "center") -> None:
    axes.text(*at, text, ha="center", va=va, color=INK, fontsize=12, linespacing=1.6, zorder=3)
