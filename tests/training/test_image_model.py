"""`compile`, `fit`, `evaluate` and `predict`, of a VAE and of an autoencoder."""

import copy
import math

import keras
import numpy as np
import pytest
from tiny import BOTH, PIXELS, TERMS, X, fit, noise_of, tiny_autoencoder, tiny_networks, tiny_vae, values_of

import vae


@pytest.fixture(params=BOTH)
def either(request):
    """A VAE, then an autoencoder."""
    return request.param()


def terms_of(model):
    return [metric.name for metric in model.metrics]


# fit


def test_a_little_training_on_real_images_helps(model, digits):
    before = model.evaluate(digits.x_test, verbose=0)[0]
    model.fit(digits.x_train, epochs=3, batch_size=32, verbose=0)
    assert model.evaluate(digits.x_test, verbose=0)[0] < 0.6 * before


def test_an_autoencoder_learns_real_images_too(digits):
    autoencoder = vae.build_autoencoder()
    autoencoder.compile()
    before = autoencoder.evaluate(digits.x_test, verbose=0)[0]
    autoencoder.fit(digits.x_train, epochs=3, verbose=0)
    assert autoencoder.evaluate(digits.x_test, verbose=0)[0] < 0.6 * before


def test_history_has_the_loss_its_terms_and_their_validation_twins(either):
    history = fit(either, epochs=2, validation_data=X)
    names = terms_of(either)
    assert sorted(history) == sorted([*names, *(f"val_{name}" for name in names)])
    assert all(len(values) == 2 for values in history.values())
    for prefix in ("", "val_"):
        total = sum(history[f"{prefix}{name}"][-1] for name in names[1:])
        assert history[f"{prefix}loss"][-1] == pytest.approx(total, rel=1e-5)


def test_validation_split_takes_the_end():
    model = tiny_autoencoder()
    history = fit(model, validation_split=0.25)
    assert history["val_loss"][0] == pytest.approx(model.evaluate(X[-4:], verbose=0)[0], rel=1e-5)
    assert set(fit(tiny_vae(), validation_split=0.25)) >= {"val_loss", "val_kl_loss"}


def test_the_same_seed_gives_the_same_run():
    runs = []
    for _ in range(2):
        model = tiny_vae(seed=11)
        runs.append((fit(model, epochs=2), model.get_weights(), model.generate(3)))
    assert runs[0][0] == runs[1][0]
    for first, second in zip(runs[0][1], runs[1][1], strict=True):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(runs[0][2], runs[1][2])


def test_beta_may_change_in_the_middle_of_a_run():
    model, seen = tiny_vae(), []

    def warm_up(epoch, logs):
        model.beta = 10.0 * epoch

    def note(epoch, logs):
        seen.append((logs["loss"] - logs["reconstruction_loss"]) / logs["kl_loss"])

    callback = keras.callbacks.LambdaCallback(on_epoch_begin=warm_up, on_epoch_end=note)
    fit(model, epochs=3, callbacks=[callback])
    np.testing.assert_allclose(seen, [0, 10, 20], atol=0.01)
    assert model.get_config()["beta"] == 20


def test_own_networks_of_another_shape_work():
    inputs = keras.Input((6, 5, 3))
    hidden = keras.layers.Dense(7)(keras.layers.Flatten()(inputs))
    heads = [keras.layers.Dense(3)(hidden) for _ in range(2)]
    encoder = keras.Model(inputs, [*heads, vae.Sampling()(heads)])
    z = keras.Input((3,))
    decoder = keras.Model(z, keras.layers.Reshape((6, 5, 3))(keras.layers.Dense(90, "sigmoid")(z)))
    model = vae.VAE(encoder, decoder)
    model.compile()
    x = np.random.default_rng(0).random((4, 6, 5, 3))
    fit(model, x, batch_size=3)
    assert model.reconstruct(x).shape == x.shape
    assert model.generate(2).shape == (2, 6, 5, 3)


# Callbacks


@pytest.mark.parametrize(
    "callback",
    [
        lambda path: keras.callbacks.EarlyStopping(monitor="val_loss", patience=1),
        lambda path: keras.callbacks.ModelCheckpoint(path / "best.keras", monitor="val_loss"),
        lambda path: keras.callbacks.CSVLogger(path / "log.csv"),
        lambda path: keras.callbacks.LearningRateScheduler(lambda epoch: 1e-4),
        lambda path: keras.callbacks.ReduceLROnPlateau(monitor="val_loss"),
        lambda path: keras.callbacks.TerminateOnNaN(),
        lambda path: keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
        lambda path: keras.callbacks.BackupAndRestore(path / "backup"),
        lambda path: keras.callbacks.TensorBoard(path / "logs", histogram_freq=1),
    ],
)
def test_keras_callbacks_work(callback, tmp_path):
    history = fit(tiny_vae(), epochs=2, validation_data=X, callbacks=[callback(tmp_path)])
    assert len(history["loss"]) == 2


MONITORS = [
    lambda **options: keras.callbacks.EarlyStopping("val_kl_loss", **options),
    lambda **options: keras.callbacks.EarlyStopping("reconstruction_loss", **options),
    lambda **options: keras.callbacks.ReduceLROnPlateau("val_reconstruction_loss", **options),
    lambda **options: keras.callbacks.ModelCheckpoint(
        "unused.keras", "kl_loss", save_best_only=True, **options
    ),
]


@pytest.mark.parametrize("callback", MONITORS)
def test_a_callback_that_cannot_tell_that_lower_is_better_is_refused_before_the_first_step(callback):
    model, monitor = tiny_vae(), callback()
    before, values = copy.copy(vars(monitor)), values_of(model)
    with pytest.raises(ValueError, match=r'must be given mode="min": lower is better') as error:
        fit(model, validation_data=X, callbacks=[monitor])
    assert f'{type(monitor).__name__}(monitor="{monitor.monitor}")' in str(error.value)
    assert vars(monitor) == before
    assert int(model.optimizer.iterations) == 0
    for a, b in zip(values_of(model), values, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("callback", MONITORS)
def test_a_callback_that_is_told_so_works_and_is_left_as_it_was(callback, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monitor = callback(mode="min")
    settings = {name: getattr(monitor, name, None) for name in ("monitor", "mode", "patience")}
    history = fit(tiny_vae(), epochs=2, validation_data=X, callbacks=[monitor])
    assert len(history["loss"]) == 2
    assert {name: getattr(monitor, name, None) for name in settings} == settings
    assert monitor.monitor_op(1, 2)


def test_a_callback_of_a_term_stops_where_the_term_no_longer_falls():
    stop = keras.callbacks.EarlyStopping("reconstruction_loss", patience=0, min_delta=1e9, mode="min")
    assert len(fit(tiny_autoencoder(), epochs=9, callbacks=[stop])["loss"]) == 2


# evaluate


@pytest.mark.parametrize("beta", [0.0, 4.0])
def test_beta_weighs_the_kl_term(beta):
    result = tiny_vae(beta=beta).evaluate(X, verbose=0, return_dict=True)
    assert result["loss"] == pytest.approx(result["reconstruction_loss"] + beta * result["kl_loss"], rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 5, 16, 100])
def test_evaluate_is_the_mean_over_images_whatever_the_batches(batch_size):
    # With sigma = exp(-15) every sample is z_mean, so that the two computations see the same z.
    model = tiny_vae()
    model.encoder.get_layer("Z-Log-Sigma").set_weights([np.zeros((8, 2)), np.full(2, -15.0)])
    reconstruction, kl = model.losses_per_image(X, epsilon=np.zeros((16, 2)))
    result = model.evaluate(X, batch_size=batch_size, verbose=0, return_dict=True)
    assert result["reconstruction_loss"] == pytest.approx(reconstruction.mean(), rel=1e-4)
    assert result["kl_loss"] == pytest.approx(kl.mean(), rel=1e-4)
    assert result["loss"] == pytest.approx((reconstruction + kl).mean(), rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_evaluate_of_an_autoencoder_is_the_mean_of_its_losses(batch_size):
    autoencoder = tiny_autoencoder()
    (reconstruction,) = autoencoder.losses_per_image(X)
    result = autoencoder.evaluate(X, batch_size=batch_size, verbose=0, return_dict=True)
    assert result == pytest.approx(dict.fromkeys(TERMS[:2], reconstruction.mean()), rel=1e-5)


def test_evaluate_samples_where_there_is_something_to_sample():
    model, autoencoder = tiny_vae(), tiny_autoencoder()
    assert model.evaluate(X, verbose=0) != model.evaluate(X, verbose=0)
    assert autoencoder.evaluate(X, verbose=0) == autoencoder.evaluate(X, verbose=0)


# predict


@pytest.mark.parametrize("shape", [(16, PIXELS), (16, 6, 6), (16, 6, 6, 1)])
def test_predict_is_reconstruct_in_the_shape_of_x(either, shape):
    x = X.reshape(shape)
    reconstruction = either.reconstruct(x)
    assert (reconstruction.shape, reconstruction.dtype) == (shape, np.float32)
    np.testing.assert_array_equal(reconstruction, either.predict(x, verbose=0))
    np.testing.assert_allclose(reconstruction.reshape(16, PIXELS), either.reconstruct(X), atol=1e-6)


def test_predict_with_steps_gives_what_was_predicted(either):
    assert either.predict(X, steps=1, batch_size=4, verbose=0).shape == (4, PIXELS)


def test_predict_leaves_the_noise_alone():
    model = tiny_vae()
    before = noise_of(model)
    model.predict(X, verbose=0)
    np.testing.assert_array_equal(noise_of(model), before)


# compile


def test_compile_with_a_name_is_keras_own(either):
    either.compile("adam")
    assert isinstance(either.optimizer, keras.optimizers.Adam)
    assert float(either.optimizer.learning_rate) == pytest.approx(1e-3)


@pytest.mark.parametrize("name", ["loss", "metrics", "loss_weights", "weighted_metrics"])
def test_compile_refuses_what_is_built_in(either, name):
    with pytest.raises(ValueError, match=rf"{name} must be left out of compile\(\)"):
        either.compile(**{name: ["mse"]})


def test_to_compile_twice_lists_no_metric_twice(either):
    names = terms_of(either)
    either.compile("sgd")
    assert terms_of(either) == names
    assert sorted(fit(either)) == sorted(names)


def test_a_model_that_is_not_compiled_says_so_and_predicts():
    model = vae.VAE(*tiny_networks())
    for method in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="model must be compiled first"):
            method(X)
    assert model.predict(X, verbose=0).shape == X.shape


# Numbers that do not blow up


@pytest.mark.parametrize("activation", ["elu", "relu"])
def test_a_large_learning_rate_stays_finite(activation, digits):
    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(activation=activation), vae.build_decoder(activation=activation))
    model.compile(keras.optimizers.Adam(0.05))
    history = fit(model, digits.x_train, epochs=4, batch_size=16)
    assert all(math.isfinite(value) for values in history.values() for value in values)


def test_extreme_heads_stay_finite():
    model = tiny_vae()
    model.encoder.get_layer("Z-Log-Sigma").bias.assign([1e30, -1e30])
    history = fit(model)
    assert all(math.isfinite(value) for values in history.values() for value in values)


def ruined(model):
    model.encoder.get_layer("Z-Mean").bias.assign([1e30, 1e30])
    return model


def test_training_stops_with_the_epoch_and_the_term_where_it_diverges():
    model = tiny_vae()
    ruiner = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epoch == 1 and ruined(model))
    with pytest.raises(FloatingPointError, match="epoch 2: kl_loss is"):
        fit(model, epochs=5, callbacks=[ruiner])


def test_terminate_on_nan_takes_the_place_of_the_error():
    history = fit(ruined(tiny_vae()), epochs=5, callbacks=[keras.callbacks.TerminateOnNaN()])
    assert len(history["loss"]) == 1


def test_a_diverged_epoch_does_not_replace_a_good_checkpoint(tmp_path):
    path, model = tmp_path / "good.keras", tiny_vae()
    fit(model, callbacks=[keras.callbacks.ModelCheckpoint(path)])
    good = path.read_bytes()
    with pytest.raises(FloatingPointError):
        fit(ruined(model), callbacks=[keras.callbacks.ModelCheckpoint(path)])
    assert path.read_bytes() == good
