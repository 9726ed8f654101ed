"""Model files for tests: sound ones, the same with one thing changed, and what must come of such a file."""

import io
import json
import sys
import time
import zipfile

import h5py
import keras
import pytest
from archives import zip_bytes

import vae

NAMES = ("metadata.json", "config.json", "model.weights.h5")


def make_model():
    encoder = vae.build_encoder(input_dim=4, hidden_units=(3,), latent_dim=1, seed=1)
    return vae.VAE(encoder, vae.build_decoder(latent_dim=1, hidden_units=(3,), output_dim=4))


def saved(model, path):
    """Return the members of the file that a model is saved to, by name."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(members, method=zipfile.ZIP_STORED):
    return zip_bytes(members, method)


def peak_memory():
    """Return the most bytes that this process has ever held; 0 where there is no telling."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def assert_refused(tmp_path, content, match=None, seconds=10):
    path = tmp_path / "bad.keras"
    path.write_bytes(content)
    start, memory = time.perf_counter(), peak_memory()
    with pytest.raises(vae.ModelFileError, match=match) as caught:
        vae.load_model(path)
    assert time.perf_counter() - start < seconds
    assert peak_memory() - memory < 2**29 + 4 * len(content)
    text = str(caught.value)
    assert "bad.keras" in text
    assert len(text) < 350
    assert "\n" not in text
    assert caught.value.__cause__ is None


def with_config(good, change):
    """Return the file with its configuration changed by a function of it."""
    config = json.loads(good["config.json"])
    change(config)
    return pack({**good, "config.json": json.dumps(config).encode()})


def layers(config, network="decoder"):
    return config["config"][network]["config"]["layers"]


def with_weights(good, change):
    """Return the file with its weights changed by a function of the open HDF5 file."""
    file = io.BytesIO(good["model.weights.h5"])
    with h5py.File(file, "r+") as weights:
        change(weights)
    return pack({**good, "model.weights.h5": file.getvalue()})


def own_networks():
    regular = keras.regularizers.L2(1e-4)
    x = keras.Input((6, 6, 2))
    h = keras.layers.Rescaling(2.0, offset=-1.0)(x)
    h = keras.layers.Conv2D(4, 3, padding="same", activation="relu", kernel_regularizer=regular)(h)
    h = keras.layers.BatchNormalization()(h)
    h = keras.layers.LeakyReLU()(keras.layers.Add()([h, keras.layers.Conv2D(4, 1)(h)]))
    h = keras.layers.SpatialDropout2D(0.1)(h)
    h = keras.layers.MaxPooling2D()(h)
    h = keras.layers.Flatten()(h) * 2.0
    h = keras.ops.tanh(h) + 0.5
    h = keras.layers.Dense(8, kernel_initializer="orthogonal", kernel_constraint="max_norm")(h)
    h = keras.Sequential([keras.layers.Dropout(0.2), keras.layers.LayerNormalization()])(h)
    mean = keras.layers.Dense(2)(h)
    log_sigma = keras.layers.Dense(2, bias_initializer=keras.initializers.Constant(-1.0))(h)
    encoder = keras.Model(x, [mean, log_sigma, vae.Sampling()([mean, log_sigma])])
    decoder = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(18, activation=keras.activations.gelu),
            keras.layers.Reshape((3, 3, 2)),
            keras.layers.UpSampling2D(),
            keras.layers.Conv2DTranspose(4, 3, padding="same", activation=keras.ops.softplus),
            keras.layers.GroupNormalization(2),
            keras.layers.Conv2D(2, 3, padding="same", activation="sigmoid"),
        ]
    )
    return encoder, decoder
