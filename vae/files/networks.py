"""The networks of a model file, built without a single number, to see how many they would ask for.

A short file can ask for arrays of any size, and for no single one that is absurd: ten layers of 10,000 by
10,000 are enough. So what the variables of all layers have together is compared with what the file holds.
"""

import copy
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from vae._keras import keras, shapes_inside, variables_without_values
from vae.backends import backend
from vae.files.allowed import is_network
from vae.files.configuration import MOST_CALLS, MOST_NUMBERS_OF_AN_IMAGE, parts

_UNSAVED_NUMBERS = 2**16  # that layers may hold and not save, such as the states of seeds
_MOST_TRIES = 10 * MOST_CALLS  # of inputs, until the layers of a network are connected


def check_networks(config: dict[str, Any], numbers: int) -> None:
    """Raise `ValueError` where encoder or decoder cannot be built, or asks for more than the file holds."""
    names, most = ("encoder", "decoder"), numbers + _UNSAVED_NUMBERS
    tried = copy.deepcopy([config.get(name) for name in names])
    for part in parts(tried):
        if is_network(part) and part.get("build_config"):
            part["build_config"] = _Unused()
    for part in parts(tried):
        if "input_layers" in part:
            _without_values(partial(_connect, part), most)
    networks = _without_values(lambda: [_made_from(network) for network in tried], most)
    for name, network in zip(names, networks, strict=True):
        if not isinstance(network, keras.Model):
            raise ValueError(f"its {name} is no network")
        if any(math.prod(filter(None, shape)) > MOST_NUMBERS_OF_AN_IMAGE for shape in shapes_inside(network)):
            raise ValueError(f"its {name} makes absurdly large arrays")


class _Unused:
    """The build_config of a network, which Keras may not ask for a shape.

    Keras passes over what goes wrong when it builds a network from it. So what fails here, without values,
    might go well later, with them, and uncounted. A network that Keras saved is built from its layers, and
    has no use for it.
    """

    def __contains__(self, key: Any) -> bool:
        raise ValueError("a network of it is not built from its layers alone")


def _made_from(config: Any) -> Any:
    config = copy.deepcopy(config)  # Keras empties what it gets
    return keras.saving.deserialize_keras_object(config, safe_mode=True)


# Without values


class _Trial(keras.Operation):
    """A function that is called as Keras calls an operation, to find the shape of what it gives.

    Nothing is computed then. Elsewhere some layers compute already when they are built, on weights of any
    size: to look at the kernel of a Dense layer with `lora_rank` is to multiply two matrices.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__()
        self.function = function
        self.result: Any = None
        self.error: Exception | None = None

    def call(self) -> None:
        try:
            self.result = self.function()
        except Exception as error:  # let out, PyTorch's backend would begin again, now with real numbers
            self.error = error


def _without_values(function: Callable[[], Any], most: int) -> Any:
    """Return what a function returns whose variables, all together, have at most so many numbers."""
    trial = _Trial(function)
    with backend.shapes_only(), variables_without_values() as variables:
        trial.compute_output_spec()
    if sum(math.prod(variable.shape) for variable in variables) > most:
        raise ValueError("its networks ask for more numbers than the file holds")
    if trial.error is not None:
        raise trial.error
    return trial.result


# Connecting layers


def _connect(config: dict[str, Any]) -> None:
    """Call the layers of one network, each as soon as its inputs are there; refuse those that never are.

    Keras does the same. But up to 3.12 it takes any IndexError, also one from a layer's own code, for an
    input that is yet to come, and tries for ever. What that code raises cannot be read off a configuration,
    so here, too, the layers are called.
    """
    tensors, calls = {}, []
    layers: dict[str, Any] = {}
    for entry in config["layers"]:
        name, layer, nodes = entry["name"], _made_from(entry), entry["inbound_nodes"]
        if name in layers:
            raise ValueError("two layers of its networks have one name")
        layers[name] = layer
        if isinstance(layer, keras.layers.InputLayer):
            tensors[name, 0, 0] = layer.output
        elif not nodes:
            raise ValueError("a layer of its networks is never called")
        calls += [(name, number, node["args"], node["kwargs"]) for number, node in enumerate(nodes)]
    tries = 0
    while calls:
        late: dict[str, list[Any]] = {name: [] for name in layers}  # calls that have to wait, by layer
        for name, number, args, kwargs in calls:
            inputs = list(_inputs([args, kwargs]))
            if not inputs:  # it would compute, now and for real, on arrays of any size
                raise ValueError("a layer of its networks is called on no tensor")
            tries += len(inputs)
            if late[name] or not all(place in tensors for place in inputs):
                late[name].append((name, number, args, kwargs))
                continue
            outputs = layers[name](*_revived(args, tensors), **_revived(kwargs, tensors))
            tensors |= {(name, number, i): tensor for i, tensor in enumerate(keras.tree.flatten(outputs))}
        waiting = [call for of_layer in late.values() for call in of_layer]
        if len(waiting) == len(calls) or tries > _MOST_TRIES:
            raise ValueError("its layers cannot be connected")
        calls = waiting


def _inputs(value: Any) -> Iterator[tuple[Any, ...]]:
    """Yield which tensors a layer is called on: name of a layer, number of its call, number of its output."""
    if isinstance(value, list):
        for item in value:
            yield from _inputs(item)
    elif isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield tuple(value["config"]["keras_history"])
    elif isinstance(value, dict) and "class_name" not in value:
        yield from _inputs(list(value.values()))


def _revived(value: Any, tensors: dict[Any, Any]) -> Any:
    """Return what a layer is called on, with the tensors themselves in the places of their descriptions."""
    if isinstance(value, list):
        return [_revived(item, tensors) for item in value]
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return tensors[tuple(value["config"]["keras_history"])]
    if isinstance(value, dict) and "class_name" not in value:
        return {name: _revived(item, tensors) for name, item in value.items()}
    return _made_from(value)
