"""Chunks of steps against single steps; what the loop is fed with, and what it counts."""

import keras
import numpy as np
import pytest
from tiny import BOTH, PIXELS, X, fit, tiny_autoencoder, tiny_vae

from vae.backends import backend, contract
from vae.training.chunks import Chunks

MANY = np.random.default_rng(1).random((200, PIXELS), np.float32)  # 12 batches of 16 and a rest of 8
OTHERS = np.random.default_rng(2).random((75, PIXELS), np.float32)


def train(x, steps=1, make=tiny_vae, optimizer="adam", jit=False, **options):
    model = make(seed=3)
    model.compile(optimizer, steps_per_execution=steps, jit_compile=jit)
    return model, fit(model, x, **{"batch_size": 16, "epochs": 2, **options})


@pytest.mark.parametrize(
    ("make", "optimizer", "jit"),
    [
        (tiny_vae, "adam", False),
        (tiny_vae, None, False),
        (tiny_vae, None, True),
        (tiny_autoencoder, None, False),
        pytest.param(tiny_vae, "adam", True, marks=pytest.mark.slow),
    ],
)
def test_chunks_train_as_single_steps_do(make, optimizer, jit):
    if jit and keras.backend.backend() == "torch":
        pytest.skip("with jit_compile, PyTorch makes single steps through torch.compile")
    options = {"make": make, "optimizer": optimizer, "jit": jit, "validation_data": OTHERS[:50]}
    single, one = train(MANY, 1, **options)
    chunked, many = train(MANY, 64, **options)
    for a, b in zip(single.get_weights(), chunked.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    for name in one:
        np.testing.assert_allclose(one[name], many[name], rtol=1e-4)
    assert int(single.optimizer.iterations) == int(chunked.optimizer.iterations) == 2 * 13


def test_batch_callbacks_are_called_once_a_chunk():
    calls = []
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: calls.append(batch))
    train(MANY[:160], 5, epochs=1, callbacks=[callback])
    assert calls == [0, 1]


def test_memmaps_train_and_stay_on_disk(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, MANY[:100])
    mapped = np.load(path, mmap_mode="r")
    _, one = train(mapped, "auto")
    _, other = train(MANY[:100], "auto")
    assert one == other


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="TensorFlow's datasets read on the CPU")
def test_on_a_gpu_chunks_are_cut_from_data_that_went_there_once(monkeypatch):
    x, (_, expected) = MANY[:70], train(MANY[:70], 2)
    moved, convert = [], keras.ops.convert_to_tensor
    cpu = backend.inspect()
    monkeypatch.setattr(backend, "inspect", lambda: cpu._replace(gpus=["one"]))
    monkeypatch.setattr(
        keras.ops, "convert_to_tensor", lambda x, *a, **k: moved.append(x) or convert(x, *a, **k)
    )
    assert keras.ops.is_tensor(Chunks(backend.keep_near(x), 16, 2, seed=0)[1][0].batches)
    _, history = train(x, 2)
    assert history == expected
    assert sum(isinstance(data, np.ndarray) and data.size == x.size for data in moved) == 2
    monkeypatch.setattr(contract, "GPU_BYTES", 1000)
    assert isinstance(backend.keep_near(x), np.ndarray)


@pytest.mark.parametrize("n", [1, 3, 16, 17])
def test_few_images_train(n):
    _, history = train(MANY[:n], "auto", validation_data=OTHERS[:n])
    assert np.isfinite(history["val_loss"]).all()


@pytest.mark.parametrize("make", BOTH)
def test_evaluate_in_chunks_is_evaluate_in_steps(make):
    losses = []
    for steps in (1, 7):
        model, _ = train(MANY[:20], steps, make=make)
        keras.utils.set_random_seed(0)
        losses.append(model.evaluate(OTHERS, batch_size=8))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_keras_limits_still_count_steps():
    limits = {"steps_per_epoch": 3, "validation_data": OTHERS[:64], "validation_steps": 2}
    model, history = train(MANY[:100], "auto", **limits)
    assert int(model.optimizer.iterations) == 6
    assert len(history["val_loss"]) == 2


def test_an_infinite_learning_rate_is_refused():
    model = tiny_vae()
    model.compile(keras.optimizers.Adam(float("inf")))
    with pytest.raises(ValueError, match="learning_rate must be finite"):
        model.fit(X)


@pytest.mark.parametrize("steps", [0, -1, 2.5, "many"])
def test_steps_per_execution_is_checked(steps):
    with pytest.raises(ValueError, match="steps_per_execution must be a positive"):
        tiny_vae().compile(steps_per_execution=steps)
