"""Where randomness outside the layers comes from: one seed, one result."""

import random

import numpy as np

from vae._keras import global_seed


def draw_seed() -> int:
    """Return a seed from Python's generator, which `keras.utils.set_random_seed` sets as well.

    From Keras's own, up to 3.12, the same call would not give the same again in one process.
    """
    return random.randrange(2**31)


def order_seed() -> int:
    """Return the seed of a run's order of images: that of `set_random_seed`, or a new one at each run."""
    seed = global_seed()
    return int(np.random.default_rng().integers(2**31)) if seed is None else seed
