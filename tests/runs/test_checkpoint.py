"""Runs that are killed, interrupted, or out of disk, and what they go on with."""

import errno
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from tiny import BOTH, PIXELS, Break, assert_same_values, tiny_autoencoder, tiny_vae

import vae
from vae.files import atomic
from vae.runs import checkpoint as checkpoints

ROOT = pathlib.Path(__file__).parents[2]
EPOCHS = 10
BACKENDS = ["tensorflow", "jax"]

# A run of ten epochs, with callbacks that count, for a process of its own. Prints a digest of its end.
RUN = f"""
import hashlib, sys, keras, numpy as np, vae
keras.utils.set_random_seed(1)
model = vae.VAE(vae.build_encoder(hidden_units=(16,)), vae.build_decoder(hidden_units=(16,)), beta=2)
model.compile("adam")
digits = vae.load_digits()
stop = keras.callbacks.EarlyStopping("val_loss", patience=50, restore_best_weights=True)
rate = keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=3)
print("begins", flush=True)
history = model.fit(digits.x_train, batch_size=48, epochs={EPOCHS}, validation_data=digits.x_test, verbose=0,
    callbacks=[stop, rate, vae.BetaWarmUp(6)], checkpoint=sys.argv[1])
digest = hashlib.sha256()
for variable in [*model.variables, *model.optimizer.variables]:
    digest.update(np.asarray(keras.ops.convert_to_numpy(variable.value)).tobytes())
digest.update(repr((history.epoch, history.history, model.beta, stop.best)).encode())
print(digest.hexdigest())
"""


def start(backend, folder):
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-W", "ignore", "-c", RUN, str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def finish(backend, folder):
    with start(backend, folder) as process:
        output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output.split()[-1]


def kill(backend, folder, wait):
    """Kill a run when `wait(process)` returns; tell whether it was still running."""
    with start(backend, folder) as process:
        assert process.stdout.readline() == "begins\n"
        wait(process)
        process.kill()
        return process.wait() == -signal.SIGKILL


def until_writing(folder, epoch):
    """Wait until a run begins to write the checkpoint of an epoch."""

    def wait(process):
        seen = 0
        while process.poll() is None and seen <= epoch:
            while process.poll() is None and not list(folder.glob(".checkpoint.npz.*.tmp")):
                pass
            seen += 1
            while process.poll() is None and seen <= epoch and list(folder.glob(".checkpoint.npz.*.tmp")):
                pass

    return wait


@pytest.fixture(params=BACKENDS)
def backend(request):
    pytest.importorskip(request.param)
    return request.param


def test_a_killed_run_ends_as_one_that_was_not(backend, tmp_path):
    whole = finish(backend, tmp_path / "whole")
    killed = [kill(backend, tmp_path / "run", until_writing(tmp_path / "run", epoch)) for epoch in (1, 3)]
    assert any(killed)
    assert finish(backend, tmp_path / "run") == whole
    assert finish(backend, tmp_path / "run") == whole  # finished, so it only reads
    assert sorted(os.listdir(tmp_path / "run")) == ["checkpoint.npz"]


@pytest.mark.slow
def test_a_run_killed_at_fifty_random_moments(backend, tmp_path):
    """Each run is killed five times, at random moments of all that it takes, and then ends as it should."""
    begun = time.monotonic()
    whole = finish(backend, tmp_path / "whole")
    longest, rng, kills = time.monotonic() - begun, random.Random(0), 0
    for run in range(1000):
        for _ in range(5):
            moment = rng.uniform(0, longest / 2)  # counted from the first line, half of it is over then
            kills += kill(backend, tmp_path / str(run), lambda process, moment=moment: time.sleep(moment))
        assert finish(backend, tmp_path / str(run)) == whole
        if kills >= 50:
            break
    print(f"{backend}: {kills} kills in {run + 1} runs, all of which ended bit for bit as the whole one")


# In this process


X = np.random.default_rng(0).random((40, PIXELS), np.float32)


def fit(folder, model=None, x=X, **options):
    model = model or tiny_vae()
    return model, model.fit(x, checkpoint=folder, **{"epochs": 3, "batch_size": 8, "verbose": 0, **options})


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"epochs": 4}, "epochs: 3 in the checkpoint, 4 now"),
        ({"batch_size": 4}, "batch_size: 8 in the checkpoint, 4 now"),
        ({"shuffle": False}, "shuffle: True in the checkpoint, False now"),
        ({"x": X[:39]}, "data.shape.0: 40 in the checkpoint, 39 now"),
        ({"x": 1 - X}, "data.checksum: "),
        ({"validation_data": X}, "validation_data: None in the checkpoint, {'shape'"),
        ({"model": lambda: tiny_vae(beta=3)}, "model.beta: 1.0 in the checkpoint, 3.0 now"),
        ({"model": lambda: tiny_vae((9,))}, "units: 8 in the checkpoint, 9 now"),
        ({"model": lambda: recompiled("sgd")}, "compile.optimizer: None in the checkpoint, "),
        ({"model": lambda: reseeded(5)}, "seed: 0 in the checkpoint, 5 now"),
        ({"model": lambda: tiny_vae(reconstruction="bernoulli")}, "model.reconstruction: 'mse' in the"),
        ({"model": tiny_autoencoder}, "differs in model.encoder.config.layers: "),
    ],
)
def test_other_settings_are_named(tmp_path, change, difference):
    fit(tmp_path)
    before = (tmp_path / "checkpoint.npz").read_bytes()
    model = change.pop("model", tiny_vae)()
    with pytest.raises(ValueError, match="checkpoint must be of the same settings") as error:
        fit(tmp_path, model, **change)
    assert difference in str(error.value)
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


def recompiled(optimizer):
    model = tiny_vae()
    model.compile(optimizer)
    return model


def reseeded(seed):
    model = tiny_vae()
    keras.utils.set_random_seed(seed)
    return model


def test_ctrl_c_keeps_the_last_epoch_says_so_and_goes_on(tmp_path, capsys):
    model = tiny_vae()
    warm_up = vae.BetaWarmUp(3)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, model, callbacks=[warm_up, Break(2)])
    path = tmp_path / "checkpoint.npz"
    said = capsys.readouterr().out
    assert (
        said == f"Interrupted: 2 of 3 epochs are kept in {str(path)!r}; the same call goes on from there.\n"
    )
    assert model.beta == 1  # so that the same call, in the same process, has the same settings
    _, history = fit(tmp_path, model, callbacks=[warm_up])
    whole, whole_history = fit(tmp_path / "whole", callbacks=[vae.BetaWarmUp(3)])
    assert history.history == whole_history.history
    assert_same_values(model, whole)
    assert model.beta == whole.beta == 1


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("optimizer", [None, "adam"])
def test_a_run_that_breaks_off_ends_with_a_new_model_as_one_that_did_not(make, optimizer, tmp_path):
    def made():
        model = make()
        model.compile(optimizer)
        return model

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", made(), callbacks=[Break(1)], validation_data=X[:9])
    resumed, history = fit(tmp_path / "run", made(), callbacks=[Break()], validation_data=X[:9])
    whole, whole_history = fit(tmp_path / "whole", made(), validation_data=X[:9])
    assert history.history == whole_history.history
    assert_same_values(resumed, whole)
    assert resumed.evaluate(X, verbose=0) == whole.evaluate(X, verbose=0)


def test_a_finished_run_returns_at_once(tmp_path):
    model, history = fit(tmp_path, callbacks=[vae.BetaWarmUp(2, beta=4)])
    again, the_same = fit(tmp_path, callbacks=[Break(0, AssertionError)])
    assert (the_same.history, the_same.epoch) == (history.history, [0, 1, 2])
    assert again.history is the_same
    assert again.beta == model.beta == 4
    assert_same_values(model, again)


def test_a_run_that_was_stopped_early_is_not_taken_further(tmp_path):
    def stopping():
        return keras.callbacks.EarlyStopping("loss", patience=0, min_delta=1e9, restore_best_weights=True)

    class KilledBeforeTheEnd(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            raise KeyboardInterrupt

    whole, history = fit(tmp_path / "whole", epochs=9, callbacks=[stopping()])
    assert len(history.epoch) < 9
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", epochs=9, callbacks=[KilledBeforeTheEnd(), stopping()])
    model, resumed = fit(tmp_path / "run", epochs=9, callbacks=[Break(), stopping()])
    assert resumed.epoch == history.epoch
    assert_same_values(model, whole)


def test_callbacks_go_on_counting(tmp_path):
    class Counter(keras.callbacks.Callback):
        def __init__(self, note):
            super().__init__()
            self.note, self.arrays = note, []

        def on_train_begin(self, logs=None):
            self.count, self.best = 0, np.float32(np.inf)

        def on_epoch_end(self, epoch, logs=None):
            self.count, self.best = self.count + 1, np.float32(logs["loss"])
            self.arrays.append(np.full(3, epoch))

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, callbacks=[Counter("first"), Break(2)])
    counter = Counter("second")
    _, history = fit(tmp_path, callbacks=[counter, Break()])
    assert (counter.count, counter.best, counter.note) == (
        3,
        np.float32(history.history["loss"][2]),
        "second",
    )
    np.testing.assert_array_equal(counter.arrays, [[0] * 3, [1] * 3, [2] * 3])


def test_a_film_goes_on(tmp_path):
    def film():
        return vae.TrainingFilm(X, n=2)

    cut, whole = film(), film()
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", callbacks=[film(), Break(1)])
    fit(tmp_path / "run", callbacks=[cut, Break()])
    fit(tmp_path / "whole", callbacks=[whole])
    assert cut.epochs == whole.epochs == [0, 1, 2, 3]
    np.testing.assert_array_equal(cut.grids, whole.grids)


def test_damaged_checkpoints_are_named_and_left_alone(tmp_path):
    whole, history = fit(tmp_path)
    path = tmp_path / "checkpoint.npz"
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    flipped = [bytearray(good) for _ in range(20)]
    for data in flipped:
        data[rng.integers(len(data))] ^= 255
    refused = 0
    for data in (b"", good[: len(good) // 2], b"text", *map(bytes, flipped)):
        path.write_bytes(data)
        try:
            model, same = fit(tmp_path)
        except vae.ModelFileError as error:
            assert str(error).startswith(f"checkpoint must hold a whole checkpoint; {str(path)!r}")  # noqa: PT017
            refused += 1
        else:  # a byte that no one reads, such as one of a date
            assert same.history == history.history
            assert_same_values(model, whole)
        assert path.read_bytes() == data
    assert refused >= 10


def test_a_full_disk_is_a_clear_error_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 4:  # two a checkpoint: the file, its folder
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match=r"written \(No space left on device\); 1 of \d+ epochs are kept in "):
        fit(tmp_path)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["checkpoint.npz"]
    resumed, _ = fit(tmp_path)
    whole, _ = fit(tmp_path / "whole")
    assert_same_values(resumed, whole)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_a_file_that_may_not_grow_is_a_clear_error(tmp_path):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"could not be written \(File too large\); nothing is kept"):
            fit(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []


def test_leftovers_of_killed_writers_are_swept_and_those_of_others_are_not(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as alive:
        (tmp_path / f".checkpoint.npz.{alive.pid}.tmp").write_bytes(b"half")
        (tmp_path / ".checkpoint.npz.mine.tmp").write_bytes(b"half")
        fit(tmp_path)
        assert sorted(os.listdir(tmp_path)) == [f".checkpoint.npz.{alive.pid}.tmp", "checkpoint.npz"]
        alive.kill()
    fit(tmp_path)
    assert os.listdir(tmp_path) == ["checkpoint.npz"]


@pytest.mark.parametrize("wrong", [5, b"run", ["run"]])
def test_a_checkpoint_must_be_a_path(wrong):
    with pytest.raises(TypeError, match="checkpoint must be a string or a path object"):
        fit(wrong)


def test_a_checkpoint_must_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"checkpoint must be a folder; .+ is a file"):
        fit(tmp_path / "file")
    with pytest.raises(ValueError, match="initial_epoch must be left out"):
        fit(tmp_path, initial_epoch=1)


def test_a_model_that_could_not_be_described_is_refused_before_the_first_step(tmp_path):
    model = tiny_vae(reconstruction=lambda x, y: vae.reconstruction_loss(x, y))
    with pytest.raises(ValueError, match="register_keras_serializable"):
        fit(tmp_path, model)
    assert int(model.optimizer.iterations) == 0
    assert os.listdir(tmp_path) == []


def test_unseeded_runs_go_on_too(tmp_path, monkeypatch):
    monkeypatch.setattr("vae.training.plan.global_seed", lambda: None)
    monkeypatch.setattr("vae.training.seeds.global_seed", lambda: None)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, callbacks=[Break(1)])
    _, history = fit(tmp_path)
    assert history.epoch == [0, 1, 2]


def test_differences_are_found_anywhere():
    assert checkpoints._difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}) == ""
    assert checkpoints._difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}).startswith("a.1.b: 2 in")
    assert checkpoints._difference({"a": 1}, {"a": 1, "c": 0}).startswith("c: None in")


def test_a_saved_model_goes_on_with_its_noise(tmp_path):
    model, _ = fit(tmp_path)
    model.save(tmp_path / "model.keras")
    again = vae.load_model(tmp_path / "model.keras")
    assert again.evaluate(X, verbose=0) == model.evaluate(X, verbose=0)
