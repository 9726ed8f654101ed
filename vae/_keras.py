"""Keras, imported quietly; and every private part of Keras that this package uses, each with its reason.

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
from collections.abc import Iterator
from typing import Any, TypeAlias

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
        sys.stderr.flush()
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


def origin(tensor: Any) -> tuple[Any, int]:
    """Return the operation that a symbolic tensor comes from, and which of its outputs it is.

    No public attribute of a tensor leads there.
    """
    operation, _, index = tensor._keras_history
    return operation, index


def shapes_inside(network: keras.Model) -> Iterator[tuple[int | None, ...]]:
    """Yield the shape of every tensor that the layers of a network hand on, at any depth.

    `layer.output` is an error where a layer is called twice; its nodes always tell.
    """
    for operation in (*network._flatten_layers(), *getattr(network, "operations", ())):
        for node in operation._inbound_nodes:
            yield from (tuple(tensor.shape) for tensor in node.outputs)


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
        with keras.StatelessScope(initialize_variables=False), ObjectSharingScope(), _no_numbers_in_torch():
            yield variables
    finally:
        global_state.set_global_attribute(key, before)
        random.setstate(state)  # layers without a seed draw theirs from it


def _no_numbers_in_torch() -> contextlib.AbstractContextManager[Any]:
    """Within it, PyTorch cannot make tensors but on its device "meta", where they have shapes and no numbers.

    Where Keras cannot find a shape there, it computes on real arrays instead, and asks nobody.
    """
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    from torch.overrides import TorchFunctionMode

    class OnlyOnMeta(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if str(kwargs.get("device") or "meta") != "meta":
                raise ValueError("PyTorch cannot tell a shape without computing")
            return function(*args, **kwargs)

    return OnlyOnMeta()


__all__ = ["Tensor", "keras"]
