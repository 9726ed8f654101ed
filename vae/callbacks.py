"""What stands around a training run: its progress, its guard, a warm-up of beta, a film."""

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from vae._checks import check_images, check_labels, check_non_negative, check_positive, check_positive_int
from vae._keras import keras
from vae._terminal import bars_are_possible, on_terminal, say
from vae.data import to_uint8

LINES = 25  # about so many lines for a run, however many epochs it has


class EpochLog(keras.callbacks.Callback):
    """Print one plain line an epoch; of a long run, about 25 lines evenly spread.

    For notebooks and log files, where Keras's progress bar leaves thousands of control
    characters. `VAE.fit` adds it by itself where the output is no terminal; it serves any Keras model.

    Example:
        >>> import keras, numpy as np, vae
        >>> model = keras.Sequential([keras.layers.Dense(1)])
        >>> model.compile("adam", loss="mse")
        >>> log = vae.EpochLog()
        >>> history = model.fit(np.ones((8, 4)), np.ones(8), verbose=0, callbacks=[log])  # doctest: +SKIP
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
        say("   ".join([head, *values]))


def _pair(name: str, logs: dict[str, Any]) -> str:
    validation = logs.get(f"val_{name}")
    return _number(logs[name]) + ("" if validation is None else f" (val {_number(validation)})")


def _number(value: Any) -> str:
    try:
        return f"{value:#.4g}"
    except (TypeError, ValueError):  # a callback may log anything
        return str(value)


class BetaWarmUp(keras.callbacks.Callback):
    """Raise a VAE's beta from a small part to the whole over the first epochs.

    With the KL term weak at first, latent dimensions are taken into use before it can switch them off
    (Bowman et al. 2016, arXiv 1511.06349, section 3.1; Soenderby et al. 2016, arXiv 1602.02282). Epoch
    i of the `epochs` of the warm-up trains at beta * i / epochs, counted from 1; all later ones at
    beta. Losses of epochs with different beta do not compare: look at their terms.

    Args:
        epochs: Length of the warm-up.
        beta: What to end at; None takes the model's own beta, as it is when `fit` begins.

    Raises:
        ValueError: `epochs` is no positive whole number, or `beta` negative or not finite.

    Example:
        >>> import numpy as np, vae
        >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder(), beta=2.0)
        >>> model.compile()
        >>> images = np.zeros((8, 784))
        >>> history = model.fit(images, epochs=3, verbose=0, callbacks=[vae.BetaWarmUp(2)])
        >>> model.beta
        2.0
    """

    needs_term = "kl_loss"

    def __init__(self, epochs: int, beta: float | None = None) -> None:
        super().__init__()
        self.epochs = check_positive_int("epochs", epochs)
        self.beta = None if beta is None else check_non_negative("beta", beta)
        self._before: Any = None  # while a run goes on: the model's beta at its begin, and where to end
        self._goal: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Note where to end, and warn of a run that is too short to get there."""
        self._before = self.model.beta
        self._goal = self._before if self.beta is None else self.beta
        if (self.params.get("epochs") or self.epochs) < self.epochs:
            warnings.warn(
                f"BetaWarmUp takes {self.epochs} epochs, but training ends after {self.params['epochs']}: "
                "the model never trains at its full beta.",
                stacklevel=2,
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the epoch's beta."""
        self.model.beta = self._goal * min(1.0, (epoch + 1) / self.epochs)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Leave the full beta, also where training stopped early."""
        self.model.beta = self._goal
        self._before = self._goal = None  # or a checkpoint of the next run would not see them change

    def undo(self) -> None:
        """Set beta as it was before a run that broke off, so that the same call means the same again."""
        if self._before is not None:  # else the run had not begun, or has ended
            self.model.beta = self._before
        self._before = self._goal = None


class TrainingFilm(keras.callbacks.Callback):
    """Record, before training and after each epoch, the latent plane and a grid of decoded points.

    `plot_training_film` shows what it recorded. For a `VAE` of two latent dimensions.

    Args:
        x: Images to follow; 1,000 to 2,000 show the plane well.
        labels: One label an image, or None.
        n: Points along each side of the grid.
        limit: The grid reaches from -limit to limit in both dimensions.
        every: Epochs from one frame to the next; None for many frames at first, when most happens, and
            fewer later: after 1, 2, 3, 4, 5, 6, 8, 10, 13 epochs and so on, and after the last.

    Attributes:
        epochs: Number of the epoch of each frame; 0 is the untrained model.
        z_mean: Of each frame, float32, shape (images, 2).
        grids: Of each frame, the decoded grid, uint8, shape (n * n, ...), its first row at the top.
        losses: Of each frame; None before training.

    Raises:
        ValueError: `n` or `every` is no positive whole number, `limit` not above 0, or images or
            labels of a wrong shape or range.
        TypeError: Images of a type other than uint8 or float.

    Example:
        >>> import vae
        >>> digits = vae.load_digits()
        >>> model = vae.VAE(vae.build_encoder(), vae.build_decoder())
        >>> model.compile()
        >>> film = vae.TrainingFilm(digits.x_test, digits.y_test, n=5)
        >>> history = model.fit(digits.x_train, epochs=2, verbose=0, callbacks=[film])
        >>> film.epochs
        [0, 1, 2]
    """

    needs_term = "kl_loss"

    def __init__(
        self, x: Any, labels: Any = None, *, n: int = 12, limit: float = 2.5, every: int | None = 1
    ) -> None:
        super().__init__()
        self.x = check_images("x", x)
        self.labels = None if labels is None else check_labels("labels", labels, len(self.x))
        self.n, self.limit = check_positive_int("n", n), check_positive("limit", limit)
        self.every = None if every is None else check_positive_int("every", every)
        self.epochs: list[int] = []
        self.z_mean: list[np.ndarray] = []
        self.grids: list[np.ndarray] = []
        self.losses: list[float | None] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Record the model as it is before training, unless a film is being continued."""
        if not self.epochs:
            self._record(0, None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record a frame, if it is one's turn."""
        done = epoch + 1
        if self.every is None:
            turn = done >= max(self.epochs[-1] + 1, round(1.3 * self.epochs[-1]))
            turn = turn or done == self.params.get("epochs")
        else:
            turn = done % self.every == 0
        if turn:
            self._record(done, (logs or {}).get("loss"))

    def _record(self, epoch: int, loss: float | None) -> None:
        latent_dim = self.model.decoder.input_shape[-1]
        if latent_dim != 2:
            raise ValueError(f"TrainingFilm must have a model of 2 latent dimensions; got {latent_dim}.")
        across, up = np.meshgrid(*2 * [np.linspace(-self.limit, self.limit, self.n)])
        points = np.stack([across, up[::-1]], axis=-1).reshape(-1, 2)
        self.epochs.append(epoch)
        self.z_mean.append(self.model.encode(self.x)[0])
        self.grids.append(to_uint8(self.model.decode(points)))
        self.losses.append(loss)


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


def at_epoch_begin(function: Callable[[int], Any]) -> keras.callbacks.Callback:
    """Return a callback that calls a function with the number of each epoch that begins."""
    return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: function(epoch))


def check_callbacks(callbacks: Any, terms: Iterable[str]) -> None:
    """Refuse what is no callback, one for another model, and one that would stop the run after an epoch.

    Of a term of the loss Keras cannot tell that lower is better, and says so only when it looks.
    """
    names = {f"{prefix}{term}" for term in terms for prefix in ("", "val_")}
    for callback in _as_list(callbacks):
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(f"callbacks must be Keras callbacks; got {callback!r}.")
        kind, monitor = type(callback).__name__, getattr(callback, "monitor", None)
        if getattr(callback, "needs_term", None) not in (None, *terms):
            raise ValueError(
                f"callbacks: {kind} is for a model with a {callback.needs_term}, such as vae.VAE."
            )
        if getattr(callback, "mode", None) == "auto" and monitor in names:
            raise ValueError(
                f'callbacks: {kind}(monitor="{monitor}") must be given mode="min": lower is better.'
            )


def prepare_callbacks(callbacks: Any, verbose: Any) -> tuple[list[Any], Any]:
    """Return the callbacks and the verbosity for Keras's `fit`.

    The guard goes first, unless the user brought `TerminateOnNaN`. Verbosity "auto" becomes
    Keras's progress bar on a terminal and `EpochLog` elsewhere; so does any where Keras could not print.
    """
    callbacks = _as_list(callbacks)
    if not any(isinstance(callback, keras.callbacks.TerminateOnNaN) for callback in callbacks):
        callbacks.insert(0, NonFiniteGuard())
    if verbose == "auto" or (verbose and not bars_are_possible()):
        verbose = int(on_terminal())
        if not verbose and not any(isinstance(callback, EpochLog) for callback in callbacks):
            callbacks.append(EpochLog())
    return callbacks, verbose


def counts_steps(callback: Any) -> bool:
    """Tell whether a callback acts every so many steps, such as `ModelCheckpoint(save_freq=100)`."""
    return any(isinstance(getattr(callback, name, None), int) for name in ("save_freq", "update_freq"))


def plain_verbosity(verbose: Any) -> Any:
    """Return the verbosity for `evaluate` and `predict`: "auto" is silent where there is no terminal."""
    return int(on_terminal()) if verbose == "auto" else verbose if bars_are_possible() else 0


@contextlib.contextmanager
def undone_unless_finished(callbacks: list[Any]) -> Iterator[None]:
    """Where a run breaks off, call `undo` of the callbacks that have one: Keras calls nothing then."""
    try:
        yield
    finally:
        for callback in callbacks:
            if hasattr(callback, "undo"):
                callback.undo()


def _as_list(callbacks: Any) -> list[Any]:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    if isinstance(callbacks, list | tuple):
        return list(callbacks)
    return [] if callbacks is None else [callbacks]
