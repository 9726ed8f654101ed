"""The recipe of a model that was compiled without an optimizer: when it runs, and when it stands back."""

import keras
import numpy as np
import pytest
from tiny import BOTH, Break, X, fit, tiny_vae

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
    assert loaded.get_compile_config()["optimizer"] is None
    assert loaded._own_settings == {"steps_per_execution": 3, "jit_compile": "auto"}
    assert int(loaded.optimizer.iterations) == 1


# Rates of the user's


def source(kind):
    """Sixteen images: an array, or batches of them."""
    return X if kind == "array" else InBatches()


class InBatches(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return X[4 * index : 4 * index + 4]


class Sets(keras.callbacks.Callback):
    """Sets the rate at one event, or at the second time that it comes."""

    def __init__(self, event, rate=1e-4, at=0):
        super().__init__()
        self.rate, self.at, self.seen = rate, at, []
        setattr(self, event, lambda *args, **kwargs: self.set())

    def set(self):
        if not self.at:
            self.model.optimizer.learning_rate = self.rate
        self.at -= 1


def small_rate_trains_little(model, data, **options):
    """Train; return how far the weights went."""
    before = model.encoder.get_weights()
    model.fit(data, batch_size=4 if data is X else None, verbose=0, shuffle=False, **options)
    return max(abs(a - b).max() for a, b in zip(before, model.encoder.get_weights(), strict=True))


@pytest.mark.parametrize("kind", ["array", "batches"])
def test_the_recipe_stands_back_for_a_rate_of_the_users(kind, capsys, tmp_path):
    model = tiny_vae()
    model.optimizer.learning_rate = 0
    assert small_rate_trains_little(model, source(kind), epochs=2) == 0
    assert capsys.readouterr().out == "The recipe stands back: learning_rate is set to 0.\n"
    model.optimizer.learning_rate.assign(1e-5)
    for _ in range(2):
        assert small_rate_trains_little(model, source(kind)) < 1e-4
        assert float(model.optimizer.learning_rate) == pytest.approx(1e-5)
    model.save(tmp_path / "model.keras")
    loaded = vae.load_model(tmp_path / "model.keras")
    assert float(loaded.optimizer.learning_rate) == pytest.approx(1e-5)
    assert small_rate_trains_little(loaded, source(kind)) < 1e-4
    model.compile()
    capsys.readouterr()
    assert small_rate_trains_little(model, source(kind)) > 1e-3
    assert capsys.readouterr().out == ""


def test_a_schedule_of_ones_own_takes_the_recipes_place(capsys):
    model = tiny_vae()
    model.optimizer.learning_rate = keras.optimizers.schedules.ExponentialDecay(1e-5, 10, 0.9)
    assert small_rate_trains_little(model, X) < 1e-3
    assert capsys.readouterr().out.count("The recipe stands back") == 1


@pytest.mark.parametrize("kind", ["array", "batches"])
@pytest.mark.parametrize("event", ["on_train_begin", "on_epoch_begin", "on_epoch_end"])
def test_the_recipe_stands_back_for_a_callback_of_the_users(kind, event, capsys):
    model = tiny_vae()
    sets = Sets(event, rate=0.0, at=1 if event != "on_train_begin" else 0)
    afterwards = []
    after = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: afterwards.append(model.encoder.get_weights()[0])
    )
    model.fit(
        source(kind), batch_size=4 if kind == "array" else None, epochs=5, verbose=0, callbacks=[sets, after]
    )
    assert capsys.readouterr().out == "The recipe stands back: a callback sets the learning rate.\n"
    assert float(model.optimizer.learning_rate) == 0
    np.testing.assert_array_equal(afterwards[3], afterwards[4])
    if event != "on_train_begin":
        assert (afterwards[0] != afterwards[1]).any()


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX holds the rate itself within an epoch")
@pytest.mark.parametrize("event", ["on_train_batch_begin", "on_train_batch_end"])
def test_and_for_one_within_an_epoch(event, capsys):
    model = tiny_vae()
    model.compile(steps_per_execution=1)
    rates = rates_of(model, X, batch_size=4, shuffle=False, callbacks=[Sets(event, at=2)])
    assert rates[-1] == pytest.approx(1e-4)
    assert capsys.readouterr().out == "The recipe stands back: a callback sets the learning rate.\n"


def test_callbacks_that_set_no_rate_leave_the_recipe_alone(capsys, tmp_path):
    model, alone = tiny_vae(), tiny_vae()
    callbacks = [
        Sets("on_nothing"),
        vae.BetaWarmUp(1),
        keras.callbacks.ModelCheckpoint(tmp_path / "model.keras"),
    ]
    history, expected = (
        fit(m, epochs=3, validation_data=X, callbacks=c) for m, c in ((model, callbacks), (alone, []))
    )
    assert history["loss"] == expected["loss"]
    assert capsys.readouterr().out == ""
    loaded = vae.load_model(tmp_path / "model.keras")  # written in the middle of the run
    assert float(loaded.optimizer.learning_rate) == pytest.approx(RECIPE.learning_rate)
    fit(loaded)
    assert capsys.readouterr().out == ""


def test_a_run_that_broke_off_is_continued_by_the_same_call(tmp_path):
    def run(*more):
        model.fit(X, epochs=4, verbose=0, checkpoint=tmp_path, callbacks=[Sets("on_epoch_begin"), *more])

    model = tiny_vae()
    with pytest.raises(KeyboardInterrupt):
        run(Break(2))
    run()  # where the callback no longer sets it: the rate that it had set is in the checkpoint
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-4)
