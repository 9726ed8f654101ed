"""The private parts of Keras that `vae._keras` uses: a Keras that changes one fails here, and loudly."""

import json
import os
import pathlib
import random
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from tiny import tiny_networks, tiny_vae

from vae import _keras


def configuration_of(model, path):
    """Return what Keras writes into a file about a model."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def modules_in(value):
    """Yield (module, class name) of all that a configuration names."""
    if isinstance(value, dict):
        if "module" in value and "class_name" in value:
            yield value["module"], value["class_name"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from modules_in(item)


# The names that Keras writes into files


def test_a_functional_model_is_written_under_the_name_of_its_module(tmp_path):
    encoder, _ = tiny_networks()
    assert (_keras.FUNCTIONAL_MODULE, "Functional") in modules_in(
        configuration_of(tiny_vae(), tmp_path / "vae.keras")
    )
    assert configuration_of(encoder, tmp_path / "encoder.keras")["module"] in (
        "keras",
        "keras.models",
        _keras.FUNCTIONAL_MODULE,
    )


def test_operations_are_written_under_the_names_of_their_modules(tmp_path):
    x = keras.Input((3,))
    model = keras.Model(x, keras.ops.relu(keras.ops.tanh(x * 2.0) + 1.0))
    found = {module for module, _ in modules_in(configuration_of(model, tmp_path / "model.keras"))}
    assert {module for module in found if ".ops." in module} == set(_keras.OPERATION_MODULES)


def test_optimizers_of_pytorch_have_the_names_of_their_modules(tmp_path):
    folder = pathlib.Path(keras.__file__).parent / "src/backend/torch/optimizers"
    parallel = [path for path in folder.glob("torch_*.py") if "adam" in path.stem]
    assert parallel
    assert _keras.TORCH_OPTIMIZERS == "keras.src.backend.torch.optimizers.torch_"
    model = tiny_vae()
    model.compile("adam")
    module = configuration_of(model, tmp_path / "model.keras")["compile_config"]["optimizer"]["module"]
    of_torch = keras.backend.backend() == "torch"
    assert module.startswith(_keras.TORCH_OPTIMIZERS if of_torch else "keras.optimizers")


@pytest.mark.parametrize(
    ("layer", "family"),
    [
        ("Dense", "core"),
        ("Lambda", "core"),
        ("Conv2D", "convolutional"),
        ("MaxPooling2D", "pooling"),
        ("BatchNormalization", "normalization"),
        ("Dropout", "regularization"),
        ("Reshape", "reshaping"),
        ("Add", "merging"),
        ("LeakyReLU", "activations"),
        ("LSTM", "rnn"),
        ("MultiHeadAttention", "attention"),
        ("Rescaling", "preprocessing"),
    ],
)
def test_the_family_of_a_layer_is_the_folder_of_keras_that_defines_it(layer, family):
    assert _keras.layer_family(getattr(keras.layers, layer)) == family


# The seed


def test_the_global_seed_is_the_one_that_was_set():
    keras.utils.set_random_seed(1234)
    assert _keras.global_seed() == 1234
    keras.utils.set_random_seed(0)
    assert _keras.global_seed() == 0


def test_without_one_there_is_none():
    code = "from vae._keras import global_seed; print(global_seed())"
    command = [sys.executable, "-c", code]
    root = pathlib.Path(__file__).parents[1]
    assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout == "None\n"


# Graphs of networks


def test_the_origin_of_a_tensor_is_its_layer_which_output_it_is_and_of_what():
    image = keras.Input((3,), name="image")
    first, second = keras.layers.Dense(4, name="first"), keras.layers.Dense(4, name="second")
    x = first(image)
    y = second(x)
    again = second(y)  # `second.input` would be x
    for tensor, layer, before in ((x, first, image), (y, second, x), (again, second, y)):
        operation, index, inputs = _keras.origin(tensor)
        assert operation is layer
        assert index == 0
        assert len(inputs) == 1
        assert inputs[0] is before
    assert _keras.origin(image)[0].name == "image"
    assert _keras.origin(image)[2] == []
    halves = keras.ops.split(y, [2], axis=1)
    assert [_keras.origin(half)[1] for half in halves] == [0, 1]
    assert _keras.origin(halves[0])[0] is _keras.origin(halves[1])[0]


def test_the_shapes_inside_a_network_are_found_at_any_depth():
    inner = keras.Sequential([keras.Input((7,)), keras.layers.Dense(11), keras.layers.Dense(13)])
    twice = keras.layers.Dense(17)
    x = keras.Input((17,))
    network = keras.Model(x, keras.ops.tanh(inner(keras.layers.Dense(7)(twice(twice(x))))) * 2.0)
    assert set(_keras.shapes_inside(network)) == {(None, size) for size in (7, 11, 13, 17)}


# Variables without values


def counting_layer(units=4):
    """Return a layer, and the list of shapes for which numbers were made."""
    made = []

    def initializer(shape, dtype=None):
        made.append(shape)
        return keras.ops.zeros(shape, dtype)

    return keras.layers.Dense(units, kernel_initializer=initializer), made


def test_a_network_of_any_size_costs_nothing():
    with _keras.variables_without_values() as variables:
        layer = keras.layers.Dense(10**9)
        layer.build((None, 10**9))
        assert layer.kernel.shape == (10**9, 10**9)
        assert {tuple(variable.shape) for variable in variables} >= {(10**9, 10**9), (10**9,)}


def test_nothing_is_left_for_the_next_scope():
    layer, made = counting_layer()
    with _keras.variables_without_values():
        layer.build((None, 3))
    with keras.StatelessScope():
        pass
    assert made == []


def test_what_was_waiting_for_its_values_gets_them():
    waiting, made = counting_layer()
    with keras.StatelessScope():
        waiting.build((None, 3))
        with _keras.variables_without_values():
            counting_layer()[0].build((None, 3))
    assert made == [(3, 4)]
    assert np.shape(keras.ops.convert_to_numpy(waiting.kernel)) == (3, 4)


def test_the_public_scope_alone_would_leave_something():
    """If this fails, `variables_without_values` can be a plain `keras.StatelessScope`."""
    layer, made = counting_layer()
    with keras.StatelessScope(initialize_variables=False):
        layer.build((None, 3))
    assert made == []
    with keras.StatelessScope():
        pass
    assert made == [(3, 4)]


def test_pythons_random_numbers_are_left_as_they_were():
    random.seed(3)
    expected = random.Random(3).random()
    with _keras.variables_without_values():
        keras.layers.Dropout(0.5)  # takes a seed
    assert random.random() == expected


# What is written to the terminal


def test_what_compiled_code_writes_is_held_back_unless_the_block_fails(capfd):
    with _keras.stderr_held_back():
        os.write(2, b"a warning\n")
    assert capfd.readouterr().err == ""

    def fail():
        with _keras.stderr_held_back():
            os.write(2, b"the reason\n")
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert capfd.readouterr().err == "the reason\n"


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="of PyTorch alone")
def test_keras_draws_its_noise_from_the_generator_that_can_be_put_in_its_place():
    drawn, seed = [], keras.random.SeedGenerator(4)

    def draw(generator_of, seed):
        drawn.append(seed)
        return generator_of(5)

    with _keras.noise_drawn_by(draw):
        noise = keras.random.normal((3,), seed=seed)
    assert drawn == [seed]
    expected = keras.random.normal((3,), seed=5)
    np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (noise, expected)))
    assert keras.ops.convert_to_numpy(seed.state).tolist() == [4, 0]
