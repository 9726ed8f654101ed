"""The recipe: how a model is trained that was compiled without an optimizer."""

from typing import Any, NamedTuple

import numpy as np

from vae._keras import keras


class Recipe(NamedTuple):
    """Adam, on a schedule."""

    learning_rate: float  # the highest, for models of up to so many
    weights: int  # weights; beyond, it falls with the square root of their number
    warm_up: float  # share of all steps in which the rate rises; without it some seeds diverge
    batch_size: int


# Measured on the default model and MNIST; the table is in tests/benchmarks/README.md.
RECIPE = Recipe(learning_rate=4e-3, weights=110_000, warm_up=0.04, batch_size=32)


def highest_rate(weights: int) -> float:
    """Return the highest learning rate for a model of so many weights."""
    return RECIPE.learning_rate * min(1, RECIPE.weights / weights) ** 0.5


def scheduled_rates(step: Any, total: int, highest: float = RECIPE.learning_rate) -> Any:
    """Return the learning rate at each step of `total`: a short rise, then half a cosine to 0."""
    rise = np.minimum(1, (step + 1) / max(1, RECIPE.warm_up * total))
    return highest * rise * 0.5 * (1 + np.cos(np.pi * step / total))


def sets_learning_rate(callbacks: list[Any]) -> bool:
    """Tell whether one of Keras's own learning-rate callbacks is there."""
    kinds = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
    return any(isinstance(callback, kinds) for callback in callbacks)
