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
from vae.files.allowed import is_network
from vae.files.configuration import MOST_CALLS, MOST_NUMBERS_OF_AN_IMAGE, parts

_UNSAVED_NUMBERS = 2**16  # that layers may hold and not save, such as the states of seeds
_MOST_TRIES = 10 * MOST_CALLS  # of inputs, until the layers of a network are connected


def check_networks(config: dict[str, Any], numbers: int) -> None:
    """Raise `ValueError` where encoder or decoder cannot be built, or asks for more than the file holds."""
    names, most = ("encoder", "decoder"), numbers + _UNSAVED_NUMBERS
    tried = copy.deepcopy([config.get(name) for name in names])
    for part in parts(tried):
        # Keras passes over what goes wrong when it builds a network from its build_config. So what fails
        # here, without values, might go well later, with them, and uncounted. Networks that Keras saved have
        # no use for it, as they are built from their layers; 1 makes its use an error.
        if is_network(part) and part.get("build_config"):
            part["build_config"] = 1
    for part in parts(tried):
        if "input_layers" in part:
            _without_values(partial(_connect, part), most)
    networks = _without_values(lambda: [_made_from(network) for network in tried], most)
    for name, network in zip(names, networks, strict=True):
        if not isinstance(network, keras.Model):
            raise ValueError(f"its {name} is no network")
        if any(math.prod(filter(None, shape)) > MOST_NUMBERS_OF_AN_IMAGE for shape in shapes_inside(network)):
            raise ValueError(f"its {name} makes absurdly large arrays")


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
    with variables_without_values() as variables:
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
    waiting, tensors = [], {}
    for entry in config["layers"]:
        name, layer = entry["name"], _made_from(entry)
        if isinstance(layer, keras.layers.InputLayer):
            tensors[name, 0, 0] = layer.output
        elif not entry["inbound_nodes"]:
            raise ValueError("a layer of its networks is never called")
        # Keras counts a network that is a layer as called once, on its own inputs.
        first = int(isinstance(layer, keras.Model) and not isinstance(layer, keras.Sequential))
        waiting += [(name, number, layer, node) for number, node in enumerate(entry["inbound_nodes"], first)]
    tries = 0
    while waiting:
        late: list[Any] = []
        for name, number, layer, node in waiting:
            inputs = list(_inputs([node["args"], node["kwargs"]]))
            if not inputs:  # it would compute, now and for real, on arrays of any size
                raise ValueError("a layer of its networks is called on no tensor")
            tries += len(inputs)
            if any(name == earlier[0] for earlier in late) or not all(place in tensors for place in inputs):
                late.append((name, number, layer, node))
                continue
            outputs = layer(*_revived(node["args"], tensors), **_revived(node["kwargs"], tensors))
            tensors |= {(name, number, i): tensor for i, tensor in enumerate(keras.tree.flatten(outputs))}
        if len(late) == len(waiting) or tries > _MOST_TRIES:
            raise ValueError("its layers cannot be connected")
        waiting = late


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
