"""What one call of `fit` is about to do: decided, and checked, before its first step."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vae._checks import as_float, check_positive_int, check_verbose
from vae._keras import global_seed
from vae.backends import backend
from vae.callbacks import prepare_callbacks
from vae.runs.checkpoint import Checkpoint, describe_data, describe_model
from vae.runs.distribution import is_first_process
from vae.training.recipe import RECIPE, sets_learning_rate
from vae.training.seeds import order_seed


@dataclass
class Plan:
    """The arguments of `fit`, and what follows from them."""

    x: Any  # images in an array, or what yields batches of them
    validation_data: Any
    validation_split: float
    batch_size: int | None
    epochs: int  # the number of the last one
    verbose: Any
    callbacks: Any  # the user's; then a list of all that the run needs
    checkpoint: Any  # the folder of one, or None
    options: dict[str, Any]  # the other arguments of `keras.Model.fit`
    seed: int = field(init=False, default_factory=order_seed)  # of the order of the images

    def __post_init__(self) -> None:  # noqa: D105
        check_positive_int("epochs", self.epochs)
        check_verbose(self.verbose)
        if not 0 <= as_float(self.validation_split) < 1:
            got = f"{self.validation_split!r}"
            raise ValueError(f"validation_split must be a share from 0 to below 1; got {got}.")
        if self.checkpoint is not None and self.options.get("initial_epoch"):
            raise ValueError("initial_epoch must be left out with checkpoint=, which knows the epoch.")
        self.verbose = self.verbose if is_first_process() else 0
        self.epochs_done = 0
        self.has_own_callbacks = bool(self.callbacks)
        self.callbacks, self.verbose = prepare_callbacks(self.callbacks, self.verbose)
        if self.validation_split and self.validation_data is None:
            self.x, self.validation_data = _split(self.x, self.validation_split)
        self.shuffle = bool(self.options.get("shuffle", True))

    @property
    def in_chunks(self) -> bool:
        """Whether the images go in chunks; Keras counts `steps_per_epoch` in what it is handed."""
        return isinstance(self.x, np.ndarray) and self.options.get("steps_per_epoch") is None

    @property
    def steps(self) -> int:
        """How many steps the run has, as far as it is known."""
        return self.epochs * math.ceil(len(self.x) / self.images_a_step) if self.in_chunks else 0

    @property
    def images_a_step(self) -> int:
        """The batch size, that of the recipe where none was given."""
        return self.batch_size or RECIPE.batch_size

    @property
    def sets_rate(self) -> bool:
        """Whether one of Keras's callbacks sets the learning rate."""
        return sets_learning_rate(self.callbacks)

    def open_checkpoint(self, model: Any) -> Checkpoint | None:
        """Read the checkpoint, if one is asked for, and go on from its epoch."""
        if self.checkpoint is None:
            return None
        settings = {
            **{"epochs": self.epochs, "batch_size": self.images_a_step, "shuffle": self.shuffle},
            "seed": global_seed(),
            "backend": backend.name,
            "data": describe_data(self.x),
            "validation_data": describe_data(self.validation_data),
            **describe_model(model),
        }
        checkpoint = Checkpoint(self.checkpoint, settings, self.seed)
        self.seed, self.callbacks = checkpoint.seed, checkpoint.follow(self.callbacks)
        self.epochs_done = checkpoint.epochs_done
        self.options["initial_epoch"] = self.epochs if checkpoint.stopped else checkpoint.epochs_done
        return checkpoint


def _split(x: Any, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Cut the validation share off the end, as Keras does."""
    if not isinstance(x, np.ndarray):
        raise ValueError(f"validation_split needs images in an array; got {type(x).__name__}.")
    at = math.floor(len(x) * (1 - share))
    if not 0 < at < len(x):
        raise ValueError(
            f"validation_split must leave images on both sides; got {share!r} of {len(x)} images."
        )
    return x[:at], x[at:]
