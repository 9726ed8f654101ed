"""What a backend has to do for this package: one contract, kept by `tensorflow`, `jax` and `torch` alike."""

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from vae._keras import keras

GPU_BYTES = 2**30  # up to so much is copied to a GPU once a run, instead of a chunk at a time


class Device(NamedTuple):
    """What a backend says of itself."""

    title: str  # "TensorFlow 2.21.0"
    gpus: list[str]  # names of the GPUs it sees
    has_gpu_code: bool  # whether this build can use one at all
    package: str  # what to install for one
    needs_wsl: bool = True  # whether on Windows it reaches a GPU only through WSL 2


class Chunk(NamedTuple):
    """Batches that one compiled call works through; the steps know a chunk by this type."""

    batches: Any  # (steps, batch_size, ...)
    rates: Any  # (steps,): a learning rate for each; read only where a schedule runs


class Backend:
    """What is done by each backend in its own way. Whoever calls this does not know which one runs."""

    name: str  # as Keras calls it
    compiles_every_size = False  # whether XLA would compile inference anew for each size of a batch
    shares_batches = False  # whether `keras.distribution.DataParallel` trains here

    def inspect(self) -> Device:
        """Say what the backend computes on."""
        raise NotImplementedError

    def run_chunk(
        self, model: Any, step: Callable[..., Any], scheduled: bool, chunk: Chunk, *state: Any
    ) -> Any:
        """Make Keras's own `step` on each batch of a chunk, in one compiled loop where there is one.

        Gives the bits of the same steps made one by one. With `scheduled`, the optimizer's learning
        rate is set to the chunk's before each step. `state` is what Keras hands its step on JAX; the
        return value is what Keras's step would return.
        """
        raise NotImplementedError

    def compile_network(self, network: keras.Model) -> Callable[..., Any]:
        """Return a compiled function of the network's inputs, for batches of any size.

        What it returns may have more rows than went in, for the caller to cut off.
        """
        raise NotImplementedError

    def steps_alone(self, model: Any) -> bool:
        """Tell whether steps had better not be looped over."""
        return False

    def feed(self, chunks: Any) -> Any:
        """Return `Chunks` in the form in which Keras is to be given them."""
        return chunks

    def keep_near(self, x: np.ndarray) -> Any:
        """Return images as a tensor on the GPU, if there is one with room: chunks are cut out there."""
        return keras.ops.convert_to_tensor(x) if x.nbytes <= GPU_BYTES and self.inspect().gpus else x

    def pace(self, model: Any, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return a model's compiled step, kept from running ahead of the computation without bounds.

        A step that fails leaves the model as it was before.
        """
        return step

    def alone(self, model: Any) -> contextlib.AbstractContextManager[Any]:
        """Return what keeps threads apart that evaluate or predict, and leaves the model whole."""
        return contextlib.nullcontext()

    def pays_for_xla(self, model: Any, steps: int) -> bool:
        """Tell whether a run of so many steps is faster with XLA where Keras would do without."""
        return False

    def check_strategy(self, model: Any) -> None:
        """Raise a ValueError where the backend's own way to use many devices would train wrongly."""

    def shapes_only(self) -> contextlib.AbstractContextManager[Any]:
        """Return what forbids the backend to compute where Keras asks for nothing but a shape."""
        return contextlib.nullcontext()

    # Asked only where `shares_batches` is True

    def process_index(self) -> int:
        """Return the number of this process, from 0 up."""
        raise NotImplementedError

    def process_count(self) -> int:
        """Return how many processes train together."""
        raise NotImplementedError

    def gather(self, numbers: np.ndarray) -> np.ndarray:
        """Return the numbers of all processes, one row each."""
        raise NotImplementedError

    def lies_on(self, model: Any, distribution: Any) -> bool:
        """Tell whether all variables of a model are on all devices of a distribution."""
        raise NotImplementedError

    def put_on_devices(self, x: Any, rows: np.ndarray, rates: np.ndarray, distribution: Any) -> Chunk:
        """Return rows of `x`, an array (steps, batch_size), and the rates, as arrays on all devices.

        Each device gets its part of every batch; a rest that cannot be shared evenly goes to all.
        """
        raise NotImplementedError


def has_convolutions(model: Any) -> bool:
    """Tell whether a model trains kernels of convolutions, which XLA loops over badly on a CPU."""
    return any(len(variable.shape) == 4 for variable in model.trainable_variables)
