"""Chunks against single steps, the order of the images, the recipe, and what the loop is fed with."""

import math

import keras
import numpy as np
import pytest

import vae
from vae.training import chunked as training
from vae.training.chunked import CHUNK_BYTES, RECIPE, Chunks, Inference, scheduled_rates, steps_a_chunk


def train(x, steps=1, seed=3, optimizer="adam", jit=False, **options):
    keras.utils.set_random_seed(seed)
    model = vae.VAE(vae.build_encoder(784, (16,)), vae.build_decoder(2, (16,)))
    model.compile(optimizer, steps_per_execution=steps, jit_compile=jit)
    history = model.fit(x, **{"batch_size": 16, "epochs": 2, "verbose": 0, **options}).history
    return model, history


# Chunks


@pytest.mark.parametrize(
    ("optimizer", "jit"),
    [("adam", False), (None, False), (None, True), pytest.param("adam", True, marks=pytest.mark.slow)],
)
def test_chunks_train_as_single_steps_do(digits, optimizer, jit):
    if jit and keras.backend.backend() == "torch":
        pytest.skip("PyTorch runs its steps eagerly here")
    x = digits.x_train[:200]  # 12 batches of 16 and a rest of 8
    single, one = train(x, 1, optimizer=optimizer, jit=jit, validation_data=digits.x_test[:50])
    chunked, many = train(x, 64, optimizer=optimizer, jit=jit, validation_data=digits.x_test[:50])
    for a, b in zip(single.get_weights(), chunked.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
    for name in one:
        np.testing.assert_allclose(one[name], many[name], rtol=1e-4)
    assert int(single.optimizer.iterations) == int(chunked.optimizer.iterations) == 2 * 13


def test_no_image_is_dropped_and_none_comes_twice():
    x = np.arange(103).reshape(103, 1)
    for batch_size, steps in ((10, 3), (10, 1), (103, 5), (200, 5), (7, 100), (1, 20)):
        chunks = Chunks(x, batch_size, steps, seed=0)
        seen = [chunks[i][0].batches.reshape(-1) for i in range(len(chunks))]
        assert sorted(np.concatenate(seen)) == list(range(103))
        assert sum(len(chunks[i][0].rates) for i in range(len(chunks))) == math.ceil(103 / batch_size)


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    x = np.arange(50).reshape(50, 1)

    def order(seed, epoch, steps=2, first_epoch=None):
        chunks = Chunks(x, 10, steps, seed=seed)
        if first_epoch is not None:
            chunks.set_epoch(first_epoch)
        chunks.set_epoch(epoch)
        return np.concatenate([chunks[i][0].batches.reshape(-1) for i in range(len(chunks))]).tolist()

    assert order(1, 4) == order(1, 4, first_epoch=2) == order(1, 4, steps=5)
    assert order(1, 4) != order(1, 5)
    assert order(1, 4) != order(2, 4)


def test_a_run_can_be_continued_in_the_same_order(digits):
    seen = []

    def watch(run):
        chunk = Chunks.__getitem__

        def spy(self, index):
            run.append(chunk(self, index)[0].batches[0, 0].sum())
            return chunk(self, index)

        return spy

    x = digits.x_train[:64]
    for first in (0, 1):
        run = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Chunks, "__getitem__", watch(run))
            train(x, 2, epochs=3, initial_epoch=first)
        seen.append(run[-4:])  # the last two epochs of two chunks each
    assert seen[0] == seen[1]


def test_without_shuffling_the_order_is_kept():
    chunks = Chunks(np.arange(23).reshape(23, 1), 5, 2)
    assert np.concatenate([chunks[i][0].batches.reshape(-1) for i in range(len(chunks))]).tolist() == list(
        range(23)
    )


@pytest.mark.parametrize("batch_size", [1, 16, 32, 128, 1024])
@pytest.mark.parametrize("n", [1, 100, 60_000, 600_000])
def test_chunks_are_many_an_epoch_and_small_in_memory(n, batch_size):
    steps = steps_a_chunk(n, batch_size, 784)
    assert 1 <= steps <= max(1, n // batch_size // 5)
    assert steps == 1 or steps * batch_size * 784 <= CHUNK_BYTES


def test_chunks_of_one_size_are_preferred():
    assert (60_000 // 32) % steps_a_chunk(60_000, 32, 784) == 0


def test_batch_callbacks_are_called_once_a_chunk(digits):
    calls = []
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: calls.append(batch))
    train(digits.x_train[:160], 5, epochs=1, callbacks=[callback])
    assert calls == [0, 1]


def test_memmaps_train_and_stay_on_disk(digits, tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, digits.x_train[:100])
    mapped = np.load(path, mmap_mode="r")
    _, one = train(mapped, "auto")
    _, other = train(digits.x_train[:100], "auto")
    assert one == other


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="TensorFlow's datasets read on the CPU")
def test_on_a_gpu_chunks_are_cut_from_data_that_went_there_once(digits, monkeypatch):
    x, (_, expected) = digits.x_train[:70], train(digits.x_train[:70], 2)
    moved, convert = [], keras.ops.convert_to_tensor
    monkeypatch.setattr(training, "has_gpu", lambda: True)
    monkeypatch.setattr(
        keras.ops, "convert_to_tensor", lambda x, *a, **k: moved.append(x) or convert(x, *a, **k)
    )
    assert keras.ops.is_tensor(Chunks(training._near(x), 16, 2, seed=0)[1][0].batches)
    _, history = train(x, 2)
    assert history == expected
    assert sum(isinstance(data, np.ndarray) and data.size == x.size for data in moved) == 2
    monkeypatch.setattr(training, "GPU_BYTES", 1000)
    assert isinstance(training._near(x), np.ndarray)


@pytest.mark.parametrize("n", [1, 3, 16, 17])
def test_few_images_train(digits, n):
    _, history = train(digits.x_train[:n], "auto", validation_data=digits.x_test[:n])
    assert np.isfinite(history["val_loss"]).all()


def test_evaluate_in_chunks_is_evaluate_in_steps(digits):
    losses = []
    for steps in (1, 7):
        model, _ = train(digits.x_train[:20], steps)
        keras.utils.set_random_seed(0)
        losses.append(model.evaluate(digits.x_test[:75], batch_size=8))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_keras_limits_still_count_steps(digits):
    model, history = train(
        digits.x_train[:100],
        "auto",
        steps_per_epoch=3,
        validation_data=digits.x_test[:64],
        validation_steps=2,
    )
    assert int(model.optimizer.iterations) == 6
    assert len(history["val_loss"]) == 2


# The recipe


def rates_of(model, x, **options):
    rates = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: rates.append(float(model.optimizer.learning_rate))
    )
    model.fit(x, verbose=0, callbacks=[note, *options.pop("callbacks", [])], **options)
    return np.array(rates)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX writes the rate back once an epoch")
def test_the_recipe_follows_a_half_cosine_step_by_step_and_starts_anew(model, images):
    model.compile(steps_per_execution=1)
    for _ in range(2):
        rates = rates_of(model, images, epochs=2, batch_size=4)
        expected = scheduled_rates(np.arange(8), 8)
        np.testing.assert_allclose(rates, expected, rtol=1e-5)
        assert float(model.optimizer.learning_rate) == pytest.approx(RECIPE.learning_rate)


def test_the_recipe_stands_back_for_a_learning_rate_callback(model, images):
    model.compile()
    history = model.fit(
        images,
        epochs=2,
        verbose=0,
        callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))],
    ).history
    np.testing.assert_allclose(history["learning_rate"], [0.01, 0.005], rtol=1e-5)


def test_an_own_optimizer_keeps_its_rate(model, images):
    model.compile(keras.optimizers.Adam(0.005), steps_per_execution=1)
    model.fit(images, epochs=2, batch_size=4, verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.005)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 10)))
    assert len(model.fit(images, epochs=2, verbose=0).history["loss"]) == 2


def test_datasets_follow_the_recipe_epoch_by_epoch(model, images):
    tf = pytest.importorskip("tensorflow")
    model.compile()
    batches = tf.data.Dataset.from_tensor_slices(images).batch(8)
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(float(model.optimizer.learning_rate))
    )
    model.fit(batches, epochs=2, verbose=0, callbacks=[note])
    np.testing.assert_allclose(seen, [RECIPE.learning_rate, RECIPE.learning_rate / 2], rtol=1e-5)


def test_the_schedule_rises_then_falls_along_half_a_cosine_to_nothing():
    rates = scheduled_rates(np.arange(1000), 1000)
    assert rates.argmax() == pytest.approx(1000 * RECIPE.warm_up, abs=2)
    assert rates.max() == pytest.approx(RECIPE.learning_rate, rel=0.01)
    assert rates[0] == pytest.approx(RECIPE.learning_rate / (1000 * RECIPE.warm_up))
    assert rates[500] == pytest.approx(RECIPE.learning_rate / 2)
    assert rates[-1] < 1e-7
    assert np.isfinite(scheduled_rates(np.arange(1), 1)).all()


def test_a_loaded_model_follows_the_recipe_too(model, images, tmp_path):
    model.compile(steps_per_execution=3)
    model.fit(images, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = vae.load_model(tmp_path / "model.keras")
    assert loaded._follows_recipe
    assert loaded._own_settings == {"steps_per_execution": 3, "jit_compile": "auto"}
    assert int(loaded.optimizer.iterations) == 1


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a positive"),
        ({"batch_size": 2.5}, "batch_size must be a positive"),
        ({"epochs": 0}, "epochs must be a positive"),
        ({"validation_split": 1.5}, "validation_split must"),
        ({"validation_split": -0.1}, "validation_split must"),
    ],
)
def test_runs_that_make_no_sense_are_refused(model, images, options, message):
    with pytest.raises(ValueError, match=message):
        model.fit(images, **options)


def test_a_model_that_is_not_compiled_says_so(images):
    model = vae.VAE(vae.build_encoder(), vae.build_decoder())
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="model must be compiled first"):
            method(images)
    assert model.predict(images, verbose=0).shape == images.shape


def test_an_infinite_learning_rate_is_refused(model, images):
    model.compile(keras.optimizers.Adam(float("inf")))
    with pytest.raises(ValueError, match="learning_rate must be finite"):
        model.fit(images)


@pytest.mark.parametrize("steps", [0, -1, 2.5, "many"])
def test_steps_per_execution_is_checked(model, steps):
    with pytest.raises(ValueError, match="steps_per_execution must be a positive"):
        model.compile(steps_per_execution=steps)


# Inference


@pytest.mark.parametrize("n", [1, 5, 900, 1024, 2100])
def test_inference_of_any_number_is_what_the_network_gives(n):
    network = vae.build_decoder()
    z = np.random.default_rng(0).standard_normal((n, 2)).astype("float32")
    (images,) = Inference(network)(z)
    np.testing.assert_allclose(images, keras.ops.convert_to_numpy(network(z)), atol=1e-5)


def test_inference_sees_new_weights():
    network = vae.build_decoder()
    compiled, z = Inference(network), np.ones((3, 2), "float32")
    before = compiled(z)[0]
    network.set_weights([weight + 0.1 for weight in network.get_weights()])
    assert not np.allclose(compiled(z)[0], before)
