"""Diagrams of Keras models, layer by layer: Keras writes a model as Graphviz text, which is dressed here."""

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

import pydot
from matplotlib import get_data_path
from PIL import Image

from vae._checks import check_choice, check_positive_int
from vae._keras import keras, origin, stderr_held_back
from vae.figures.picture import png_bundle
from vae.figures.shared import AMBER, GREY, INK, PALE, check_file
from vae.files.atomic import write_whole
from vae.training.image_model import ImageModel

# DejaVu comes with matplotlib and Verdana is as wide, so text fits its box wherever an SVG is shown.
FONT = "DejaVu Sans,Verdana,sans-serif"
_NARROW = 10  # letters a line in a drawing from left to right: a VAE's names stay readable at 1,000 pixels


@dataclass(frozen=True)
class Diagram:
    """A drawn model; as the last line of a notebook cell it shows itself."""

    name: str  # of the model
    svg: str = field(repr=False)  # the drawing as SVG text
    png: bytes = field(repr=False)  # the drawing as the content of a PNG file
    alt: str = field(
        default="", repr=False, compare=False
    )  # the drawing in words, for readers who do not see it

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        # No SVG: pages made from notebooks stretch it to their full width. The size keeps the PNG
        # sharp on screens with small pixels.
        data, metadata = png_bundle(self.png, self.alt or repr(self))
        width, height = Image.open(io.BytesIO(self.png)).size
        metadata["image/png"] |= {"width": width // 2, "height": height // 2}
        return data, metadata


def plot_model(
    model: keras.Model,
    to_file: str | os.PathLike[str] | None = None,
    *,
    dpi: int = 144,
    rankdir: str = "TB",
) -> Diagram:
    """Draw a Keras model layer by layer: names, activations, and shapes in and out.

    Nested models are drawn opened up, each in a frame. A `VAE` or an `Autoencoder` is drawn as its
    encoder and its decoder, joined at z. No system program is needed.

    Args:
        model: Any built Keras model.
        to_file: Where to write the drawing as well: a name that ends in .png, .svg or .pdf.
        dpi: Pixels an inch of the PNG.
        rankdir: "TB" from top to bottom; or "LR" from left to right, where layers are drawn narrow: their
            names are broken into lines, and only the shapes out are written.

    Returns:
        A `Diagram` with the members `svg`, `png`, and `alt`, which lists the layers; it shows itself in a
        notebook.

    Raises:
        TypeError: `model` is no Keras model, or `to_file` no path.
        ValueError: `model` is not built yet, `to_file` has another suffix, `dpi` is not above 0, or
            `rankdir` is neither "TB" nor "LR".
        FileNotFoundError: The folder of `to_file` does not exist.
        RuntimeError: Neither pygraphviz nor Graphviz's program `dot` works here.

    Example:
        >>> import vae
        >>> vae.plot_model(vae.VAE(vae.build_encoder(), vae.build_decoder()))
        Diagram(name='VAE-Model')
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model; got {type(model).__name__}.")
    target = None if to_file is None else check_file("to_file", to_file, ".png, .svg or .pdf")
    if target is not None and not target.parent.is_dir():
        folder = str(target.parent)
        raise FileNotFoundError(f"to_file must lie in a folder that exists; there is no {folder!r}.")
    dpi = check_positive_int("dpi", dpi)
    parts = _parts(model)
    text = _to_dot(parts, check_choice("rankdir", rankdir, ("TB", "LR")))
    svg, png = _render(text, "svg"), _render(text.replace("{", f"{{\ndpi={dpi};", 1), "png")
    if target is not None:
        write_whole(target, {".svg": svg, ".png": png}.get(target.suffix.lower()) or _render(text, "pdf"))
    return Diagram(model.name, svg.decode("utf-8"), png, _describe(model, parts))


# From Keras to Graphviz text


def _parts(model: keras.Model) -> list[keras.Model]:
    """Return what is drawn of a model: encoder and decoder, or the model itself."""
    if isinstance(model, ImageModel):
        # Made anew, each network has its input layer, which a `Sequential` hides: the edge from z goes there.
        return [keras.Model(x.inputs, x.outputs, name=x.name) for x in (model.encoder, model.decoder)]
    if not model.built:
        raise ValueError(f"model must be built, so that its shapes are known; {model.name!r} is not.")
    return [model]


def _to_dot(parts: list[keras.Model], rankdir: str) -> str:
    """Return a model as Graphviz text: Keras's graph in our own dress."""
    if len(parts) == 2:
        dot = pydot.Dot()
        for part in parts:
            dot.add_subgraph(keras.utils.model_to_dot(part, expand_nested=True, subgraph=True))
        z, entry = _layer_of(parts[0].outputs[-1]), _layer_of(parts[1].inputs[0])
        dot.add_edge(pydot.Edge(_key(z), _key(entry)))
    else:
        dot = keras.utils.model_to_dot(parts[0], expand_nested=True)
    # Merged arrows hide where they come from; layers stand 0.3 inches apart.
    _set(dot, concentrate="false", splines="spline", ranksep="0.3" if rankdir == "TB" else "0.22")
    _set(dot, rankdir=rankdir)
    operations = {_key(operation): operation for part in parts for operation in _operations(part)}
    _dress(dot, operations, narrow=rankdir == "LR")
    # Ids change from run to run, the drawing must not.
    names = {key: f"{i} {operation.name}" for i, (key, operation) in enumerate(operations.items())}
    quoted = {key: json.dumps(name, ensure_ascii=False) for key, name in names.items()}
    return re.sub(r"\b\d+\b", lambda match: quoted.get(match[0], match[0]), dot.to_string())


def _describe(model: keras.Model, parts: list[keras.Model]) -> str:
    """Return the drawing in words: the layers in order, each with its shapes."""
    words = []
    for part in parts:
        layers = [layer for layer in _operations(part) if not isinstance(layer, keras.Model)] or [part]
        own = f"{part.name} with " if len(parts) > 1 else ""
        words.append(own + ", ".join(f"{layer.name} {_shapes(layer)}" for layer in layers))
    return f"The layers of {model.name} in order: {'; '.join(words)}."


def _key(operation: Any) -> str:
    return str(id(operation))  # as Keras names its nodes


def _layer_of(tensor: Any) -> Any:
    """Return the layer, however deeply nested, that a symbolic tensor comes from."""
    operation, index, _ = origin(tensor)
    return _layer_of(operation.outputs[index]) if isinstance(operation, keras.Model) else operation


def _operations(model: keras.Model) -> Iterator[Any]:
    yield model
    for operation in getattr(model, "operations", model.layers):
        if isinstance(operation, keras.Model):
            yield from _operations(operation)
        else:
            yield operation


def _dress(graph: Any, operations: dict[str, Any], narrow: bool) -> None:
    """Give the nodes, edges and frames of a graph their looks, in place."""
    for node in graph.get_nodes():
        if operation := operations.get(node.get_name()):
            fill = AMBER if operation.name.startswith("Z-") else "white"
            margin = "0.06,0.06" if narrow else "0.2,0.08"
            _set(node, shape="box", style="rounded,filled", color=GREY, fillcolor=fill, margin=margin)
            _set(node, fontname=FONT, label=_label(operation, narrow), width="0")
    _centre_forks(graph, narrow and not isinstance(graph, pydot.Dot))
    for edge in graph.get_edges():
        _set(edge, color=GREY, penwidth="1.2", arrowsize="0.7")
    for frame in graph.get_subgraphs():
        name = html.escape(frame.get("label").strip('"'))
        _set(frame, style="rounded,filled", color="#C5CDD5", fillcolor=PALE, margin="12")
        _set(frame, fontname=FONT, fontsize="11", fontcolor=GREY, label=f"<<b>{name}</b>>")
        _dress(frame, operations, narrow)


def _set(element: Any, **attributes: str) -> None:
    for name, value in attributes.items():
        element.set(name, value)


def _centre_forks(graph: Any, upside_down: bool) -> None:
    """Put a layer that joins two sides, as z joins Z-Mean and Z-Log-Sigma, midway behind their origin."""
    parents: dict[str, list[str]] = {}
    for edge in graph.get_edges():
        parents.setdefault(edge.get_destination(), []).append(edge.get_source())
    for joint, sides in parents.items():
        origins = [parents.get(side, []) for side in sides]
        if len(sides) == 2 and len(origins[0]) == 1 and origins[0] == origins[1]:
            # From left to right, Graphviz draws the first side lowest in a frame, and highest without one.
            origin, last = origins[0][0], sides[0] if upside_down else sides[1]
            graph.del_edge(origin, last)
            # To Graphviz every place between the sides is as good: an unseen edge down the middle decides.
            graph.add_edge(pydot.Edge(origin, joint, style="invis"))
            graph.add_edge(pydot.Edge(origin, last))
            for node in graph.get_node(origin):
                node.set("ordering", "out")


def _label(operation: Any, narrow: bool) -> str:
    kind = type(operation).__name__
    activation = getattr(operation, "activation", None)
    if activation is not None:
        kind += f" · {getattr(activation, '__name__', None) or getattr(activation, 'name', activation)}"
    names, small = [operation.name], [kind, _shapes(operation)]
    if narrow:
        names = _break(operation.name, r"[^-_ ]*[-_ ]*", _NARROW)
        small = [*_break(kind, r"\S*\s*", _NARROW + 3), _shapes(operation).split(" → ")[-1]]
    rows = [f'<font point-size="13" color="{INK}"><b>{html.escape(name)}</b></font>' for name in names]
    rows += [f'<font point-size="10" color="{GREY}">{html.escape(line)}</font>' for line in small]
    return (
        '<<table border="0" cellspacing="0" cellpadding="1">'
        f"{''.join(f'<tr><td>{row}</td></tr>' for row in rows)}</table>>"
    )


def _break(text: str, piece: str, length: int) -> list[str]:
    """Return a text as lines of about a length, broken between pieces that match."""
    lines = [""]
    for part in filter(None, re.findall(piece, text)):
        if lines[-1] and len(lines[-1] + part.rstrip()) > length:
            lines.append("")
        lines[-1] += part
    return [line.strip() for line in lines]


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
    """Return a drawing of Graphviz text as a file of the format "svg", "png" or "pdf"."""
    failures = []
    with _bundled_fonts(), stderr_held_back():  # fontconfig grumbles there about files of the system
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
    import pygraphviz  # has no wheel for some machines; the others carry Graphviz itself

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
