"""Diagrams of Keras models, layer by layer: Keras writes a model as Graphviz text, which is dressed here."""

import base64
import html
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydot
from PIL import Image

from vae._checks import check_path, check_positive_int
from vae._keras import keras, origin
from vae.figures.rendering import render
from vae.figures.shared import AMBER, GREY, INK, PALE
from vae.files.atomic import write_whole
from vae.training.image_model import ImageModel

SUFFIXES = (".png", ".svg", ".pdf")
# DejaVu comes with matplotlib and Verdana is as wide, so text fits its box wherever an SVG is shown.
FONT = "DejaVu Sans,Verdana,sans-serif"


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

    Nested models are drawn opened up, each in a frame. A `VAE` or an `Autoencoder` is drawn as its
    encoder and its decoder, joined at z. No system program is needed.

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
    svg, png = render(text, "svg"), render(text.replace("{", f"{{\ndpi={dpi};", 1), "png")
    if target is not None:
        contents = {".svg": svg, ".png": png}.get(target.suffix.lower()) or render(text, "pdf")
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
    if isinstance(model, ImageModel):
        parts = [_functional(model.encoder), _functional(model.decoder)]
        dot = _joined(*parts)
    elif model.built:
        parts = [model]
        dot = keras.utils.model_to_dot(model, expand_nested=True)
    else:
        raise ValueError(f"model must be built, so that its shapes are known; {model.name!r} is not.")
    dot.set("concentrate", "false")  # merged arrows hide where they come from
    dot.set("splines", "spline")
    dot.set("ranksep", "0.3")  # inches between layers
    operations = {_key(operation): operation for part in parts for operation in _operations(part)}
    _dress(dot, operations)
    # Ids change from run to run, the drawing must not.
    names = {
        key: json.dumps(f"{i} {operations[key].name}", ensure_ascii=False) for i, key in enumerate(operations)
    }
    return re.sub(r"\b\d+\b", lambda match: names.get(match[0], match[0]), dot.to_string())


def _functional(network: keras.Model) -> keras.Model:
    """Return a network with its input layer, which a `Sequential` hides: the edge from z goes there."""
    return keras.Model(network.inputs, network.outputs, name=network.name)


def _joined(encoder: keras.Model, decoder: keras.Model) -> Any:
    """Return the graphs of encoder and decoder in one, with an edge from z to where it goes in."""
    dot = pydot.Dot()
    for network in (encoder, decoder):
        dot.add_subgraph(keras.utils.model_to_dot(network, expand_nested=True, subgraph=True))
    z, entry = _layer_of(encoder.outputs[-1]), _layer_of(decoder.inputs[0])
    dot.add_edge(pydot.Edge(_key(z), _key(entry)))
    return dot


def _key(operation: Any) -> str:
    return str(id(operation))  # as Keras names its nodes


def _layer_of(tensor: Any) -> Any:
    """Return the layer, however deeply nested, that a symbolic tensor comes from."""
    operation, index = origin(tensor)
    return _layer_of(operation.outputs[index]) if isinstance(operation, keras.Model) else operation


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
