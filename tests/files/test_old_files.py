"""Files that version 0.1.0 wrote, on TensorFlow: they are loaded, and give what they gave then."""

from pathlib import Path

import keras
import numpy as np
import pytest

import vae

FOLDER = Path(__file__).with_name("written_by_0_1_0")
KINDS = {"dense": (0.1, "mse"), "convolutional": (1.0, "bernoulli")}

pytestmark = pytest.mark.skipif(
    tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15),
    reason="written with Keras 3.15, whose files older ones cannot read",
)


@pytest.fixture(scope="module")
def expected():
    with np.load(FOLDER / "expected.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", KINDS)
def test_models_of_0_1_0_are_loaded_and_give_what_they_gave(name, expected):
    model = vae.load_model(FOLDER / f"{name}.keras")
    assert (model.beta, model.reconstruction) == KINDS[name]
    z_mean, z_log_sigma = model.encode(expected["x"])
    np.testing.assert_allclose(z_mean, expected[f"{name}_z_mean"], atol=1e-6)
    np.testing.assert_allclose(z_log_sigma, expected[f"{name}_z_log_sigma"], atol=1e-6)
    np.testing.assert_allclose(model.reconstruct(expected["x"]), expected[f"{name}_images"], atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="optimizers differ between backends")
@pytest.mark.parametrize("name", KINDS)
def test_optimizers_of_0_1_0_go_on_where_they_were(name, expected):
    variables = vae.load_model(FOLDER / f"{name}.keras").optimizer.variables
    assert len(variables) == sum(key.startswith(f"{name}_optimizer_") for key in expected)
    for i, variable in enumerate(variables):
        if variable.name != "learning_rate":  # that of the recipe, as it is today
            np.testing.assert_array_equal(np.asarray(variable), expected[f"{name}_optimizer_{i}"])
