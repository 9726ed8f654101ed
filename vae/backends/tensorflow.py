"""TensorFlow. What each method has to do is said in `contract`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from vae._keras import keras
from vae.backends.contract import Backend, Chunk, Device, has_convolutions

_XLA_STEPS = 1500  # about so many steps pay for the seconds that XLA takes to compile on a CPU


class TensorFlow(Backend):
    """Loops inside the graph."""

    name = "tensorflow"
    compiles_every_size = True

    def inspect(self) -> Device:
        devices = tf.config.list_physical_devices("GPU")
        details = tf.config.experimental.get_device_details
        names = [details(device).get("device_name", device.name) for device in devices]
        return Device(f"TensorFlow {tf.__version__}", names, tf.test.is_built_with_cuda(), "vae[gpu]")

    def run_chunk(
        self, model: Any, step: Callable[..., Any], scheduled: bool, chunk: Chunk, *state: Any
    ) -> Any:
        def body(i: Any) -> list[Any]:
            if scheduled:
                model.optimizer.learning_rate.assign(chunk.rates[i])
            step((chunk.batches[i],))
            return [i + 1]

        tf.while_loop(lambda i: i < tf.shape(chunk.batches)[0], body, [0])
        return model.get_metrics_result()

    def compile_network(self, network: keras.Model) -> Callable[..., Any]:
        signature = [tf.TensorSpec((None, *x.shape[1:]), tf.float32) for x in network.inputs]
        # Not a function made here: TensorFlow takes all of one place in the code for one, and warns of it.
        return tf.function(partial(_call, network), input_signature=signature)

    def feed(self, chunks: Any) -> tf.data.Dataset:
        # Keras would make a dataset from a generator. But where TensorFlow builds such a one, it forbids the
        # C library to keep large blocks of memory for reuse, and steps take twice as long for good.
        def read(index: Any) -> tuple[Any, ...]:
            return tuple(chunks[index][0])

        def chunk(index: Any) -> tuple[Chunk]:
            batches, rates = tf.numpy_function(read, [index], [chunks.x.dtype, tf.float32])
            batches.set_shape((None, None, *chunks.x.shape[1:]))
            rates.set_shape((None,))
            return (Chunk(batches, rates),)

        options = tf.data.Options()
        options.autotune.enabled = False  # there is nothing to tune, and to stop it can take seconds
        return tf.data.Dataset.range(len(chunks)).map(chunk).prefetch(1).with_options(options)

    def keep_near(self, x: np.ndarray) -> np.ndarray:
        return x  # datasets read on the CPU, ahead of the computation

    def pays_for_xla(self, model: Any, steps: int) -> bool:
        return steps >= _XLA_STEPS and not self.inspect().gpus and not has_convolutions(model)

    def check_strategy(self, model: Any) -> None:
        # Replicas draw the same noise, and their gradients do not add up to the right one.
        around = tf.distribute.get_strategy() if tf.distribute.has_strategy() else None
        plain = None if around else tf.distribute.get_strategy()
        for strategy in (model.distribute_strategy, around):  # the model's own, and that of this call
            if strategy in (None, plain) or isinstance(strategy, tf.distribute.OneDeviceStrategy):
                continue
            raise ValueError(
                f"tf.distribute strategies are not supported; got {type(strategy).__name__}. For several "
                "devices use the JAX backend (KERAS_BACKEND=jax) and keras.distribution.set_distribution("
                "keras.distribution.DataParallel()) before the model is built."
            )


def first_of_spec(data: tf.data.Dataset) -> tuple[tuple[int | None, ...], Any]:
    """Return the shape, unknown sizes where it is not known, and the type of the images that are yielded."""
    first = tf.nest.flatten(data.element_spec)[0]
    known = first.shape.rank is not None
    return (tuple(first.shape) if known else (None, None)), first.dtype.as_numpy_dtype


def watch_first(data: tf.data.Dataset, look: Callable[[Any], None]) -> tf.data.Dataset:
    """Return the same batches, the first of which is shown to `look` as it passes; an error ends them."""

    def see(*arrays: np.ndarray) -> np.bool_:
        look(tf.nest.pack_sequence_as(data.element_spec, arrays))
        return np.True_

    def first(batch: Any) -> Any:
        return tf.numpy_function(see, tf.nest.flatten(batch), tf.bool)

    def passed(number: Any, batch: Any) -> Any:
        seen = tf.cond(number == 0, lambda: first(batch), lambda: tf.constant(True))
        with tf.control_dependencies([seen]):  # without it, nobody would look
            return tf.nest.map_structure(tf.identity, batch)

    return data.enumerate().map(passed)


def _call(network: keras.Model, *inputs: Any) -> Any:
    return network(inputs[0] if len(inputs) == 1 else list(inputs))


backend = TensorFlow()
