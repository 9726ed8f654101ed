"""The recipe's learning rate, for as long as nobody else sets it."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

from vae._keras import keras, variables_are_at_hand
from vae._terminal import say
from vae.training.recipe import highest_rate, scheduled_rates


class Schedule:
    """Leads the rate of a model that was compiled by the recipe, and stands back once another is set.

    Attributes:
        optimizer: Of the recipe.
        leads: Whether the rate is led just now; never outside a run.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.leads = model, False
        self.highest = highest_rate(model.count_params())
        self.optimizer: Any = keras.optimizers.Adam(self.highest)
        # By `compile`, a run or a callback. Any other rate is the user's.
        self._left = float(self.optimizer.learning_rate)
        load = self.optimizer.load_own_variables

        def load_all_but_the_rate(store: Any) -> None:
            rate = float(self.optimizer.learning_rate)
            load(store)  # the file may have been written in the middle of a run
            _assign(self.optimizer, rate)

        self.optimizer.load_own_variables = load_all_but_the_rate

    def is_overruled(self) -> bool:
        """Tell whether the optimizer has another rate than this schedule, or a callback, left it with."""
        rate = self.model.optimizer.learning_rate
        return not hasattr(rate, "assign") or float(rate) != self._left

    def rates(self, steps: Any, total: int) -> Any:
        """Return the rates of steps, or of epochs, of so many in all."""
        return scheduled_rates(steps, total, self.highest)

    @contextlib.contextmanager
    def run(self, callback_sets_rate: bool) -> Iterator[None]:
        """Lead the rate within the block, unless somebody else does."""
        overruled, finished = self.is_overruled(), False
        self.leads = not overruled and not callback_sets_rate
        if not self.leads:
            _say_why(f"learning_rate is set to {self._rate():.3g}" if overruled else _CALLBACK)
        try:
            yield
            finished = True
        finally:
            if self.leads or not (finished or overruled):
                _assign(self.model.optimizer, self.highest)  # the next run starts a new schedule
            if not overruled:
                self._left = self._rate()  # a callback's stays, as in Keras
            self.leads = False

    def watch(
        self,
        callbacks: list[Any],
        begin: float | None = None,
        rate_of_epoch: Callable[[int], Any] | None = None,
        rate_after: Callable[[int], Any] | None = None,
    ) -> list[Any]:
        """Return the callbacks of a run, and around them what sees that one of them sets the rate.

        Args:
            callbacks: Of the run.
            begin: The rate at which this schedule was left, where the run goes on from a checkpoint.
            rate_of_epoch: What to set the rate to at the begin of each epoch.
            rate_after: Where the compiled step sets it: to what, after so many chunks of the epoch.
        """
        begin = self._left if begin is None else begin
        first: dict[str, Any] = {"on_train_begin": lambda logs: self._note(begin)}
        first["on_epoch_begin"] = self._look
        last: dict[str, Any] = {"on_epoch_begin": self._look, "on_train_end": self._look}
        if rate_of_epoch is not None:
            first["on_epoch_begin"] = lambda epoch, logs: self._move(rate_of_epoch(epoch))
        if rate_after is not None:
            first["on_train_batch_end"] = lambda batch, logs: self._note(rate_after(batch))
            last["on_train_batch_begin"] = self._look
        made = [keras.callbacks.LambdaCallback(**events) for events in (first, last)]
        return [made[0], *callbacks, made[1]]

    def _rate(self) -> float:
        return float(self.model.optimizer.learning_rate)

    def _note(self, rate: float) -> None:
        self._seen = rate

    def _move(self, rate: float) -> None:
        self._look()
        if self.leads:
            _assign(self.model.optimizer, rate)
            self._note(self._rate())

    def _look(self, *_: Any, **__: Any) -> None:
        if not self.leads or not variables_are_at_hand(self.model):
            return
        rate = self.model.optimizer.learning_rate
        if not hasattr(rate, "assign") or not math.isclose(float(rate), self._seen, rel_tol=1e-5):
            self.leads = False
            self.model.leave_rate()
            _say_why(_CALLBACK)


_CALLBACK = "a callback sets the learning rate"


def _assign(optimizer: Any, rate: float) -> None:
    if hasattr(optimizer.learning_rate, "assign"):  # else a schedule was put in its place
        optimizer.learning_rate.assign(rate)


def _say_why(reason: str) -> None:
    say(f"The recipe stands back: {reason}.")
