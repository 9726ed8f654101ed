"""What is written by `save`, and what comes back from it, in this process and in others."""

import errno
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from tiny import BOTH, X, assert_same_values, fit, tiny_autoencoder, tiny_networks, tiny_vae

import vae

ROOT = pathlib.Path(__file__).parents[2]

RELOAD = """
import sys
import vae
import keras, numpy as np

x = np.random.default_rng(0).random((5, 36), dtype="float32")
folder, results = sys.argv[1], {}
for load in (keras.saving.load_model, vae.load_model):
    model, autoencoder = load(folder + "/vae.keras"), load(folder + "/autoencoder.keras")
    assert type(model) is vae.VAE and type(autoencoder) is vae.Autoencoder
    results = {"z_mean": model.encode(x)[0], "images": model.reconstruct(x), "code": autoencoder.encode(x)}
    results["reconstruction"], results["kl"] = model.losses_per_image(x, np.ones((5, 2)))
    np.savez(f"{folder}/{load.__module__.partition('.')[0]}.npz", **results)
    for either in (model, autoencoder):
        either.fit(x, verbose=0)
        clone = keras.models.clone_model(either)
        clone.set_weights(either.get_weights())
        np.testing.assert_array_equal(clone.reconstruct(x), either.reconstruct(x))
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_saved_models_give_the_same_in_a_fresh_process_of_every_backend(backend, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    model, autoencoder = tiny_vae(), tiny_autoencoder()
    for either, name in ((model, "vae"), (autoencoder, "autoencoder")):
        fit(either)
        either.save(tmp_path / f"{name}.keras")
    environment = {**os.environ, "KERAS_BACKEND": backend}
    subprocess.run([sys.executable, "-c", RELOAD, str(tmp_path)], check=True, cwd=ROOT, env=environment)
    x = np.random.default_rng(0).random((5, 36), dtype="float32")
    losses = model.losses_per_image(x, np.ones((5, 2)))
    for loader in ("keras", "vae"):
        with np.load(tmp_path / f"{loader}.npz") as out:
            np.testing.assert_allclose(out["z_mean"], model.encode(x)[0], atol=1e-5)
            np.testing.assert_allclose(out["images"], model.reconstruct(x), atol=1e-5)
            np.testing.assert_allclose(out["reconstruction"], losses[0], atol=1e-4)
            np.testing.assert_allclose(out["kl"], losses[1], atol=1e-4)
            np.testing.assert_allclose(out["code"], autoencoder.encode(x), atol=1e-5)


# In this process


@pytest.fixture(params=BOTH)
def either(request):
    """A VAE, then an autoencoder."""
    return request.param()


@pytest.mark.parametrize("load", [vae.load_model, keras.saving.load_model])
def test_a_loaded_model_is_the_saved_one(either, load, tmp_path):
    fit(either)
    either.save(tmp_path / "model.keras")
    loaded = load(tmp_path / "model.keras")
    assert type(loaded) is type(either)
    assert_same_values(either, loaded)
    np.testing.assert_array_equal(loaded.reconstruct(X), either.reconstruct(X))
    assert loaded.evaluate(X, verbose=0) == either.evaluate(X, verbose=0)
    assert fit(loaded, epochs=2) == fit(either, epochs=2)


def test_a_loaded_model_keeps_beta_optimizer_and_settings(tmp_path):
    model = tiny_vae(beta=2.5, name="mine")
    model.compile(keras.optimizers.Adam(0.01))
    fit(model, batch_size=16)
    model.save(tmp_path / "model.keras")
    loaded = vae.load_model(tmp_path / "model.keras")
    assert (loaded.beta, loaded.name) == (2.5, "mine")
    assert float(loaded.optimizer.learning_rate) == pytest.approx(0.01)
    assert int(loaded.optimizer.iterations) == 1
    assert fit(loaded)["loss"][0] < fit(model)["loss"][0] * 1.5


@pytest.mark.parametrize("beta", [0.1, 1 / 4, 1e-3, 0])
def test_beta_is_written_as_it_was_given(beta, tmp_path):
    model = tiny_vae(beta=beta)
    assert json.loads(json.dumps(model.get_config()))["beta"] == beta
    model.save(tmp_path / "model.keras")
    assert vae.load_model(tmp_path / "model.keras").beta == beta


def test_saving_an_uncompiled_model_and_weights_alone_work(tmp_path):
    model = vae.VAE(*tiny_networks())
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(vae.load_model(tmp_path / "model.keras").encode(X)[0], model.encode(X)[0])
    model.save_weights(tmp_path / "model.weights.h5")
    other = vae.VAE(*tiny_networks())
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other.encode(X)[0], model.encode(X)[0])


def test_the_parts_save_by_themselves(tmp_path):
    model = tiny_vae()
    for name, part, data in (("e", model.encoder, X), ("d", model.decoder, np.zeros((2, 2)))):
        part.save(tmp_path / f"{name}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{name}.keras")
        np.testing.assert_allclose(
            np.asarray(loaded.predict(data, verbose=0)[0]),
            np.asarray(part.predict(data, verbose=0)[0]),
            atol=1e-6,
        )


@pytest.mark.parametrize("shape", [(28, 28), (9, 6, 3)])
def test_a_convolutional_model_trains_and_comes_back(shape, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, *shape), dtype=np.uint8)
    image_shape = (*shape, 1)[:3]
    keras.utils.set_random_seed(0)
    model = vae.VAE(
        vae.build_conv_encoder(image_shape, (4, 8)), vae.build_conv_decoder(2, (8, 4), image_shape)
    )
    model.compile()
    history = model.fit(images, epochs=2, batch_size=8, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert model.reconstruct(images).shape == images.shape
    model.save(tmp_path / "model.keras")
    loaded = vae.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.reconstruct(images), model.reconstruct(images), atol=1e-6)


def test_a_configuration_can_be_used_twice(either):
    config, kind = either.get_config(), type(either)
    assert kind.from_config(config).name == kind.from_config(config).name == either.name


# A reconstruction term of one's own


@keras.saving.register_keras_serializable(package="tests")
def absolute_error(x, reconstruction):
    return ops.sum(ops.abs(x - reconstruction), axis=1)  # (batch,)


@pytest.mark.parametrize("make", BOTH)
def test_a_registered_function_comes_back_with_keras(make, tmp_path):
    model = make(reconstruction=absolute_error)
    fit(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.reconstruction is absolute_error
    assert fit(loaded) == fit(model)


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("function", [vae.reconstruction_loss, vae.bernoulli_loss])
def test_a_function_of_this_package_comes_back(make, function, tmp_path):
    model = make(reconstruction=function)
    model.save(tmp_path / "model.keras")
    for load in (keras.saving.load_model, vae.load_model):
        assert load(tmp_path / "model.keras").reconstruction is function


def not_registered(x, reconstruction):
    return absolute_error(x, reconstruction)


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("function", [lambda x, y: absolute_error(x, y), not_registered])
def test_a_function_that_could_not_come_back_is_not_saved(make, function, tmp_path):
    path, model = tmp_path / "model.keras", make(reconstruction=function)
    fit(model)
    path.write_bytes(b"the one before")
    with pytest.raises(ValueError, match=r"@keras\.saving\.register_keras_serializable"):
        model.save(path)
    assert path.read_bytes() == b"the one before"
    assert os.listdir(tmp_path) == ["model.keras"]


# What is refused, and what is left as it was


def test_the_old_format_is_refused_before_it_loses_a_model(either, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.keras"):
        either.save(tmp_path / "model.h5")
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_leaves_the_one_before(either, tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    path.write_bytes(b"the one before")
    with pytest.raises(FileExistsError, match="filepath must be new where overwrite is False"):
        either.save(path, overwrite=False)

    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        either.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"the one before"
    assert os.listdir(tmp_path) == ["model.keras"]
    either.save(path)
    vae.load_model(path)


def test_damaged_files_are_value_errors(tmp_path):
    path = tmp_path / "model.keras"
    tiny_vae().save(path)
    sound = path.read_bytes()
    for damaged in (b"", b"junk", sound[:1000], sound[:-3000], sound[:3000] + b"\xff" * 50 + sound[3050:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="path must"):
            vae.load_model(path)
    with pytest.raises(TypeError, match="path must be a string"):
        vae.load_model(None)


def test_load_model_says_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is none at"):
        vae.load_model(tmp_path / "none.keras")
    tiny_networks()[1].save(tmp_path / "decoder.keras")
    with pytest.raises(ValueError, match="must hold a vae"):
        vae.load_model(tmp_path / "decoder.keras")
