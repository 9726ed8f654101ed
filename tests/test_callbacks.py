import io
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from tiny import BOTH, PIXELS, Break, X, assert_same_values, fit, tiny_autoencoder, tiny_vae

import vae
from vae._terminal import progress
from vae.callbacks import EpochLog, NonFiniteGuard, counts_steps, plain_verbosity, prepare_callbacks


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_without_a_terminal_there_is_one_plain_line_an_epoch(capsys):
    tiny_vae().fit(X, epochs=3, validation_data=X)
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


@pytest.mark.parametrize("make", BOTH)
def test_evaluate_and_predict_print_nothing_without_a_terminal(make, capsys):
    model = make()
    model.evaluate(X)
    model.predict(X)
    assert capsys.readouterr().out == ""


class Tee:
    """An output of one's own, as logs have: it can be written to, and no more."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class TeeToTerminal(Tee):
    def isatty(self):
        return True


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
@pytest.mark.parametrize("make_output", [lambda: None, Tee, TeeToTerminal])
def test_everything_works_without_an_output_that_keras_could_draw_on(make_output, verbose, monkeypatch):
    model, output = tiny_vae(), make_output()
    monkeypatch.setattr("sys.stdout", output)
    history = model.fit(X, epochs=2, validation_data=X, verbose=verbose).history
    assert len(history["val_loss"]) == 2
    model.evaluate(X, verbose=verbose)
    model.predict(X, verbose=verbose)
    vae.load_digits()
    list(progress(range(3), 3, "Counting"))
    if output is not None:
        assert [line[:9] for line in output.text.splitlines()] == ["epoch 1/2", "epoch 2/2"]


def test_a_tee_without_isatty_is_no_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdout", Tee())
    assert (prepare_callbacks(None, "auto")[1], plain_verbosity(1)) == (0, 0)


@pytest.mark.parametrize("stderr", ["None", "type('Tee', (), {'write': print})()"])
def test_keras_is_imported_without_a_stderr(stderr):
    code = f"""
import sys
sys.stderr = {stderr}
import vae
print(len(vae.load_digits().x_test), vae.VAE.__name__)
sys.stderr = sys.__stderr__  # Python itself flushes it at the end
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "360 VAE\n"


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


def test_the_users_list_of_callbacks_is_left_as_it_was():
    callbacks = []
    fit(tiny_vae(), callbacks=callbacks)
    assert callbacks == []


def test_a_callback_list_is_taken():
    model, seen = tiny_vae(), []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    fit(model, callbacks=keras.callbacks.CallbackList([callback], model=model))
    assert seen == [0]


def test_epoch_log_serves_any_keras_model(capsys):
    plain = keras.Sequential([keras.layers.Dense(PIXELS)])
    plain.compile("adam", loss="mse")
    plain.fit(X, X, verbose=0, callbacks=[vae.EpochLog()])
    assert re.match(r"epoch 1/1   \S+ s   loss \S+\n$", capsys.readouterr().out)


def test_anything_that_a_callback_logs_is_printed(capsys):
    log = EpochLog()
    log.set_params({"epochs": 1})
    log.on_epoch_begin(0)
    log.on_epoch_end(0, {"loss": 1.0, "note": "fine"})
    assert capsys.readouterr().out.endswith("loss 1.000   note fine\n")


# The warm-up of beta


def betas_of(model, callback, epochs):
    """Return the beta of each epoch of a run."""
    seen = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.beta))
    fit(model, epochs=epochs, callbacks=[callback, note])
    return seen


def test_beta_warms_up_and_stays():
    model = tiny_vae()
    assert betas_of(model, vae.BetaWarmUp(4), 6) == [0.25, 0.5, 0.75, 1, 1, 1]
    assert model.beta == 1
    assert betas_of(model, vae.BetaWarmUp(2, beta=3.0), 2) == [1.5, 3]


def test_the_warm_up_weighs_the_loss():
    history = fit(tiny_vae(), callbacks=[vae.BetaWarmUp(1, beta=0.0)])
    assert history["loss"][0] == pytest.approx(history["reconstruction_loss"][0], rel=1e-5)


def test_a_warm_up_that_never_ends_is_told():
    model = tiny_vae()
    with pytest.warns(UserWarning, match="never trains at its full beta"):
        fit(model, epochs=2, callbacks=[vae.BetaWarmUp(5)])
    assert model.beta == 1


BREAKS = pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])


@BREAKS
def test_a_warm_up_that_breaks_off_leaves_beta_as_it_was_and_may_begin_again(error):
    model, warm_up = tiny_vae(beta=0.3), vae.BetaWarmUp(4)
    with pytest.raises(error):
        fit(model, epochs=4, callbacks=[warm_up, Break(2, error)])
    assert model.beta == 0.3
    assert betas_of(model, warm_up, 4) == pytest.approx([0.075, 0.15, 0.225, 0.3])
    assert model.beta == 0.3


@BREAKS
def test_a_warm_up_that_breaks_off_goes_on_from_a_checkpoint_as_if_it_had_not(error, tmp_path):
    model, warm_up = tiny_vae(beta=0.3), vae.BetaWarmUp(4)
    options = {"epochs": 6, "checkpoint": tmp_path / "run"}
    with pytest.raises(error):
        fit(model, callbacks=[warm_up, Break(2, error)], **options)
    assert model.beta == 0.3
    history = fit(model, callbacks=[warm_up], **options)

    whole = tiny_vae(beta=0.3)
    assert history == fit(whole, epochs=6, callbacks=[vae.BetaWarmUp(4)])
    assert_same_values(model, whole)
    assert model.beta == 0.3


@BREAKS
def test_a_warm_up_to_another_beta_goes_on_from_a_checkpoint_too(error, tmp_path):
    model, warm_up = tiny_vae(), vae.BetaWarmUp(4, beta=2.5)
    options = {"epochs": 6, "checkpoint": tmp_path / "run"}
    with pytest.raises(error):
        fit(model, callbacks=[warm_up, Break(5, error)], **options)
    assert model.beta == 1
    history = fit(model, callbacks=[warm_up], **options)

    whole = tiny_vae()
    assert history == fit(whole, epochs=6, callbacks=[vae.BetaWarmUp(4, beta=2.5)])
    assert_same_values(model, whole)
    assert model.beta == 2.5


def test_a_run_that_breaks_off_before_its_first_epoch_leaves_beta_too():
    class BreakAtTheBeginning(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise RuntimeError

    for callbacks in ([vae.BetaWarmUp(4), BreakAtTheBeginning()], [BreakAtTheBeginning(), vae.BetaWarmUp(4)]):
        model = tiny_vae(beta=3)
        with pytest.raises(RuntimeError):
            fit(model, epochs=4, callbacks=callbacks)
        assert model.beta == 3


def test_an_error_long_after_a_run_changes_nothing():
    model, warm_up = tiny_vae(), vae.BetaWarmUp(1, beta=3)
    fit(model, callbacks=[warm_up])
    model.beta = 7
    with pytest.raises(ValueError, match="divide by 255"):
        fit(model, 255 * X, callbacks=[warm_up])
    assert model.beta == 7


@pytest.mark.parametrize("options", [{"epochs": 0}, {"epochs": 2, "beta": -1}, {"epochs": 2, "beta": np.nan}])
def test_a_warm_up_checks_its_arguments(options):
    with pytest.raises(ValueError, match="must be"):
        vae.BetaWarmUp(**options)


# The film


def test_the_film_holds_a_frame_an_epoch():
    model, film = tiny_vae(), vae.TrainingFilm(X, np.arange(16) % 3, n=4, limit=1.5)
    fit(model, epochs=2, callbacks=[film])
    assert film.epochs == [0, 1, 2]
    assert film.losses[0] is None
    assert all(np.isfinite(film.losses[1:]))
    np.testing.assert_array_equal(film.z_mean[-1], model.encode(X)[0])
    corner = model.decode([[-1.5, 1.5]])[0]  # top left
    np.testing.assert_allclose(film.grids[-1][0] / 255, corner, atol=0.003)
    assert film.grids[0].shape == (16, PIXELS)


def test_a_long_run_gives_a_short_film():
    film = vae.TrainingFilm(X, n=2, every=3)
    fit(tiny_vae(), epochs=7, callbacks=[film])
    assert film.epochs == [0, 3, 6]


def test_a_film_can_begin_dense_and_end_sparse():
    film = vae.TrainingFilm(X, n=2, every=None)
    fit(tiny_vae(), epochs=15, callbacks=[film])
    assert film.epochs == [0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 15]


def test_the_film_refuses_what_it_cannot_show():
    with pytest.raises(ValueError, match="2 latent dimensions"):
        fit(tiny_vae(latent_dim=3), callbacks=[vae.TrainingFilm(X)])
    for options in ({"n": 0}, {"limit": 0}, {"every": 0}, {"labels": [1]}):
        with pytest.raises(ValueError, match="must"):
            vae.TrainingFilm(X, **options)


# Made for a VAE


@pytest.mark.parametrize("callback", [vae.BetaWarmUp(2), vae.TrainingFilm(X, n=2)])
def test_callbacks_of_a_vae_refuse_an_autoencoder(callback):
    with pytest.raises((TypeError, ValueError), match="VAE"):
        fit(tiny_autoencoder(), callbacks=[callback])


# Callbacks that count steps


class Counts(keras.callbacks.Callback):
    """Counts the calls at batches."""

    calls = 0

    def on_train_batch_end(self, batch, logs=None):
        self.calls += 1


@pytest.mark.parametrize("steps_per_execution", ["auto", 8])
def test_what_counts_steps_counts_steps(steps_per_execution, tmp_path):
    model, x = tiny_vae(), np.tile(X, (20, 1))
    model.compile(steps_per_execution=steps_per_execution)
    alone = Counts()
    fit(model, x, batch_size=1, callbacks=[alone])
    assert alone.calls < 320
    counts = Counts()
    saving = keras.callbacks.ModelCheckpoint(tmp_path / "{batch}.keras", save_freq=100)
    fit(model, x, batch_size=1, callbacks=[saving, counts])
    assert counts.calls == 320
    assert sorted(path.name for path in tmp_path.iterdir()) == ["100.keras", "200.keras", "300.keras"]


@pytest.mark.parametrize(
    ("callback", "counts"),
    [
        (keras.callbacks.BackupAndRestore("unused", save_freq=100), True),
        (keras.callbacks.BackupAndRestore("unused"), False),
        (keras.callbacks.TensorBoard("unused", update_freq=100), True),
        (keras.callbacks.TensorBoard("unused", update_freq="batch"), True),
        (keras.callbacks.TensorBoard("unused"), False),
        (keras.callbacks.ModelCheckpoint("unused.keras"), False),
        (keras.callbacks.EarlyStopping("loss"), False),
    ],
)
def test_only_callbacks_that_count_steps_make_a_run_slower(callback, counts):
    assert counts_steps(callback) == counts
