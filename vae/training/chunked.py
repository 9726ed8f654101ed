"""The compiled training loop: many steps in one call, where Keras makes one call a step.

For small networks the calls cost more than the arithmetic. So `fit` and `evaluate` hand the model
chunks of many batches, and `train_step` and `test_step` run Keras's own step over all batches of a
chunk inside one compiled loop. The rest is Keras's: callbacks, history, metrics, validation.
Nothing here knows of VAEs. With `device` and `_distribution`, the only module whose code depends on the
backend.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from vae._checks import check_positive_int
from vae._keras import keras
from vae.backends.device import has_gpu
from vae.callbacks import AtEpochBegin, plain_verbosity, prepare_callbacks, sets_learning_rate
from vae.data import scale
from vae.runs import distribution as _distribution
from vae.runs.checkpoint import Checkpoint, describe_data, describe_model, telling_what_is_kept

CHUNK_BYTES = 4 * 2**20  # at most so much is copied and handed over at a time; Keras keeps a few in store
GPU_BYTES = 2**30  # up to so much is copied to a GPU once a run, instead of a chunk at a time
CHUNKS_AN_EPOCH = 5  # at least, so that a progress bar moves
XLA_STEPS = 1500  # about so many steps pay for the seconds that XLA takes to compile, on TensorFlow's CPU
INFERENCE_BATCH = 1024


class Recipe(NamedTuple):
    """How a model is trained that was compiled without an optimizer: by Adam, on a schedule."""

    learning_rate: float  # the highest, for models of up to so many
    weights: int  # weights; beyond, it falls with the square root of their number
    warm_up: float  # share of all steps in which the rate rises; without it some seeds diverge
    batch_size: int


# Measured on the default model and MNIST; the table is in the README.
RECIPE = Recipe(learning_rate=3e-3, weights=110_000, warm_up=0.04, batch_size=32)


class Chunk(NamedTuple):
    """Batches that one compiled call works through; the steps know a chunk by this type."""

    batches: Any  # (steps, batch_size, ...)
    rates: Any  # (steps,): a learning rate for each; read only where a schedule runs


class Chunks(keras.utils.PyDataset):
    """An array as chunks of batches, in an order that only (seed, epoch) decide.

    Args:
        x: Array of shape (n, ...), or a tensor; of a memmap, only a chunk at a time is read.
        batch_size: Rows a step.
        steps: Steps a chunk.
        seed: Of the order; None keeps the order of `x`.
        rate: The learning rates of steps, counted over all epochs; None where no schedule runs.
        distribution: The `DataParallel` on whose devices the chunks are put, if any.
    """

    def __init__(
        self,
        x: Any,
        batch_size: int,
        steps: int,
        seed: int | None = None,
        rate: Callable[[np.ndarray], np.ndarray] = np.zeros_like,
        distribution: Any = None,
    ) -> None:
        super().__init__()
        self.x, self.seed, self.rate, self.distribution = x, seed, rate, distribution
        self.batch_size = min(batch_size, len(x))
        self.steps_an_epoch = math.ceil(len(x) / self.batch_size)
        # The rows of each chunk. What fills no batch comes first and is a chunk of its own: Keras
        # looks at the first chunks to learn which sizes vary.
        full = range(len(x) % self.batch_size, len(x), steps * self.batch_size)
        self.bounds = sorted({0, *full, len(x)})
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Take the order and the learning rates of an epoch."""
        self.epoch = epoch
        self.order = None if self.seed is None else _order(len(self.x), self.seed, epoch)

    def __len__(self) -> int:
        """Return the number of chunks."""
        return len(self.bounds) - 1

    def __getitem__(self, index: int) -> tuple[Chunk]:
        """Return chunk `index` of the epoch."""
        start, stop = self.bounds[index : index + 2]
        batch_size = min(self.batch_size, stop - start)
        first = self.epoch * self.steps_an_epoch + math.ceil(start / self.batch_size)
        steps = np.arange(first, first + (stop - start) // batch_size, dtype=float)
        rates = self.rate(steps).astype(np.float32)
        if self.distribution is not None:
            order = np.arange(start, stop) if self.order is None else self.order[start:stop]
            return (
                Chunk(*_distribution.place(self.x, order.reshape(-1, batch_size), rates, self.distribution)),
            )
        images = self.x[slice(start, stop) if self.order is None else self.order[start:stop]]
        return (Chunk(images.reshape(-1, batch_size, *images.shape[1:]), rates),)

    def as_dataset(self) -> Any:
        """Return the chunks as a `tf.data.Dataset`; TensorFlow only.

        Keras would make one from a generator. But where TensorFlow builds such a dataset, it forbids
        the C library to keep large blocks of memory for reuse, and steps take twice as long for good.
        """
        import tensorflow as tf

        def read(index: Any) -> tuple[Any, ...]:
            return tuple(self[index][0])

        def chunk(index: Any) -> tuple[Chunk]:
            batches, rates = tf.numpy_function(read, [index], [self.x.dtype, tf.float32])
            batches.set_shape((None, None, *self.x.shape[1:]))
            rates.set_shape((None,))
            return (Chunk(batches, rates),)

        options = tf.data.Options()
        options.autotune.enabled = False  # there is nothing to tune, and to stop it can take seconds
        return tf.data.Dataset.range(len(self)).map(chunk).prefetch(1).with_options(options)


def _fed(x: Any) -> Any:
    """Return chunks in the form in which Keras is to be given them; anything else as it is."""
    return x.as_dataset() if isinstance(x, Chunks) and keras.backend.backend() == "tensorflow" else x


def yields_chunks(x: Any) -> bool:
    """Tell whether `x` are chunks, in either form."""
    spec = getattr(x, "element_spec", None)
    return isinstance(x, Chunks) or (isinstance(spec, tuple) and spec != () and isinstance(spec[0], Chunk))


def _order(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(n)


def steps_a_chunk(n: int, batch_size: int, bytes_a_row: int) -> int:
    """Choose the steps of a chunk: many, but a fraction of the epoch and of memory.

    A number that divides the epoch is preferred: chunks of one size are compiled only once.
    """
    steps = n // batch_size
    most = max(1, min(steps // CHUNKS_AN_EPOCH, CHUNK_BYTES // (batch_size * bytes_a_row)))
    return next((k for k in range(most, most // 2, -1) if steps % k == 0), most)


class ChunkedModel(keras.Model):
    """A Keras model whose `fit` and `evaluate` work through arrays in compiled chunks.

    `compile(steps_per_execution=...)` says how many steps make a chunk; "auto" chooses from the
    sizes. Batch callbacks fire once a chunk. What yields batches by itself (`tf.data.Dataset`,
    `PyDataset`) is worked through batch by batch, as Keras does.
    """

    # Set by Keras
    jit_compile: Any
    train_function: Any
    test_function: Any

    def compile(
        self,
        optimizer: Any = None,
        *,
        steps_per_execution: Any = "auto",
        jit_compile: Any = "auto",
        **kwargs: Any,
    ) -> None:
        """Compile as Keras does; without an optimizer, with the recipe: Adam on a schedule."""
        _distribution.check_supported(self)
        if steps_per_execution != "auto":
            check_positive_int("steps_per_execution", steps_per_execution)
        self._follows_recipe, self._scheduled = optimizer is None, False
        self._own_settings = {"steps_per_execution": steps_per_execution, "jit_compile": jit_compile}
        if optimizer is None:
            self._highest_rate = RECIPE.learning_rate * min(1, RECIPE.weights / self.count_params()) ** 0.5
            optimizer = keras.optimizers.Adam(self._highest_rate)
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        # By itself it would be built by the first step, and a file saved before would lack its variables.
        if self.built and self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def get_compile_config(self) -> dict[str, Any]:
        """Return the settings as they were given, so that a loaded model makes its own choices."""
        config = super().get_compile_config()
        if config:
            config.update(self._own_settings)
            if self._follows_recipe:
                config["optimizer"] = None
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile a loaded model as the saved one was; Keras calls this."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(
        self,
        x: Any,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        checkpoint: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train on an array, in chunks, or on what yields batches; `validation_data` likewise.

        Raises:
            ValueError: A batch size, number of epochs, split or learning rate that makes no sense, or a
                checkpoint of other settings, or damaged.
            FloatingPointError: The loss became NaN or infinite (unless `TerminateOnNaN` is there).
            OSError: A checkpoint could not be read or written.
        """
        self._check_run(batch_size)
        check_positive_int("epochs", epochs)
        batch_size = batch_size or RECIPE.batch_size
        verbose = verbose if _distribution.is_first_process() else 0
        callbacks, verbose = prepare_callbacks(callbacks, verbose)
        if validation_split and validation_data is None:
            x, validation_data = _split(x, validation_split)
        seed, shuffle = _run_seed(), bool(kwargs.get("shuffle", True))
        if checkpoint is not None:
            if kwargs.get("initial_epoch"):
                raise ValueError("initial_epoch must be left out with checkpoint=, which knows the epoch.")
            numbers = {"epochs": epochs, "batch_size": batch_size, "shuffle": shuffle}
            checkpoint = Checkpoint(checkpoint, self._settings(x, validation_data, **numbers), seed)
            seed, callbacks = checkpoint.seed, checkpoint.follow(callbacks)
            kwargs["initial_epoch"] = epochs if checkpoint.stopped else checkpoint.epochs_done
        in_chunks = isinstance(x, np.ndarray) and kwargs.get("steps_per_epoch") is None
        scheduled = self._follows_recipe and not sets_learning_rate(callbacks)
        steps = math.ceil(len(x) / batch_size) if in_chunks else 0
        self._choose_functions(scheduled and in_chunks, epochs * steps)
        if in_chunks:
            rate = self._schedule(epochs * steps) if scheduled else np.zeros_like
            first_epoch = kwargs.get("initial_epoch", 0)
            settings = (batch_size, epochs, first_epoch, shuffle, kwargs.get("validation_batch_size"))
            seed = _distribution.agree(self, x, validation_data, settings, seed)
            x = self._chunks(x, batch_size, seed=seed if shuffle else None, rate=rate)
            callbacks.insert(0, AtEpochBegin(x.set_epoch))
            kwargs.update(batch_size=None, shuffle=False)
        else:
            kwargs.update(batch_size=batch_size if isinstance(x, np.ndarray) else None)
            if scheduled:  # batches come from elsewhere: the rate moves once an epoch
                rate = self._schedule(epochs)
                callbacks.insert(0, AtEpochBegin(lambda epoch: self._set_rate(rate(epoch))))
            if not isinstance(x, np.ndarray | keras.utils.PyDataset):
                kwargs.setdefault("shuffle", False)  # a dataset brings its own order; Keras warns otherwise
        if isinstance(validation_data, np.ndarray):
            size = kwargs.pop("validation_batch_size", None) or batch_size
            validation_data = self._chunks(validation_data, size, kwargs.get("validation_steps"))
        try:
            if checkpoint is not None:
                checkpoint.restore(self)
                self._take_over_variables()
                if checkpoint.finished:
                    return checkpoint
            with _distribution.placed(self, x, validation_data), telling_what_is_kept(checkpoint):
                return super().fit(
                    _fed(x),
                    epochs=epochs,
                    verbose=verbose,
                    callbacks=callbacks,
                    validation_data=_fed(validation_data),
                    **kwargs,
                )
        finally:
            if scheduled:
                self._set_rate(self._highest_rate)  # a second fit starts a new schedule

    def _take_over_variables(self) -> None:
        """Bring what a subclass keeps beside its variables in line with those that were restored."""

    def _settings(self, x: Any, validation_data: Any, **numbers: Any) -> dict[str, Any]:
        """Return what a run and the one that resumes it must have in common."""
        return {
            **numbers,
            "seed": get_random_seed(),
            "backend": keras.backend.backend(),
            "data": describe_data(x),
            "validation_data": describe_data(validation_data),
            **describe_model(self),
        }

    def evaluate(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Evaluate on an array, in chunks, or on what yields batches."""
        self._check_run(batch_size)
        if isinstance(x, np.ndarray):
            batch_size = batch_size or RECIPE.batch_size
            _distribution.agree(self, x, None, (batch_size, steps), 0)
            x, batch_size = self._chunks(x, batch_size, steps), None
        with _distribution.placed(self, x):
            return super().evaluate(
                _fed(x), batch_size=batch_size, verbose=plain_verbosity(verbose), steps=steps, **kwargs
            )

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Predict as Keras does; where a distribution is set, arrays of any length, whole on each device."""
        with _distribution.placed(self, x):
            return super().predict(x, *args, **kwargs)

    def make_train_function(self, force: bool = False) -> Any:
        """Compile the training step; on JAX, have it wait for the one before the last."""
        fresh = force or self.train_function is None
        super().make_train_function(force)
        if fresh and keras.backend.backend() == "jax":
            self.train_function = _at_pace(self.train_function)

    def make_test_function(self, force: bool = False) -> Any:
        """Compile the evaluation step, likewise."""
        fresh = force or self.test_function is None
        super().make_test_function(force)
        if fresh and keras.backend.backend() == "jax":
            self.test_function = _at_pace(self.test_function)

    def make_predict_function(self, force: bool = False) -> Any:
        """Compile for inference without XLA on TensorFlow: sizes vary, and each would be compiled anew."""
        jit_compile = self.jit_compile
        self.jit_compile = jit_compile and keras.backend.backend() != "tensorflow"
        try:
            return super().make_predict_function(force)
        finally:
            self.jit_compile = jit_compile

    def train_step(self, *args: Any) -> Any:
        """Train on a chunk, in one compiled loop, or on a batch."""
        return self._run(super().train_step, self._scheduled, *args)

    def test_step(self, *args: Any) -> Any:
        """Evaluate a chunk, in one compiled loop, or a batch."""
        return self._run(super().test_step, False, *args)

    # One loop for each backend; all give the bits of the same steps made one by one

    def _run(self, step: Callable[..., Any], scheduled: bool, *args: Any) -> Any:
        chunk = args[-1][0] if isinstance(args[-1], tuple | list) else args[-1]
        if not isinstance(chunk, Chunk):
            return step(*args)
        loops: dict[str, Any] = {
            "tensorflow": self._loop_tensorflow,
            "jax": self._loop_jax,
            "torch": self._loop_torch,
        }
        return loops[keras.backend.backend()](step, scheduled, *args[:-1], chunk)

    def _loop_tensorflow(self, step: Callable[..., Any], scheduled: bool, chunk: Chunk) -> Any:
        import tensorflow as tf

        def body(i: Any) -> Any:
            if scheduled:
                self._set_rate(chunk.rates[i])
            step((chunk.batches[i],))
            return i + 1

        tf.while_loop(lambda i: i < tf.shape(chunk.batches)[0], body, [0])
        return self.get_metrics_result()

    def _loop_jax(self, step: Callable[..., Any], scheduled: bool, state: Any, chunk: Chunk) -> Any:
        import jax

        def one(state: Any, inputs: Any) -> tuple[Any, None]:
            batch, rate = inputs
            return step(self._with_rate(state, rate) if scheduled else state, (batch,))[1], None

        state, _ = jax.lax.scan(one, state, tuple(chunk))
        with keras.StatelessScope(state_mapping=list(zip(self.metrics_variables, state[-1], strict=True))):
            return self.get_metrics_result(), state

    def _with_rate(self, state: Any, rate: Any) -> Any:
        trainable, non_trainable, optimizer, metrics = state
        pairs = zip(self.optimizer.variables, optimizer, strict=True)
        optimizer = [rate if variable is self.optimizer.learning_rate else value for variable, value in pairs]
        return trainable, non_trainable, optimizer, metrics

    def _loop_torch(self, step: Callable[..., Any], scheduled: bool, chunk: Chunk) -> Any:
        for batch, rate in zip(*chunk, strict=True):
            if scheduled:
                self._set_rate(rate)
            logs = step((batch,))
        return logs

    # Helpers of a run

    def _chunks(self, x: np.ndarray, batch_size: int, limit: int | None = None, **order: Any) -> Chunks:
        steps = self._own_settings["steps_per_execution"]
        one_by_one = steps == "auto" and keras.backend.backend() == "jax" and self._loops_badly()
        if limit is not None or one_by_one:  # Keras counts its limits in what it is handed: here, chunks
            steps = 1
        elif steps == "auto":
            steps = steps_a_chunk(len(x), batch_size, x[0].nbytes)
        distribution = _distribution.data_parallel()
        if distribution is not None:
            _distribution.check_batch("batch_size", batch_size)
            return Chunks(x, batch_size, steps, distribution=distribution, **order)
        return Chunks(_near(x), batch_size, steps, **order)

    def _check_run(self, batch_size: Any) -> None:
        if not self.compiled:
            raise ValueError(f"model must be compiled first: call compile(); {self.name!r} is not.")
        _distribution.check_supported(self)
        if batch_size is not None:
            check_positive_int("batch_size", batch_size)
        rate: Any = getattr(self.optimizer, "learning_rate", None)
        if hasattr(rate, "assign") and not math.isfinite(float(rate)):
            raise ValueError(f"the optimizer's learning_rate must be finite; got {float(rate)}.")

    def _loops_badly(self) -> bool:
        """Tell whether XLA had better not loop over steps: on a CPU, its convolutions are then far slower."""
        return any(len(variable.shape) == 4 for variable in self.trainable_variables) and not has_gpu()

    def _schedule(self, total: int) -> Callable[[Any], Any]:
        return partial(scheduled_rates, total=total, highest=self._highest_rate)

    def _set_rate(self, rate: Any) -> None:
        self.optimizer.learning_rate.assign(rate)

    def _choose_functions(self, scheduled: bool, steps: int) -> None:
        """Have the steps compiled anew where this run needs them otherwise than the last one."""
        if scheduled != self._scheduled:
            self._scheduled, self.train_function = scheduled, None
        # "auto" means without XLA to Keras, on TensorFlow's CPU; a long run is much faster with it.
        undecided = (
            self._own_settings["jit_compile"] == "auto" and not self.jit_compile and not self.run_eagerly
        )
        on_cpu = keras.backend.backend() == "tensorflow" and not has_gpu() and not self._loops_badly()
        if undecided and on_cpu and steps >= XLA_STEPS:
            self.jit_compile, self.train_function, self.test_function = True, None, None


def _at_pace(step: Callable[..., Any]) -> Callable[..., Any]:
    """Keep JAX, which computes while Python goes on, from piling up an epoch's chunks in memory."""
    import jax

    under_way: list[Any] = []

    def paced(state: Any, iterator: Any) -> Any:
        logs, state = step(state, iterator)
        under_way.append(logs)
        if len(under_way) > 2:
            jax.block_until_ready(under_way.pop(0))
        return logs, state

    return paced


def _near(x: np.ndarray) -> Any:
    """Copy images to the GPU if there is one with room: chunks are cut out there.

    On TensorFlow they stay an array: its datasets read on the CPU, and ahead of the computation.
    """
    fits = x.nbytes <= GPU_BYTES and keras.backend.backend() != "tensorflow" and has_gpu()
    return keras.ops.convert_to_tensor(x) if fits else x


def scheduled_rates(step: Any, total: int, highest: float = RECIPE.learning_rate) -> Any:
    """Return the recipe's learning rate at each step of `total`: a short rise, then half a cosine to 0."""
    rise = np.minimum(1, (step + 1) / max(1, RECIPE.warm_up * total))
    return highest * rise * 0.5 * (1 + np.cos(np.pi * step / total))


def get_random_seed() -> int | None:
    """Return the seed that `keras.utils.set_random_seed` set; None where it was not called."""
    from keras.src.utils import rng_utils  # Keras keeps it, but exports no way to ask

    seed = rng_utils.get_random_seed()
    return None if seed is None else int(seed)


def _run_seed() -> int:
    seed = get_random_seed()
    return int(np.random.default_rng().integers(2**31)) if seed is None else seed


def _split(x: Any, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Cut the validation share off the end, as Keras does."""
    if not isinstance(x, np.ndarray):
        raise ValueError(f"validation_split needs images in an array; got {type(x).__name__}.")
    at = math.floor(len(x) * (1 - share)) if 0 < share < 1 else 0
    if not 0 < at < len(x):
        raise ValueError(
            f"validation_split must leave images on both sides, so be a share between 0 and 1; got {share!r} "
            f"for {len(x)} images."
        )
    return x[:at], x[at:]


class Inference:
    """A network compiled to compute images or points of any number, in large batches.

    A plain object, so that Keras, which saves and counts every model that it finds in an attribute,
    does not save and count the network twice.

    Args:
        network: A built `keras.Model`.
    """

    def __init__(self, network: keras.Model) -> None:
        self.network = network
        makers = {
            "tensorflow": self._compile_tensorflow,
            "jax": self._compile_jax,
            "torch": self._compile_torch,
        }
        self._compute = makers[keras.backend.backend()]()

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Return the network's outputs for all rows of its inputs, as arrays."""
        starts = range(0, len(inputs[0]), INFERENCE_BATCH)
        batches = ([scale(x[start : start + INFERENCE_BATCH]) for x in inputs] for start in starts)
        outputs = [
            [_as_float32(output)[: len(batch[0])] for output in keras.tree.flatten(self._compute(*batch))]
            for batch in batches
        ]
        return [
            np.concatenate(parts) if len(parts) > 1 else np.require(parts[0], requirements="W")
            for parts in zip(*outputs, strict=True)
        ]

    def _compute_with(self, inputs: Any) -> Any:
        return self.network(inputs[0] if len(inputs) == 1 else list(inputs))

    def _compile_tensorflow(self) -> Callable[..., Any]:
        import tensorflow as tf

        signature = [tf.TensorSpec((None, *x.shape[1:]), tf.float32) for x in self.network.inputs]
        return tf.function(lambda *inputs: self._compute_with(inputs), input_signature=signature)

    def _compile_jax(self) -> Callable[..., Any]:
        import jax

        network = self.network

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

    def _compile_torch(self) -> Callable[..., Any]:
        import torch

        @torch.no_grad()
        def compute(*inputs: np.ndarray) -> Any:
            return self._compute_with(inputs)

        return compute


def _as_float32(tensor: Any) -> np.ndarray:
    # A mixed-precision model computes in 16 bits; what leaves it is float32 all the same.
    return np.asarray(keras.ops.convert_to_numpy(tensor)).astype(np.float32, copy=False)
