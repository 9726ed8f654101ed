"""The recipe of a model that was compiled without an optimizer: when it runs, and when it stands back."""

import keras
import numpy as np
import pytest
from tiny import BOTH, X, fit, tiny_vae

import vae
from vae.training.recipe import RECIPE, highest_rate, scheduled_rates


def test_the_schedule_rises_then_falls_along_half_a_cosine_to_nothing():
    rates = scheduled_rates(np.arange(1000), 1000)
    assert rates.argmax() == pytest.approx(1000 * RECIPE.warm_up, abs=2)
    assert rates.max() == pytest.approx(RECIPE.learning_rate, rel=0.01)
    assert rates[0] == pytest.approx(RECIPE.learning_rate / (1000 * RECIPE.warm_up))
    assert rates[500] == pytest.approx(RECIPE.learning_rate / 2)
    assert rates[-1] < 1e-7
    assert np.isfinite(scheduled_rates(np.arange(1), 1)).all()


def test_large_models_are_trained_more_carefully():
    assert highest_rate(1) == highest_rate(RECIPE.weights) == RECIPE.learning_rate
    assert highest_rate(4 * RECIPE.weights) == RECIPE.learning_rate / 2


def rates_of(model, x, **options):
    rates = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: rates.append(float(model.optimizer.learning_rate))
    )
    model.fit(x, verbose=0, callbacks=[note, *options.pop("callbacks", [])], **options)
    return np.array(rates)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX writes the rate back once an epoch")
@pytest.mark.parametrize("make", BOTH)
def test_the_recipe_follows_a_half_cosine_step_by_step_and_starts_anew(make):
    model = make()
    model.compile(steps_per_execution=1)
    for _ in range(2):
        rates = rates_of(model, X, epochs=2, batch_size=4)
        expected = scheduled_rates(np.arange(8), 8)
        np.testing.assert_allclose(rates, expected, rtol=1e-5)
        assert float(model.optimizer.learning_rate) == pytest.approx(RECIPE.learning_rate)


def test_the_recipe_stands_back_for_a_learning_rate_callback():
    rate = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))
    history = fit(tiny_vae(), epochs=2, callbacks=[rate])
    np.testing.assert_allclose(history["learning_rate"], [0.01, 0.005], rtol=1e-5)


def test_an_own_optimizer_keeps_its_rate():
    model = tiny_vae()
    model.compile(keras.optimizers.Adam(0.005), steps_per_execution=1)
    fit(model, epochs=2, batch_size=4)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.005)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 10)))
    assert len(fit(model, epochs=2)["loss"]) == 2


def test_datasets_follow_the_recipe_epoch_by_epoch():
    tf = pytest.importorskip("tensorflow")
    model, seen = tiny_vae(), []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(float(model.optimizer.learning_rate))
    )
    batches = tf.data.Dataset.from_tensor_slices(X).batch(8)
    model.fit(batches, epochs=2, verbose=0, callbacks=[note])
    np.testing.assert_allclose(seen, [RECIPE.learning_rate, RECIPE.learning_rate / 2], rtol=1e-5)


def test_a_loaded_model_follows_the_recipe_too(tmp_path):
    model = tiny_vae()
    model.compile(steps_per_execution=3)
    fit(model, batch_size=16)
    model.save(tmp_path / "model.keras")
    loaded = vae.load_model(tmp_path / "model.keras")
    assert loaded._follows_recipe
    assert loaded._own_settings == {"steps_per_execution": 3, "jit_compile": "auto"}
    assert int(loaded.optimizer.iterations) == 1
