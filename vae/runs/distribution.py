"""Several devices and several processes: `keras.distribution.DataParallel`, on JAX.

Keras shards the first axis of what it is handed, and takes for a process's share whatever that process
hands over. Of a chunk the first axis is the steps, and a wrong share goes unnoticed. So chunks are put on
the devices here: every process is given the same whole array, and reads the rows of its own devices.
"""

import contextlib
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from vae._keras import keras
from vae.backends import backend
from vae.training.chunks import Chunks

_KERAS = (3, 15)  # the first that was seen to train in several processes
_SAMPLE = 256  # so many rows stand for the data where processes compare theirs


def check_supported(model: Any) -> None:
    """Refuse what would train wrongly, in silence or in a compiler's words.

    Raises:
        ValueError: A `tf.distribute` strategy, a distribution other than `DataParallel` or on another
            backend than JAX, or a model that was built before the distribution was set.
    """
    backend.check_strategy(model)
    distribution = keras.distribution.distribution()
    if distribution is None:
        return
    if not backend.shares_batches:
        raise ValueError(f"keras.distribution works on the JAX backend only; this one is {backend.name}.")
    if not isinstance(distribution, keras.distribution.DataParallel):
        raise ValueError(
            f"the distribution must be a keras.distribution.DataParallel; got {type(distribution).__name__}."
        )
    if backend.process_count() > 1 and tuple(map(int, keras.__version__.split(".")[:2])) < _KERAS:
        # An older one copies every batch to the devices, also those that other processes hold.
        raise ValueError(
            f"several processes need Keras 3.15, and so Python 3.11; got Keras {keras.__version__}."
        )
    if not backend.lies_on(model, distribution):
        raise ValueError(
            f"model must be built after keras.distribution.set_distribution; {model.name!r} is not on the "
            "devices of the distribution."
        )


def check_batch(name: str, batch_size: int) -> None:
    """Raise a ValueError where the devices cannot share a batch evenly."""
    distribution = keras.distribution.distribution()
    count = 1 if distribution is None else distribution.device_mesh.shape[0]
    if batch_size % count:
        raise ValueError(f"{name} must be a multiple of {count}, the number of devices; got {batch_size}.")


def is_first_process() -> bool:
    """Tell whether this process is the one that reports."""
    return keras.distribution.distribution() is None or backend.process_index() == 0


def placement() -> Callable[..., Any] | None:
    """Return the function that puts a chunk on the devices, or None where there is one device."""
    distribution = keras.distribution.distribution()
    return None if distribution is None else partial(backend.put_on_devices, distribution=distribution)


@contextlib.contextmanager
def without_distribution() -> Iterator[None]:
    """Have Keras do without the distribution: what it makes in one process alone waits for the others."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        yield
        return
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


@contextlib.contextmanager
def data_left_in_place(model: Any, *data: Any) -> Iterator[None]:
    """Have Keras leave `data` where they are, if they are arrays or chunks: it would shard them wrongly.

    Raises:
        ValueError: Some are arrays or chunks and some are not.
    """
    kinds = {isinstance(part, np.ndarray | Chunks) for part in data if part is not None}
    if keras.distribution.distribution() is None or True not in kinds:
        yield
        return
    if len(kinds) > 1:
        raise ValueError(
            "x and validation_data must both be arrays, or both yield batches, where a distribution is set."
        )
    if model.optimizer is not None:  # what is made from here on would not be on all devices
        model.optimizer.build(model.trainable_variables)
        model.make_train_function()
        model.make_test_function()
    model.make_predict_function()
    with without_distribution():
        yield


def check_processes_agree(
    model: Any, x: np.ndarray, validation_data: Any, settings: tuple[Any, ...], seed: int
) -> int:
    """Check that all processes are about to do the same, and return the seed of the first.

    Raises:
        ValueError: Data, settings or weights differ; raised in every process.
    """
    if keras.distribution.distribution() is None or backend.process_count() == 1:
        return seed
    variables = [*model.variables, *model.optimizer.variables]
    mine = {
        "x": checksum_of_rows(x),
        "validation_data": checksum_of_rows(validation_data),
        f"batch_size, epochs and the like {settings}": zlib.crc32(repr(settings).encode()),
        "the model's weights": _checksum(np.asarray(variable.value) for variable in variables),
    }
    everyone = backend.gather(np.array([seed, *mine.values()], np.uint32))
    different = [name for name, column in zip(mine, everyone.T[1:], strict=True) if len(set(column)) > 1]
    if different:
        raise ValueError(
            f"all {len(everyone)} processes must be given the same; different: {', '.join(different)}. Pass "
            "the whole array in every process: each reads only the rows of its own devices."
        )
    return int(everyone[0, 0])


def checksum_of_rows(x: Any) -> int:
    """Return by what data are known again: a checksum of shape, type and some rows; 0 for no array."""
    if not isinstance(x, np.ndarray):
        return 0
    rows = np.unique(np.linspace(0, len(x) - 1, _SAMPLE).astype(int))
    return zlib.crc32(repr((x.shape, x.dtype.str)).encode(), _checksum([x[rows]]))


def _checksum(arrays: Any) -> int:
    total = 0
    for array in arrays:
        total = zlib.crc32(np.ascontiguousarray(array).tobytes(), total)
    return total
