"""An array as chunks of batches, in an order that only a seed and the number of the epoch decide."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from vae._keras import keras
from vae.backends import Chunk

CHUNK_BYTES = 16 * 2**20  # at most so much is copied and handed over at a time; Keras keeps a few in store
CHUNKS_AN_EPOCH = 5  # at least, so that a progress bar moves


class Chunks(keras.utils.PyDataset):
    """An array as chunks of batches.

    Args:
        x: Array of shape (n, ...), or a tensor; of a memmap, only a chunk at a time is read.
        batch_size: Rows a step.
        steps: Steps a chunk.
        seed: Of the order; None keeps the order of `x`.
        rate: The learning rates of steps, counted over all epochs; None where no schedule runs.
        place: Puts rows of `x`, an array (steps, batch_size), and the rates on several devices.
    """

    def __init__(
        self,
        x: Any,
        batch_size: int,
        steps: int,
        seed: int | None = None,
        rate: Callable[[np.ndarray], np.ndarray] | None = None,
        place: Callable[[Any, np.ndarray, np.ndarray], Chunk] | None = None,
    ) -> None:
        super().__init__()
        self.x, self.seed, self.rate, self.place = x, seed, rate or np.zeros_like, place
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
        if self.seed is None:
            self.order = None
        else:
            self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.x))

    def __len__(self) -> int:
        """Return the number of chunks."""
        return len(self.bounds) - 1

    def last_rate(self, index: int = -1, epoch: int | None = None) -> float:
        """Return the learning rate of the last step of a chunk, in this epoch or another."""
        last = math.ceil(self.bounds[1:][index] / self.batch_size) - 1
        return float(self.rate((self.epoch if epoch is None else epoch) * self.steps_an_epoch + last))

    def __getitem__(self, index: int) -> tuple[Chunk]:
        """Return chunk `index` of the epoch."""
        start, stop = self.bounds[index : index + 2]
        batch_size = min(self.batch_size, stop - start)
        first = self.epoch * self.steps_an_epoch + math.ceil(start / self.batch_size)
        steps = np.arange(first, first + (stop - start) // batch_size, dtype=float)
        rates = self.rate(steps).astype(np.float32)
        if self.place is not None:
            order = np.arange(start, stop) if self.order is None else self.order[start:stop]
            return (self.place(self.x, order.reshape(-1, batch_size), rates),)
        images = self.x[slice(start, stop) if self.order is None else self.order[start:stop]]
        return (Chunk(images.reshape(-1, batch_size, *images.shape[1:]), rates),)


def yields_chunks(x: Any) -> bool:
    """Tell whether `x` are chunks, also in the form that a backend gave them."""
    spec = getattr(x, "element_spec", None)
    return isinstance(x, Chunks) or (isinstance(spec, tuple) and spec != () and isinstance(spec[0], Chunk))


def steps_a_chunk(n: int, batch_size: int, bytes_a_row: int) -> int:
    """Choose the steps of a chunk: many, but a fraction of the epoch and of memory.

    A number that divides the epoch is preferred: chunks of one size are compiled only once.
    """
    steps = n // batch_size
    most = max(1, min(steps // CHUNKS_AN_EPOCH, CHUNK_BYTES // (batch_size * bytes_a_row)))
    return next((k for k in range(most, most // 2, -1) if steps % k == 0), most)
