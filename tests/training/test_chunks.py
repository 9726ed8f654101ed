"""How an array is cut into chunks, and in which order."""

import math

import numpy as np
import pytest
from tiny import X, fit, tiny_vae

from vae.training.chunks import CHUNK_BYTES, Chunks, steps_a_chunk


def rows_of(chunks):
    """Return the rows of all chunks, one after another; they are numbers here."""
    return np.concatenate([chunks[i][0].batches.reshape(-1) for i in range(len(chunks))]).tolist()


@pytest.mark.parametrize(("batch_size", "steps"), [(10, 3), (10, 1), (103, 5), (200, 5), (7, 100), (1, 20)])
def test_no_image_is_dropped_and_none_comes_twice(batch_size, steps):
    chunks = Chunks(np.arange(103).reshape(103, 1), batch_size, steps, seed=0)
    assert sorted(rows_of(chunks)) == list(range(103))
    assert sum(len(chunks[i][0].rates) for i in range(len(chunks))) == math.ceil(103 / batch_size)


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    def order(seed, epoch, steps=2, first_epoch=None):
        chunks = Chunks(np.arange(50).reshape(50, 1), 10, steps, seed=seed)
        if first_epoch is not None:
            chunks.set_epoch(first_epoch)
        chunks.set_epoch(epoch)
        return rows_of(chunks)

    assert order(1, 4) == order(1, 4, first_epoch=2) == order(1, 4, steps=5)
    assert order(1, 4) != order(1, 5)
    assert order(1, 4) != order(2, 4)


def test_without_shuffling_the_order_is_kept():
    assert rows_of(Chunks(np.arange(23).reshape(23, 1), 5, 2)) == list(range(23))


def test_a_run_can_be_continued_in_the_same_order():
    seen = []

    def watch(run):
        chunk = Chunks.__getitem__

        def spy(self, index):
            run.append(chunk(self, index)[0].batches[0, 0].sum())
            return chunk(self, index)

        return spy

    for first in (0, 1):
        run = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Chunks, "__getitem__", watch(run))
            model = tiny_vae()
            model.compile(steps_per_execution=2)
            fit(model, batch_size=4, epochs=3, initial_epoch=first)
        seen.append(run[-4:])  # the last two epochs of two chunks each
    assert seen[0] == seen[1]


@pytest.mark.parametrize("batch_size", [1, 16, 32, 128, 1024])
@pytest.mark.parametrize("n", [1, 100, 60_000, 600_000])
def test_chunks_are_many_an_epoch_and_small_in_memory(n, batch_size):
    steps = steps_a_chunk(n, batch_size, 784)
    assert 1 <= steps <= max(1, n // batch_size // 5)
    assert steps == 1 or steps * batch_size * 784 <= CHUNK_BYTES


def test_chunks_of_one_size_are_preferred():
    assert (60_000 // 32) % steps_a_chunk(60_000, 32, 784) == 0


def test_rates_are_counted_over_all_epochs():
    chunks = Chunks(X, 4, 3, rate=lambda step: step / 10)  # four steps an epoch
    chunks.set_epoch(2)
    rates = np.concatenate([chunks[i][0].rates for i in range(len(chunks))])
    np.testing.assert_allclose(rates, [0.8, 0.9, 1.0, 1.1])
    assert rates.dtype == np.float32
