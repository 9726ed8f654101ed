"""JAX. What each method has to do is said in `contract`."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from typing import Any

import jax
import numpy as np

from vae._keras import keras
from vae.backends.contract import Backend, Chunk, Device, has_convolutions

_ALONE = threading.RLock()


class JAX(Backend):
    """Scans over steps; shares batches among devices and processes."""

    name = "jax"
    shares_batches = True

    def inspect(self) -> Device:
        names = [device.device_kind for device in jax.local_devices() if device.platform == "gpu"]
        plugins = [*distributions(name="jax-cuda12-plugin"), *distributions(name="jax-cuda13-plugin")]
        return Device(f"JAX {jax.__version__}", names, bool(plugins), "jax[cuda13]")

    def run_chunk(
        self, model: Any, step: Callable[..., Any], scheduled: bool, chunk: Chunk, *state: Any
    ) -> Any:
        def one(state: Any, inputs: Any) -> tuple[Any, None]:
            batch, rate = inputs
            return step(_with_rate(model, state, rate) if scheduled else state, (batch,))[1], None

        if len(chunk.rates) == 1:  # convolutions are slow in a scan, also in one of a single step
            end, _ = one(state[0], (chunk.batches[0], chunk.rates[0]))
        else:
            end, _ = jax.lax.scan(one, state[0], tuple(chunk))
        with keras.StatelessScope(state_mapping=list(zip(model.metrics_variables, end[-1], strict=True))):
            return model.get_metrics_result(), end

    def compile_network(self, network: keras.Model) -> Callable[..., Any]:
        @jax.jit
        def stateless(trainable: Any, rest: Any, inputs: Any) -> Any:
            return network.stateless_call(trainable, rest, inputs[0] if len(inputs) == 1 else inputs)[0]

        def compute(*inputs: np.ndarray) -> Any:
            # Every size is compiled anew: the next power of two serves many.
            extra = (1 << (len(inputs[0]) - 1).bit_length()) - len(inputs[0])
            padded = [np.pad(x, [(0, extra)] + [(0, 0)] * (x.ndim - 1)) for x in inputs]
            groups = network.trainable_variables, network.non_trainable_variables
            return stateless(*([variable.value for variable in group] for group in groups), padded)

        return compute

    def steps_alone(self, model: Any) -> bool:
        return has_convolutions(model) and not self.inspect().gpus

    def pace(self, model: Any, step: Callable[..., Any]) -> Callable[..., Any]:
        # JAX computes while Python goes on: an epoch's chunks would pile up in memory. So each call waits for
        # the one before the last.
        under_way: list[Any] = []

        def paced(state: Any, iterator: Any) -> Any:
            try:
                logs, state = step(state, iterator)
                under_way.append(logs)
                if len(under_way) > 2:
                    jax.block_until_ready(under_way.pop(0))
            except BaseException:
                _put_back(model, state)  # Keras took it out of the variables, and leaves them empty
                raise
            return logs, state

        return paced

    @contextlib.contextmanager
    def alone(self, model: Any) -> Iterator[None]:
        with _ALONE:  # Keras takes the values out of the variables meanwhile
            try:
                yield
            finally:
                model.jax_state_sync()

    def process_index(self) -> int:
        return jax.process_index()

    def process_count(self) -> int:
        return jax.process_count()

    def gather(self, numbers: np.ndarray) -> np.ndarray:
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(numbers)).reshape(-1, len(numbers))

    def lies_on(self, model: Any, distribution: Any) -> bool:
        mesh = set(distribution.device_mesh.backend_mesh.devices.flat)
        return all(variable.value.sharding.device_set == mesh for variable in model.variables)

    def put_on_devices(self, x: Any, rows: np.ndarray, rates: np.ndarray, distribution: Any) -> Chunk:
        mesh, name = distribution.device_mesh.backend_mesh, distribution.batch_dim_name
        shared = rows.shape[1] % distribution.device_mesh.shape[0] == 0
        spec = jax.sharding.PartitionSpec(None, name) if shared else jax.sharding.PartitionSpec()
        batches = jax.make_array_from_callback(
            (*rows.shape, *x.shape[1:]),
            jax.sharding.NamedSharding(mesh, spec),
            lambda index: self.read_rows(x, rows[index[:2]]),
        )
        everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        return Chunk(batches, jax.make_array_from_callback(rates.shape, everywhere, lambda i: rates[i]))

    def read_rows(self, x: Any, rows: np.ndarray) -> np.ndarray:
        return x[rows]


def _put_back(model: Any, state: Any) -> None:
    optimizer = [model.optimizer.variables] if len(state) == 4 else []
    groups = [model.trainable_variables, model.non_trainable_variables, *optimizer, model.metrics_variables]
    for variables, values in zip(groups, state, strict=True):
        for variable, value in zip(variables, values, strict=True):
            if not value.is_deleted():  # handed to a computation that failed, such as one out of memory
                variable.assign(value)
    model._jax_state_synced = True


def _with_rate(model: Any, state: Any, rate: Any) -> Any:
    trainable, non_trainable, optimizer, metrics = state
    pairs = zip(model.optimizer.variables, optimizer, strict=True)
    optimizer = [rate if variable is model.optimizer.learning_rate else value for variable, value in pairs]
    return trainable, non_trainable, optimizer, metrics


backend = JAX()
