"""What stands around a training run: its progress, its guard, and the learning rate of the recipe."""

import math
import sys
import time
from collections.abc import Callable
from typing import Any

from vae._keras import keras

LINES = 25  # about so many lines for a run, however many epochs it has


class EpochLog(keras.callbacks.Callback):
    """Print one plain line an epoch; of a long run, about 25 lines evenly spread.

    For notebooks and log files, where Keras's progress bar leaves thousands of control
    characters. `VAE.fit` adds it by itself where the output is no terminal.

    Example:
        >>> import numpy as np, vae
        >>> autoencoder = vae.build_autoencoder(input_dim=4, hidden_units=(), latent_dim=1)
        >>> autoencoder.compile("adam", loss=vae.reconstruction_loss)
        >>> x = np.ones((8, 4))
        >>> history = autoencoder.fit(x, x, verbose=0, callbacks=[vae.EpochLog()])  # doctest: +SKIP
        epoch 1/1   0.4 s   loss 1.020
    """

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the epoch's clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the epoch's line, if it is one of those to print."""
        epochs = self.params.get("epochs") or epoch + 1
        every = math.ceil(epochs / LINES)
        if (epoch + 1) % every and epoch not in (0, epochs - 1):
            return
        logs = logs or {}
        # The loss, then the model's other metrics in their order, then what callbacks added.
        names = dict.fromkeys(
            ["loss", *(metric.name for metric in getattr(self.model, "metrics", [])), *logs]
        )
        values = [f"{name} {_pair(name, logs)}" for name in names if name in logs and name[:4] != "val_"]
        head = f"epoch {epoch + 1:>{len(str(epochs))}}/{epochs}   {time.perf_counter() - self._start:.1f} s"
        print("   ".join([head, *values]), flush=True)


def _pair(name: str, logs: dict[str, Any]) -> str:
    validation = logs.get(f"val_{name}")
    return _number(logs[name]) + ("" if validation is None else f" (val {_number(validation)})")


def _number(value: Any) -> str:
    try:
        return f"{value:#.4g}"
    except (TypeError, ValueError):  # a callback may log anything
        return str(value)


class NonFiniteGuard(keras.callbacks.Callback):
    """Raise `FloatingPointError` at the end of an epoch whose loss or a term of it is not finite.

    It has to stand before the callbacks that write files, so that none of them replaces good
    weights with ruined ones.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the loss and each of its terms, in training and in validation."""
        logs = logs or {}
        # A sum is ruined by its terms: look at these first, so that the message names the cause.
        names = sorted((metric.name for metric in self.model.metrics), key=lambda name: name == "loss")
        for name in [*names, *(f"val_{name}" for name in names)]:
            if not math.isfinite(logs.get(name, 0.0)):
                raise FloatingPointError(
                    f"Training stopped in epoch {epoch + 1}: {name} is {logs[name]}. Look for NaN or values "
                    "outside [0, 1] in the data and for a very large beta; if there are none, a smaller "
                    "learning rate usually helps, or optimizer=keras.optimizers.Adam(clipnorm=1.0)."
                )


class AtEpochBegin(keras.callbacks.Callback):
    """Call a function with the number of each epoch that begins."""

    def __init__(self, function: Callable[[int], Any]) -> None:
        super().__init__()
        self.function = function

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Call it."""
        self.function(epoch)


def prepare_callbacks(callbacks: Any, verbose: Any) -> tuple[list[Any], Any]:
    """Return the callbacks and the verbosity for Keras's `fit`.

    The guard goes first, unless the user brought `TerminateOnNaN`. Verbosity "auto" becomes
    Keras's progress bar on a terminal and `EpochLog` elsewhere.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    callbacks = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks] if callbacks else []
    if not any(isinstance(callback, keras.callbacks.TerminateOnNaN) for callback in callbacks):
        callbacks.insert(0, NonFiniteGuard())
    if verbose == "auto":
        verbose = int(sys.stdout.isatty())
        if not verbose and not any(isinstance(callback, EpochLog) for callback in callbacks):
            callbacks.append(EpochLog())
    return callbacks, verbose


def plain_verbosity(verbose: Any) -> Any:
    """Return the verbosity for `evaluate` and `predict`: "auto" is silent where there is no terminal."""
    return int(sys.stdout.isatty()) if verbose == "auto" else verbose


def sets_learning_rate(callbacks: list[Any]) -> bool:
    """Return whether one of Keras's own learning-rate callbacks is there."""
    kinds = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
    return any(isinstance(callback, kinds) for callback in callbacks)
