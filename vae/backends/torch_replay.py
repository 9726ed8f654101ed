"""PyTorch: a step is written down, call by call, and made again without the Python that led to the calls.

A step of Keras comes down to some hundreds of calls of PyTorch: products, sums, updates in place. In small
networks the way there, through Keras and autograd, takes several times as long as the calls. `record` makes
one step, a real one, and keeps its calls. To make them again on the same memory, with the next batch, is the
next step, to the bit: Keras changes weights, moments and metrics in place.
"""

import operator
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.fx.node import map_aggregate
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from vae._keras import noise_drawn_by
from vae.backends.torch_function import as_function

_ONE_AT_A_TIME = threading.RLock()
_DEPENDS_ON_NUMBERS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_READS = {torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.__array__}


class CannotRecordError(Exception):
    """A step that depends on numbers: its calls, made again, would be the wrong ones."""


def record(step: Callable[..., Any], *inputs: torch.Tensor) -> tuple[Callable[..., Any], Any]:
    """Make one step, and write it down.

    Args:
        step: A function of the inputs, which returns a dictionary of tensors.
        *inputs: What it is called with this time. All other tensors that it touches are taken for the
            model's, whose memory stays the same.

    Returns:
        What makes the same calls again, with other inputs of the same sizes and types; and what this step
        returned.

    Raises:
        CannotRecordError: The step depends on what a tensor holds. After this and any other error, all
            tensors and PyTorch's random state are as they were before.
    """
    calls = _Calls(inputs)
    with _ONE_AT_A_TIME:
        try:
            with noise_drawn_by(calls.draw), _NoReads(calls), calls:
                result = step(*inputs)
            calls.raise_if_refused()  # the step may have caught it
            return calls.compiled(result), result
        except BaseException:
            calls.undo()
            calls.raise_if_refused()  # Keras wraps what is raised inside a layer
            raise


class _Calls(TorchDispatchMode):
    """Within it, PyTorch's calls are made and become the nodes of a graph."""

    def __init__(self, inputs: tuple[torch.Tensor, ...]) -> None:
        super().__init__()
        self._graph = fx.Graph()
        self._constants: dict[fx.Node, Any] = {}
        # Weak: autograd copies a gradient that somebody else holds.
        self._nodes = WeakTensorKeyDictionary()
        self._drawn: dict[int, tuple[torch.Generator, fx.Node]] = {}
        self._before: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._is_drawing, self._refused = False, ""
        self._random_states = torch.get_rng_state(), torch.cuda.get_rng_state_all()
        self._thread = threading.get_ident()
        for i, tensor in enumerate(inputs):
            self._know(tensor, self._graph.placeholder(f"input_{i}"))

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Before the call: what it changes in place has to be copied first.
        written: Any = map_aggregate((args, kwargs or {}), self._node_of)
        if self._is_drawing:
            return call(*args, **(kwargs or {}))
        if not _DEPENDS_ON_NUMBERS.isdisjoint(call.tags):
            self.refuse(f"{call} asks for numbers that a tensor holds")
        result = call(*args, **(kwargs or {}))
        if call is torch.ops.aten.detach.default:
            node = written[0][0]  # the same memory: nothing to do
        else:
            node = self._graph.call_function(call, *written)
        if isinstance(result, tuple | list):
            for i, part in enumerate(result):
                self._know(part, self._graph.call_function(operator.getitem, (node, i)))
        else:
            self._know(result, node)
        return result

    def refuse(self, reason: str) -> None:
        """End the recording, whatever the step makes of the error."""
        self._refused = reason
        self.raise_if_refused()

    def raise_if_refused(self) -> None:
        if self._refused:
            raise CannotRecordError(self._refused)

    def draw(self, generator_of: Callable[[Any], torch.Generator], seed: Any) -> torch.Generator:
        """Return Keras's generator of the noise for a seed, and have a new one asked for in each replay."""
        if threading.get_ident() != self._thread:
            return generator_of(seed)
        self._is_drawing = True
        generator = generator_of(seed)
        self._is_drawing = False
        node = self._graph.call_function(generator_of, (self._constant(seed),))
        self._drawn[generator._cdata] = generator, node  # kept, so that its address is given to no other
        return generator

    def undo(self) -> None:
        """Put back what all tensors held."""
        with torch.no_grad():
            for tensor, before in self._before:
                tensor.copy_(before)
                tensor.grad = None
        on_cpu, on_gpus = self._random_states
        torch.set_rng_state(on_cpu)
        torch.cuda.set_rng_state_all(on_gpus)

    def compiled(self, result: Any) -> Callable[..., Any]:
        """Return the calls as one function, less those whose results nobody uses."""
        self._graph.output(map_aggregate(result, self._node_of))
        self._graph.eliminate_dead_code(_changes_something)
        return as_function(self._graph, self._constants)

    def _know(self, value: Any, node: fx.Node) -> None:
        if isinstance(value, torch.Tensor):
            self._nodes.setdefault(value, node)

    def _node_of(self, value: Any) -> Any:
        if isinstance(value, torch.Generator):
            _, node = self._drawn.get(value._cdata, (value, None))
            return node or self._constant(value)
        if not isinstance(value, torch.Tensor):
            return value
        if value not in self._nodes:  # the model's
            self._before.append((value, value.detach().clone()))
            self._know(value, self._constant(value))
        return self._nodes[value]

    def _constant(self, value: Any) -> fx.Node:
        node = self._graph.create_node("get_attr", f"constant_{len(self._constants)}")
        self._constants[node] = value
        return node


def _changes_something(node: fx.Node) -> bool:
    if not isinstance(node.target, torch._ops.OpOverload):
        return node.op != "get_attr" and node.target is not operator.getitem  # inputs, output, seeds
    generator: Any = node.kwargs.get("generator")
    is_fresh = generator is not None and generator.op == "call_function"  # nobody else draws from it
    draws = torch.Tag.nondeterministic_seeded in node.target.tags and not is_fresh
    return node.target._schema.is_mutable or draws


class _NoReads(TorchFunctionMode):
    """Within it, nothing reads a tensor into NumPy, which no call of PyTorch's tells of."""

    def __init__(self, calls: _Calls) -> None:
        super().__init__()
        self._calls = calls

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in _READS:
            self._calls.refuse(f"Tensor.{function.__name__} asks for numbers that a tensor holds")
        return function(*args, **(kwargs or {}))
