"""PyTorch: recorded calls as one Python function."""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx


@torch.no_grad()
def as_function(graph: fx.Graph, constants: dict[fx.Node, Any]) -> Callable[..., Any]:
    """Write the calls of a graph as a Python function without branches.

    What `fx.GraphModule` writes looks up each call by its name, each time: in small networks a sixth of the
    whole. Here everything that stays the same is looked up, and made, once.

    Args:
        graph: Calls of PyTorch, in their order; its output is a dictionary.
        constants: What the "get_attr" nodes of the graph stand for. Tensors among them keep their memory.
    """
    writer = _Writer(constants)
    last_use = {used: node for node in graph.nodes for used in node.all_input_nodes}
    inputs = ", ".join(node.name for node in graph.nodes if node.op == "placeholder")
    lines = [f"def replay({inputs}):"]
    for node in graph.nodes:
        if node.op == "call_function" and not writer.make_if_constant(node):
            lines.append(f"    {node.name} = {writer.call(node)}")
            # Held to the end, the results of all layers would take their memory at once.
            done = [used for used in (*node.all_input_nodes, node) if last_use.get(used, node) is node]
            lines += [f"    del {used.name}" for used in done if not writer.is_constant(used)]
        elif node.op == "output":
            logs = [f"{key!r}: {writer.written(value)}" for key, value in node.args[0].items()]
            lines.append(f"    return {{{', '.join(logs)}}}")
    exec("\n".join(lines), writer.names)  # names that fx made, and quoted keys: nothing else becomes code
    return torch.no_grad()(writer.names["replay"])


class _Writer:
    def __init__(self, constants: dict[fx.Node, Any]) -> None:
        self.names: dict[str, Any] = {}  # what the function finds, by name
        self._constants = dict(constants)

    def is_constant(self, node: fx.Node) -> bool:
        return node in self._constants

    def make_if_constant(self, node: fx.Node) -> bool:
        """Make a view of what stays the same, such as a weight's transpose, here and now."""
        if not getattr(node.target, "is_view", False) or not all(map(self.is_constant, node.all_input_nodes)):
            return False
        args, kwargs = fx.map_arg((node.args, node.kwargs), self._constants.__getitem__)
        made = node.target(*args, **kwargs)
        # `contiguous` is called a view, and copies where it has to: a copy would keep the numbers of today.
        if not any(_same_memory(made, self._constants[source]) for source in node.all_input_nodes):
            return False
        self._constants[node] = made
        return True

    def call(self, node: fx.Node) -> str:
        arguments = [self.written(value) for value in node.args]
        arguments += [f"{key}={self.written(value)}" for key, value in node.kwargs.items()]
        return f"{self._bound(node.target)}({', '.join(arguments)})"

    def written(self, value: Any) -> str:
        nodes: list[fx.Node] = []
        fx.map_arg(value, nodes.append)
        if all(node in self._constants for node in nodes):
            return self._bound(fx.map_arg(value, self._constants.__getitem__))
        if isinstance(value, fx.Node):
            return value.name
        return f"[{', '.join(map(self.written, value))}]"

    def _bound(self, value: Any) -> str:
        name = f"bound_{len(self.names)}"
        self.names[name] = value
        return name


def _same_memory(a: Any, b: Any) -> bool:
    tensors = isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)
    return tensors and a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
