"""Keras's own loader finds this package's classes after `import vae`, whatever is imported first."""

import os
import pathlib
import subprocess
import sys

import pytest
from tiny import tiny_autoencoder, tiny_vae

ROOT = pathlib.Path(__file__).parents[2]
ORDERS = {
    "vae, then keras": "import vae, keras",
    "keras, then vae": "import keras, vae",
    "the backend first": "import {backend}, vae, keras",
    "a class first": "import vae; vae.VAE; import keras",
    "a function first": "from vae import kl_divergence; import keras",
    "a module first": "import vae.layers; import keras",
    "another module first": "import vae.training.recipe; import keras",
    "data first": "import vae; vae.load_digits(); import keras",
    "a part of keras": "import vae; from keras import saving; import keras",
}
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")


def run(code, **env):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **env})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = tiny_vae(reconstruction="gaussian")
    for name, saved in (("vae", model), ("encoder", model.encoder), ("autoencoder", tiny_autoencoder())):
        saved.save(folder / f"{name}.keras")
    return folder


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_keras_loads_models_and_bare_encoders(order, files):
    code = f"""
{order.format(backend=BACKEND)}
for name in ("vae", "encoder", "autoencoder"):
    print(type(keras.saving.load_model({str(files)!r} + f"/{{name}}.keras")).__name__)
import vae
print(keras.saving.get_registered_object("vae>VAE") is vae.VAE)
"""
    result = run(code)
    assert result.stdout.split() == ["VAE", "Functional", "Autoencoder", "True"], result.stderr


def test_a_backend_that_does_not_exist_is_an_error_of_keras():
    result = run("import vae; print('here'); import keras", KERAS_BACKEND="no such")
    assert result.stdout == "here\n"
    assert "no such" in result.stderr.splitlines()[-1]
    assert "vae" not in result.stderr.splitlines()[-1]


def test_keras_is_imported_though_this_package_cannot_be():
    code = """
import sys, vae
sys.modules["vae.losses"] = None  # cannot be imported
import keras
print(keras.ops.ones(1).shape[0], "vae.model" in sys.modules)
"""
    assert run(code).stdout.split() == ["1", "False"]
