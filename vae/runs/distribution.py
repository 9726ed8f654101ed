"""Several devices and several processes: `keras.distribution.DataParallel`, on JAX.

Keras shards the first axis of what it is handed, and takes for a process's share whatever that process
hands over. Of a chunk the first axis is the steps, and a wrong share goes unnoticed. So chunks are put on
the devices here: every process is given the same whole array, and reads the rows of its own devices.
"""

import contextlib
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from vae._keras import keras

_KERAS = (3, 15)  # the first that was seen to train in several processes
SAMPLE = 256  # so many rows stand for the data where processes compare theirs
_USE_JAX = (
    "For several devices use the JAX backend (KERAS_BACKEND=jax) and "
    "keras.distribution.set_distribution(keras.distribution.DataParallel()) before the model is built."
)


def data_parallel() -> Any:
    """Return the distribution that is set, or None."""
    return keras.distribution.distribution()


def check_supported(model: Any) -> None:
    """Refuse what would train wrongly, in silence or in a compiler's words.

    Raises:
        ValueError: A `tf.distribute` strategy, a distribution other than `DataParallel` or on another
            backend than JAX, or a model that was built before the distribution was set.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        _check_strategy(model)
    distribution = data_parallel()
    if distribution is None:
        return
    if backend != "jax":
        raise ValueError(f"keras.distribution works on JAX only; the backend is {backend}. {_USE_JAX}")
    if not isinstance(distribution, keras.distribution.DataParallel):
        raise ValueError(
            f"the distribution must be a keras.distribution.DataParallel; got {type(distribution).__name__}."
        )
    if _jax().process_count() > 1 and tuple(map(int, keras.__version__.split(".")[:2])) < _KERAS:
        # An older one copies every batch to the devices, also those that other processes hold.
        raise ValueError(
            f"several processes need Keras 3.15, and so Python 3.11; got Keras {keras.__version__}."
        )
    mesh = set(distribution.device_mesh.backend_mesh.devices.flat)
    if any(variable.value.sharding.device_set != mesh for variable in model.variables):
        raise ValueError(
            f"model must be built after keras.distribution.set_distribution; {model.name!r} is not on the "
            f"{len(mesh)} devices of the distribution."
        )


def _check_strategy(model: Any) -> None:
    import tensorflow as tf

    # The one that the model was built in, and the one around this call
    around = tf.distribute.get_strategy() if tf.distribute.has_strategy() else None
    for strategy in (model._distribute_strategy, around):
        if strategy is not None and not isinstance(strategy, tf.distribute.OneDeviceStrategy):
            # Its replicas would draw the same noise, and their gradients would not add up to the right one.
            raise ValueError(
                f"tf.distribute strategies are not supported; got {type(strategy).__name__}. {_USE_JAX}"
            )


def check_batch(name: str, batch_size: int) -> None:
    """Raise a ValueError where the devices cannot share a batch evenly."""
    distribution = data_parallel()
    count = 1 if distribution is None else _shards(distribution)
    if batch_size % count:
        raise ValueError(f"{name} must be a multiple of {count}, the number of devices; got {batch_size}.")


def _shards(distribution: Any) -> int:
    return distribution.device_mesh.shape[0]


def _jax() -> Any:
    import jax  # only where a distribution is set, which means on JAX

    return jax


def is_first_process() -> bool:
    """Tell whether this process is the one that reports."""
    return data_parallel() is None or _jax().process_index() == 0


def place(x: Any, rows: np.ndarray, rates: np.ndarray, distribution: Any) -> tuple[Any, Any]:
    """Return rows of `x`, an array (steps, batch_size), and the rates, as arrays on all devices.

    Each device gets its part of every batch; a rest that cannot be shared evenly goes to all of them.
    """
    import jax

    mesh, name = distribution.device_mesh.backend_mesh, distribution.batch_dim_name
    shared = rows.shape[1] % _shards(distribution) == 0
    spec = jax.sharding.PartitionSpec(None, name) if shared else jax.sharding.PartitionSpec()
    batches = jax.make_array_from_callback(
        (*rows.shape, *x.shape[1:]),
        jax.sharding.NamedSharding(mesh, spec),
        lambda index: _read(x, rows[index[:2]]),
    )
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    return batches, jax.make_array_from_callback(rates.shape, everywhere, lambda index: rates[index])


def _read(x: Any, rows: np.ndarray) -> np.ndarray:
    return x[rows]


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Have Keras do without the distribution: what it makes in one process alone waits for the others."""
    distribution = data_parallel()
    if distribution is None:
        yield
        return
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


@contextlib.contextmanager
def placed(model: Any, *data: Any) -> Iterator[None]:
    """Have Keras leave `data` where they are, if they are arrays or chunks: it would shard them wrongly.

    Raises:
        ValueError: Some are arrays or chunks and some are not.
    """
    distribution = data_parallel()
    kinds = {
        isinstance(part, np.ndarray) or hasattr(part, "distribution") for part in data if part is not None
    }
    if distribution is None or True not in kinds:
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
    with alone():
        yield


def agree(model: Any, x: np.ndarray, validation_data: Any, settings: tuple[Any, ...], seed: int) -> int:
    """Check that all processes are about to do the same, and return the seed of the first.

    Raises:
        ValueError: Data, settings or weights differ; raised in every process.
    """
    if data_parallel() is None or _jax().process_count() == 1:
        return seed
    from jax.experimental import multihost_utils

    variables = [*model.variables, *model.optimizer.variables]
    mine = {
        "x": checksum_of_rows(x),
        "validation_data": checksum_of_rows(validation_data),
        f"batch_size, epochs and the like {settings}": zlib.crc32(repr(settings).encode()),
        "the model's weights": _checksum(np.asarray(variable.value) for variable in variables),
    }
    numbers = np.array([seed, *mine.values()], np.uint32)
    everyone = np.asarray(multihost_utils.process_allgather(numbers)).reshape(-1, len(numbers))
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
    rows = np.unique(np.linspace(0, len(x) - 1, SAMPLE).astype(int))
    return zlib.crc32(repr((x.shape, x.dtype.str)).encode(), _checksum([x[rows]]))


def _checksum(arrays: Any) -> int:
    total = 0
    for array in arrays:
        total = zlib.crc32(np.ascontiguousarray(array).tobytes(), total)
    return total
