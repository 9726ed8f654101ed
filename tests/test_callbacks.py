import io
import re

import keras
import numpy as np
import pytest

import vae
from vae.callbacks import EpochLog, NonFiniteGuard, plain_verbosity, prepare_callbacks


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_there_is_one_plain_line_an_epoch(model, images, capsys):
    model.fit(images, epochs=3, validation_data=images)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(
        r"epoch 1/3   \d+\.\d s   loss \S+ \(val \S+\)   "
        r"reconstruction_loss \S+ \(val \S+\)   kl_loss \S+ \(val \S+\)",
        lines[0],
    )
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", "".join(lines))


def test_on_a_terminal_there_is_keras_own_bar(monkeypatch):
    monkeypatch.setattr("sys.stdout", Terminal())
    callbacks, verbose = prepare_callbacks(None, "auto")
    assert verbose == 1
    assert not any(isinstance(callback, EpochLog) for callback in callbacks)
    assert plain_verbosity("auto") == 1


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_a_verbosity_asked_for_is_kept(verbose):
    callbacks, kept = prepare_callbacks([], verbose)
    assert kept == verbose
    assert plain_verbosity(verbose) == verbose
    assert not any(isinstance(callback, EpochLog) for callback in callbacks)


def test_evaluate_and_predict_print_nothing_without_a_terminal(model, images, capsys):
    model.evaluate(images)
    model.predict(images)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("epochs", "lines"), [(1, 1), (25, 25), (300, 26), (1000, 26)])
def test_long_runs_print_about_twenty_five_lines(epochs, lines, capsys):
    log = EpochLog()
    log.set_params({"epochs": epochs})
    for epoch in range(epochs):
        log.on_epoch_begin(epoch)
        log.on_epoch_end(epoch, {"loss": 1.0})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == lines
    assert f"{epochs}/{epochs}" in printed[-1]


def test_the_guard_stands_first_and_gives_way_to_terminate_on_nan():
    csv = keras.callbacks.CSVLogger("unused.csv")
    assert [type(callback) for callback in prepare_callbacks([csv], 0)[0]] == [NonFiniteGuard, type(csv)]
    nan = keras.callbacks.TerminateOnNaN()
    assert prepare_callbacks(nan, 0)[0] == [nan]


def test_the_users_list_of_callbacks_is_left_as_it_was(model, images):
    callbacks = []
    model.fit(images, verbose=0, callbacks=callbacks)
    assert callbacks == []


def test_a_callback_list_is_taken(model, images):
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    model.fit(images, verbose=0, callbacks=keras.callbacks.CallbackList([callback], model=model))
    assert seen == [0]


def test_epoch_log_serves_any_keras_model(images, capsys):
    autoencoder = vae.build_autoencoder()
    autoencoder.compile("adam", loss=vae.reconstruction_loss)
    autoencoder.fit(images, images, verbose=0, callbacks=[vae.EpochLog()])
    assert re.match(r"epoch 1/1   \S+ s   loss \S+\n$", capsys.readouterr().out)


def test_anything_that_a_callback_logs_is_printed(capsys):
    log = EpochLog()
    log.set_params({"epochs": 1})
    log.on_epoch_begin(0)
    log.on_epoch_end(0, {"loss": 1.0, "note": "fine"})
    assert capsys.readouterr().out.endswith("loss 1.000   note fine\n")


# Warm-up and film


def betas_of(model, images, callback, epochs):
    seen = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.beta))
    model.fit(images, epochs=epochs, verbose=0, callbacks=[callback, note])
    return seen


def test_beta_warms_up_and_stays(model, images):
    assert betas_of(model, images, vae.BetaWarmUp(4), 6) == [0.25, 0.5, 0.75, 1, 1, 1]
    assert model.beta == 1
    assert betas_of(model, images, vae.BetaWarmUp(2, beta=3.0), 2) == [1.5, 3]


def test_the_warm_up_weighs_the_loss(model, images):
    history = model.fit(images, epochs=1, verbose=0, callbacks=[vae.BetaWarmUp(1, beta=0.0)]).history
    assert history["loss"][0] == pytest.approx(history["reconstruction_loss"][0], rel=1e-5)


def test_a_warm_up_that_never_ends_is_told(model, images):
    with pytest.warns(UserWarning, match="never trains at its full beta"):
        model.fit(images, epochs=2, verbose=0, callbacks=[vae.BetaWarmUp(5)])
    assert model.beta == 1


@pytest.mark.parametrize("options", [{"epochs": 0}, {"epochs": 2, "beta": -1}, {"epochs": 2, "beta": np.nan}])
def test_a_warm_up_checks_its_arguments(options):
    with pytest.raises(ValueError, match="must be"):
        vae.BetaWarmUp(**options)


def test_the_film_holds_a_frame_an_epoch(model, images):
    film = vae.TrainingFilm(images, np.arange(16) % 3, n=4, limit=1.5)
    model.fit(images, epochs=2, verbose=0, callbacks=[film])
    assert film.epochs == [0, 1, 2]
    assert film.losses[0] is None
    assert all(np.isfinite(film.losses[1:]))
    np.testing.assert_array_equal(film.z_mean[-1], model.encode(images)[0])
    corner = model.decode([[-1.5, 1.5]])[0]  # top left
    np.testing.assert_allclose(film.grids[-1][0] / 255, corner, atol=0.003)
    assert film.grids[0].shape == (16, 784)


def test_a_long_run_gives_a_short_film(model, images):
    film = vae.TrainingFilm(images, n=2, every=3)
    model.fit(images, epochs=7, verbose=0, callbacks=[film])
    assert film.epochs == [0, 3, 6]


def test_the_film_refuses_what_it_cannot_show(images):
    model = vae.VAE(vae.build_encoder(latent_dim=3), vae.build_decoder(3))
    model.compile()
    with pytest.raises(ValueError, match="2 latent dimensions"):
        model.fit(images, verbose=0, callbacks=[vae.TrainingFilm(images)])
    for options in ({"n": 0}, {"limit": 0}, {"every": 0}, {"labels": [1]}):
        with pytest.raises(ValueError, match="must"):
            vae.TrainingFilm(images, **options)
