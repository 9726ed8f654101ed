"""Keras's model with many steps in one call, where Keras makes one call a step.

For small networks the calls cost more than the arithmetic. So `run` and `evaluate` hand the model chunks of
many batches, and `train_step` and `test_step` make Keras's own step on all batches of a chunk, in the
compiled loop of the backend. The rest is Keras's: callbacks, history, metrics, validation.
"""

import contextlib
import math
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vae._checks import check_flag, check_path, check_positive_int
from vae._keras import keras
from vae.backends import Chunk, backend
from vae.callbacks import at_epoch_begin, counts_steps, plain_verbosity, undone_unless_finished
from vae.files.atomic import write_whole
from vae.runs.checkpoint import interruption_reported
from vae.runs.distribution import (
    check_batch,
    check_processes_agree,
    check_supported,
    data_left_in_place,
    placement,
    without_distribution,
)
from vae.training.chunks import Chunks, steps_a_chunk
from vae.training.plan import Plan
from vae.training.recipe import RECIPE
from vae.training.schedule import Schedule


class ChunkedModel(keras.Model):
    """A Keras model that works through arrays in compiled chunks, and trains by a recipe.

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
        """Choose how to train; with no arguments, by the recipe.

        The recipe is what did best for its time on the default model (tests/benchmarks/README.md has
        the table): Adam, whose learning rate `fit` raises to 4e-3 in the first steps (less for models above
        110,000 weights) and leads along half a cosine to 0, in batches of 32. It stands back, and says so,
        where you set `model.optimizer.learning_rate` or a callback does. With an optimizer of your own
        ("adam" is Adam at a constant 1e-3) the rate is yours.

        Args:
            optimizer: A Keras name or optimizer; None follows the recipe.
            steps_per_execution: Steps in a compiled chunk: "auto" (chosen from the sizes) or a number; 1
                is plain Keras.
            jit_compile: As in `keras.Model.compile`.
            **kwargs: The other arguments of `keras.Model.compile`.

        Raises:
            ValueError: `steps_per_execution` is no positive whole number.
        """
        check_supported(self)
        if steps_per_execution != "auto":
            check_positive_int("steps_per_execution", steps_per_execution)
        self._schedule, self._scheduled = Schedule(self) if optimizer is None else None, False
        self._own_settings = {"steps_per_execution": steps_per_execution, "jit_compile": jit_compile}
        if self._schedule is not None:
            optimizer = self._schedule.optimizer
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        # By itself it would be built by the first step, and a file saved before would lack its variables.
        if self.built and self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def get_compile_config(self) -> dict[str, Any]:
        """Return the settings as they were given, so that a loaded model makes its own choices."""
        config = super().get_compile_config()
        if config:
            config.update(self._own_settings)
            if self._schedule is not None and (self._schedule.leads or not self._schedule.is_overruled()):
                config["optimizer"] = None
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile a loaded model as the saved one was; Keras calls this."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    # A run

    def run(self, plan: Plan) -> keras.callbacks.History:
        """Do what a plan says: Keras's `fit`, on chunks where the images are an array."""
        self._check_ready(plan.batch_size)
        checkpoint = plan.open_checkpoint(self)
        with self._schedule.run(plan.sets_rate) if self._schedule else contextlib.nullcontext():
            x, validation_data = self._data_for_keras(plan)
            if checkpoint is not None:
                checkpoint.validation_freq = plan.options.get("validation_freq", 1)
                checkpoint.restore(self)
                if checkpoint.finished:
                    return checkpoint
            with (
                data_left_in_place(self, x, validation_data),
                interruption_reported(checkpoint),
                undone_unless_finished(plan.callbacks),
            ):
                history = super().fit(
                    _for_keras(x),
                    epochs=plan.epochs,
                    verbose=plan.verbose,
                    callbacks=plan.callbacks,
                    validation_data=_for_keras(validation_data),
                    **plan.options,
                )
                history.validation_freq = plan.options.get("validation_freq", 1)  # for `plot_loss`
                return history

    def _data_for_keras(self, plan: Plan) -> tuple[Any, Any]:
        """Return the data of a plan, as chunks where they are arrays, and set all else to them."""
        x, options = plan.x, plan.options
        schedule = self._schedule if self._schedule and self._schedule.leads else None
        self._choose_functions(schedule is not None and plan.in_chunks, plan.steps)
        if plan.in_chunks:
            named = (options.get("initial_epoch", 0), options.get("validation_batch_size"))
            settings = (plan.images_a_step, plan.epochs, plan.shuffle, *named)
            seed = check_processes_agree(self, x, plan.validation_data, settings, plan.seed)
            rate = partial(schedule.rates, total=plan.steps) if schedule else None
            one_by_one = any(map(counts_steps, plan.callbacks))  # it would count chunks
            order: dict[str, Any] = {"seed": seed if plan.shuffle else None, "rate": rate}
            x = self._chunks(x, plan.images_a_step, one_by_one=one_by_one, **order)
            if schedule and plan.has_own_callbacks:  # nobody else can set the rate, and to look takes time
                begin = x.last_rate(epoch=plan.epochs_done - 1) if plan.epochs_done else None
                plan.callbacks = schedule.watch(plan.callbacks, begin, rate_after=x.last_rate)
            plan.callbacks.insert(0, at_epoch_begin(x.set_epoch))
            options.update(batch_size=None, shuffle=False)
        else:
            options["batch_size"] = plan.images_a_step if isinstance(x, np.ndarray) else None
            if schedule:  # batches come from elsewhere: the rate moves once an epoch
                rate = partial(schedule.rates, total=plan.epochs)
                begin = rate(plan.epochs_done - 1) if plan.epochs_done else None
                plan.callbacks = schedule.watch(plan.callbacks, begin, rate_of_epoch=rate)
            if not isinstance(x, np.ndarray | keras.utils.PyDataset):
                options.setdefault("shuffle", False)  # a dataset brings its own order; Keras warns otherwise
        validation_data = plan.validation_data
        if isinstance(validation_data, np.ndarray):
            size = options.pop("validation_batch_size", None) or plan.images_a_step
            validation_data = self._chunks(validation_data, size, options.get("validation_steps"))
        return x, validation_data

    def evaluate(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Evaluate on an array, in chunks, or on what yields batches."""
        self._check_ready(batch_size)
        if isinstance(x, np.ndarray):
            batch_size = batch_size or RECIPE.batch_size
            check_processes_agree(self, x, None, (batch_size, steps), 0)
            x, batch_size = self._chunks(x, batch_size, steps), None
        verbose = plain_verbosity(verbose)
        with backend.alone(self), data_left_in_place(self, x):
            return super().evaluate(
                _for_keras(x), batch_size=batch_size, verbose=verbose, steps=steps, **kwargs
            )

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Predict as Keras does; where a distribution is set, arrays of any length, whole on each device."""
        with backend.alone(self), data_left_in_place(self, x):
            return super().predict(x, *args, **kwargs)

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
        """Write the model to a `.keras` file, as `keras.Model.save` does; all of it, or nothing.

        Args:
            filepath: Where to; a name that ends in `.keras`. Folders above it are made.
            overwrite: Whether a file that is there may be replaced.

        Raises:
            ValueError: `filepath` has another suffix: the old `.h5` format could not be loaded again. Or the
                model has a function of your own that is not registered with Keras.
            TypeError: `filepath` is neither a string nor a path object.
            FileExistsError: There is a file, and `overwrite` is False.
            OSError: The file could not be written; what was there is whole.
        """
        path = Path(check_path("filepath", filepath))
        if path.suffix != ".keras":
            raise ValueError(f"filepath must end in .keras; got {str(path)!r}.")
        if path.exists() and not check_flag("overwrite", overwrite):
            raise FileExistsError(f"filepath must be new where overwrite is False; {str(path)!r} is there.")
        with without_distribution(), tempfile.TemporaryDirectory() as folder:
            whole = Path(folder, "model.keras")
            super().save(whole)
            write_whole(path, whole.read_bytes())

    # The compiled functions

    def make_train_function(self, force: bool = False) -> Any:
        """Compile the training step, which the backend keeps from running ahead without bounds."""
        fresh = force or self.train_function is None
        super().make_train_function(force)
        if fresh:
            self.train_function = backend.pace(self, self.train_function)

    def make_test_function(self, force: bool = False) -> Any:
        """Compile the evaluation step, likewise."""
        fresh = force or self.test_function is None
        super().make_test_function(force)
        if fresh:
            self.test_function = backend.pace(self, self.test_function)

    def make_predict_function(self, force: bool = False) -> Any:
        """Compile for inference, without XLA where each size of a batch would be compiled anew."""
        jit_compile = self.jit_compile
        self.jit_compile = jit_compile and not backend.compiles_every_size
        try:
            return super().make_predict_function(force)
        finally:
            self.jit_compile = jit_compile

    def train_step(self, *args: Any) -> Any:
        """Train on a chunk, in one compiled loop, or on a batch."""
        return self._step_through(super().train_step, self._scheduled, *args)

    def test_step(self, *args: Any) -> Any:
        """Evaluate a chunk, in one compiled loop, or a batch."""
        return self._step_through(super().test_step, False, *args)

    def _step_through(self, step: Callable[..., Any], scheduled: bool, *args: Any) -> Any:
        *state, data = args  # the state stands before the data on JAX
        chunk = data[0] if isinstance(data, tuple | list) else data
        if isinstance(chunk, Chunk):
            return backend.run_chunk(self, step, scheduled, chunk, *state)
        return step(*args)

    def _choose_functions(self, scheduled: bool, steps: int) -> None:
        """Have the steps compiled anew where this run needs them otherwise than the last one."""
        if scheduled != self._scheduled:
            self._scheduled, self.train_function = scheduled, None
        automatic = self._own_settings["jit_compile"] == "auto" and not self.run_eagerly
        if automatic and not self.jit_compile and backend.pays_for_xla(self, steps):
            self.jit_compile, self.train_function, self.test_function = True, None, None

    def leave_rate(self) -> None:
        """Have a training step compiled, from here on, that sets no learning rate."""
        self._scheduled = False
        self.make_train_function(force=True)

    # Helpers of a run

    def _chunks(
        self,
        x: np.ndarray,
        batch_size: int,
        limit: int | None = None,
        one_by_one: bool = False,
        **order: Any,
    ) -> Chunks:
        steps, place = self._own_settings["steps_per_execution"], placement()
        automatic = steps == "auto"
        if one_by_one or limit is not None or (automatic and backend.steps_alone(self)):
            steps = 1  # Keras counts its limits in what it is handed: here, chunks
        elif automatic:
            steps = steps_a_chunk(len(x), batch_size, x[0].nbytes)
        check_batch("batch_size", batch_size)
        return Chunks(x if place else backend.keep_near(x), batch_size, steps, place=place, **order)

    def _check_ready(self, batch_size: Any) -> None:
        if not self.compiled:
            raise ValueError(f"model must be compiled first: call compile(); {self.name!r} is not.")
        check_supported(self)
        if batch_size is not None:
            check_positive_int("batch_size", batch_size)
        rate: Any = getattr(self.optimizer, "learning_rate", None)
        if hasattr(rate, "assign") and not math.isfinite(float(rate)):
            raise ValueError(f"the optimizer's learning_rate must be finite; got {float(rate)}.")


def _for_keras(x: Any) -> Any:
    return backend.feed(x) if isinstance(x, Chunks) else x
