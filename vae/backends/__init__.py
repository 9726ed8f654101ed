"""The door of the backends: behind it is all code that depends on which of the three computes.

`backend` is the one that runs. `contract` says, once, what each has to do. A framework is imported in its own
module, and those whose names begin with it (`torch_replay`), only.
"""

from importlib import import_module

from vae._keras import keras
from vae.backends.contract import Backend, Chunk, Device

_NAMES = ("tensorflow", "jax", "torch")


def load_backend(name: str) -> Backend:
    """Return the backend of a name."""
    if name not in _NAMES:
        raise ImportError(f"KERAS_BACKEND must be {', '.join(_NAMES[:-1])} or {_NAMES[-1]}; got {name!r}.")
    return import_module(f"vae.backends.{name}").backend


backend = load_backend(keras.backend.backend())

__all__ = ["Chunk", "Device", "backend"]
