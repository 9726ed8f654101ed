"""Keras, imported quietly; a layer that it lacks; and its private parts that this package uses, with reasons.

Every other module takes ``keras`` from here. TensorFlow writes log lines when it starts (oneDNN, CPU
instructions, missing CUDA drivers), from compiled code and straight to file descriptor 2, where no Python
setting reaches them. They are held back here, and printed only if the import fails.

``tests/test_keras.py`` tries each private part, so that a release of Keras that changes one is noticed.
"""

import contextlib
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

from vae._checks import check_seed
from vae._terminal import flush

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

Tensor: TypeAlias = Any  # a tensor of whichever backend runs


@contextlib.contextmanager
def stderr_held_back() -> Iterator[None]:
    """Keep what compiled code writes to file descriptor 2, and print it only where the block fails."""
    try:
        saved = os.dup(2)
    except OSError:  # a process without a stderr, such as a Windows service
        yield
        return
    with tempfile.TemporaryFile() as held:
        flush(sys.stderr)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:  # not KeyboardInterrupt, after which nobody wants to read them
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


with stderr_held_back():
    import keras


class SeededLambda(keras.layers.Lambda):
    """A Lambda layer whose function draws: it owns the generator of the noise, and its state is saved.

    Args:
        function: Called with the inputs and a `seed_generator`; its output has the shape of the first input.
        seed: A whole number from 0 up, or None to take one from `keras.utils.set_random_seed`.
        **kwargs: As for any Keras layer.
    """

    def __init__(self, function: Any, seed: int | None, **kwargs: Any) -> None:
        super().__init__(function, **kwargs)
        self.seed = check_seed("seed", seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.arguments = {"seed_generator": self.seed_generator}  # what Lambda calls the function with

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return the shape of the first input."""
        return tuple(input_shape[0])

    def save_own_variables(self, store: Any) -> None:
        """Save the generator's state, which Keras leaves out: a loaded model would repeat its noise."""
        store["seed_generator_state"] = keras.ops.convert_to_numpy(self.seed_generator.state.value)

    def load_own_variables(self, store: Any) -> None:
        """Load the state; files without it leave the layer at its seed."""
        if "seed_generator_state" in store:
            self.seed_generator.state.assign(store["seed_generator_state"])

    def get_config(self) -> dict[str, Any]:
        """Return the seed and the layer's name and type; the function belongs to the class."""
        return {**keras.layers.Layer.get_config(self), "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None, safe_mode: Any = None) -> Any:
        """Build the layer from `get_config`; nothing in it is code, so safe mode has nothing to stop."""
        return cls(**config)


# The private parts

# Keras keeps its source in a package of its own, and writes some of its modules' names into model files.
SOURCE = "keras.src"
FUNCTIONAL_MODULE = f"{SOURCE}.models.functional"
OPERATION_MODULES = (f"{SOURCE}.ops.numpy", f"{SOURCE}.ops.nn")  # of `x * 2` or `keras.ops.tanh(x)`
TORCH_OPTIMIZERS = f"{SOURCE}.backend.torch.optimizers.torch_"  # how names of PyTorch's optimizers begin


def layer_family(layer: type) -> str:
    """Return the folder of Keras that defines a layer, such as "convolutional"."""
    return layer.__module__.removeprefix(f"{SOURCE}.layers.").partition(".")[0]


def global_seed() -> int | None:
    """Return the seed that `keras.utils.set_random_seed` was given; None where it was not called.

    Keras keeps it, and offers no public way to ask.
    """
    from keras.src.utils import rng_utils

    seed = rng_utils.get_random_seed()
    return None if seed is None else int(seed)


def origin(tensor: Any) -> tuple[Any, int, list[Any]]:
    """Return the operation that a symbolic tensor comes from, which of its outputs it is, and of what inputs.

    No public attribute of a tensor leads there, and `layer.input` is that of the layer's first call.
    """
    operation, node, index = tensor._keras_history
    return operation, index, operation._inbound_nodes[node].input_tensors


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model at any depth; `model.layers` lists the uppermost alone."""
    return list(model._flatten_layers())


def shapes_inside(network: keras.Model) -> Iterator[tuple[int | None, ...]]:
    """Yield the shape of every tensor that the layers of a network hand on, at any depth.

    `layer.output` is an error where a layer is called twice; its nodes always tell.
    """
    for operation in (*all_layers(network), *getattr(network, "operations", ())):
        for node in operation._inbound_nodes:
            yield from (tuple(tensor.shape) for tensor in node.outputs)


def variables_are_at_hand(model: keras.Model) -> bool:
    """Tell whether a model's variables hold their values: within an epoch, on JAX, they do not."""
    return getattr(model, "_jax_state_synced", True)


@contextlib.contextmanager
def variables_without_values() -> Iterator[list[Any]]:
    """Within it, Keras's variables have shapes and no values; yield the list that they are put into.

    `keras.StatelessScope` is public, but it leaves the variables in a list of its own, and the next scope
    would give them their values after all. An `ObjectSharingScope` is what Keras loads its files in.
    """
    from keras.src.backend.common import global_state
    from keras.src.saving.serialization_lib import ObjectSharingScope

    key, state = "uninitialized_variables", random.getstate()
    variables: list[Any] = []
    before = global_state.get_global_attribute(key)
    global_state.set_global_attribute(key, variables)
    try:
        with keras.StatelessScope(initialize_variables=False), ObjectSharingScope():
            yield variables
    finally:
        global_state.set_global_attribute(key, before)
        random.setstate(state)  # layers without a seed draw theirs from it


@contextlib.contextmanager
def noise_drawn_by(draw: Callable[[Callable[[Any], Any], Any], Any]) -> Iterator[None]:
    """Within it, on PyTorch, `draw(generator_of, seed)` stands for Keras's own `generator_of(seed)`.

    Keras makes the generator of each draw from numbers that it reads out of a tensor. What writes a step
    down would write down these numbers, and every later step would repeat its noise.
    """
    from keras.src.backend.torch import random as torch_random

    generator_of = torch_random.torch_seed_generator
    torch_random.torch_seed_generator = partial(draw, generator_of)
    try:
        yield
    finally:
        torch_random.torch_seed_generator = generator_of


__all__ = ["Tensor", "keras"]
