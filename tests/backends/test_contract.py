"""The contract of the backends: the same methods in all three, and what the one that runs makes of them."""

import ast
import pathlib
from functools import partial

import keras
import numpy as np
import pytest
from tiny import LATENT, PIXELS, X, tiny_autoencoder, tiny_networks, tiny_vae, to_numpy, values_of

from vae.backends import Chunk, Device, backend, load_backend
from vae.training.chunks import Chunks

PACKAGE = pathlib.Path(__file__).parents[2] / "vae"
NAMES = ["tensorflow", "jax", "torch"]


def parse(path):
    return ast.parse(path.read_text())


# What is written: read, so that no backend need be installed


def class_in(name):
    """Return the one class of a module in `backends` that is, or extends, `Backend`."""
    (found,) = [
        node
        for node in parse(PACKAGE / "backends" / f"{name}.py").body
        if isinstance(node, ast.ClassDef)
        and (node.name == "Backend" or "Backend" in [ast.unparse(base) for base in node.bases])
    ]
    return found


def methods_of(node):
    """Return the parameters of each method."""
    return {method.name: method.args for method in node.body if isinstance(method, ast.FunctionDef)}


def settings_of(node):
    """Return what is set in the body of a class."""
    return {
        ast.unparse(line.targets[0]): ast.literal_eval(line.value)
        for line in node.body
        if isinstance(line, ast.Assign)
    }


def must_be_written(name):
    """Return the methods that the contract leaves to each backend."""
    return {
        method.name
        for method in class_in(name).body
        if isinstance(method, ast.FunctionDef) and ast.unparse(method.body[-1]) == "raise NotImplementedError"
    }


MANY_DEVICES = {"process_index", "process_count", "gather", "lies_on", "put_on_devices"}


def test_the_contract_asks_for_what_the_package_needs():
    assert must_be_written("contract") == {"inspect", "run_chunk", "compile_network", *MANY_DEVICES}
    optional = {"steps_alone", "feed", "keep_near", "pace", "alone", "pays_for_xla"}
    optional |= {"check_strategy", "shapes_only"}
    assert set(methods_of(class_in("contract"))) == must_be_written("contract") | optional


@pytest.mark.parametrize("name", NAMES)
def test_each_backend_keeps_the_contract(name):
    contract, written = methods_of(class_in("contract")), methods_of(class_in(name))
    settings = settings_of(class_in(name))
    assert settings["name"] == name
    needed = must_be_written("contract")
    if not settings.get("shares_batches", False):
        needed -= MANY_DEVICES
    assert needed <= set(written)
    for method in set(written) & set(contract):
        assert ast.unparse(written[method]) == ast.unparse(contract[method]), method


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_what_depends_on_the_backend_is_behind_the_door(path):
    """Nothing imports a framework but its own modules, and nothing asks which one runs but the door."""
    own = {path.stem.partition("_")[0]} if path.parent.name == "backends" else set()
    imported, asked = set(), False
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("backend.backend", "config.backend")
        ):
            asked = True
    assert imported & set(NAMES) <= own
    assert not asked or path == PACKAGE / "backends" / "__init__.py"


# What it does, on the backend that runs


def test_the_backend_is_that_of_keras():
    assert backend.name == keras.backend.backend()
    assert load_backend(backend.name) is backend


@pytest.mark.parametrize("name", ["openvino", "numpy", "theano", ""])
def test_another_backend_is_an_import_error_that_names_the_three(name):
    with pytest.raises(ImportError, match=f"must be tensorflow, jax or torch; got '{name}'"):
        load_backend(name)


def test_inspect_says_what_it_computes_on():
    device = backend.inspect()
    assert isinstance(device, Device)
    assert device.title.split(" ")[0].lower() in ("tensorflow", "jax", "pytorch")
    assert device.title.split(" ")[1][0].isdigit()
    assert isinstance(device.gpus, list)
    assert device.has_gpu_code in (True, False)


def groups(model):
    """Return what Keras hands its step on JAX."""
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )


def run_chunk(model, batches, rates=None):
    """Train a model on a chunk; return the logs."""
    chunk = Chunk(batches, np.zeros(len(batches), np.float32) if rates is None else np.float32(rates))
    chunk = Chunk(*(keras.ops.convert_to_tensor(part) for part in chunk))
    run = partial(backend.run_chunk, model, partial(keras.Model.train_step, model), rates is not None, chunk)
    if backend.name == "jax":
        logs, state = run(tuple([variable.value for variable in group] for group in groups(model)))
        for group, values in zip(groups(model), state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
    else:
        logs = run()
    return {name: float(value) for name, value in logs.items()}


BATCHES = X.reshape(4, 4, PIXELS)


def by_sgd(rate=0.05):
    model = tiny_autoencoder()
    model.compile(keras.optimizers.SGD(rate))
    return model


def assert_alike(one, other):
    for a, b in zip(values_of(one), values_of(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_chunk_is_its_steps_one_by_one():
    looped, stepped = by_sgd(), by_sgd()
    logs = run_chunk(looped, BATCHES)
    for i in range(4):
        expected = run_chunk(stepped, BATCHES[i : i + 1])
    assert logs == pytest.approx(expected, rel=1e-5)
    assert_alike(looped, stepped)
    assert int(looped.optimizer.iterations) == 4


def test_a_chunk_may_be_one_step():
    looped, plain = by_sgd(), by_sgd()
    logs = run_chunk(looped, BATCHES[:1])
    assert logs["loss"] == pytest.approx(float(plain.train_on_batch(BATCHES[0])[0]), rel=1e-5)
    assert_alike(looped, plain)


def test_a_schedule_sets_the_rate_of_each_step():
    rates = [0.1, 0.0, 0.02, 0.05]
    looped, stepped = by_sgd(rate=9.0), by_sgd()
    run_chunk(looped, BATCHES, rates)
    for i, rate in enumerate(rates):
        stepped.optimizer.learning_rate = rate
        run_chunk(stepped, BATCHES[i : i + 1])
    assert_alike(looped, stepped)
    assert float(looped.optimizer.learning_rate) == pytest.approx(rates[-1])


def test_without_a_schedule_the_rate_stays():
    model = by_sgd(rate=0.25)
    run_chunk(model, BATCHES)
    assert float(model.optimizer.learning_rate) == 0.25


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_keras_takes_what_feed_gives(dtype):
    model = tiny_autoencoder()
    x = X if dtype == "float32" else np.rint(255 * X).astype(dtype)
    fed = backend.feed(Chunks(x, batch_size=5, steps=2))
    (losses,) = model.losses_per_image(x)
    assert keras.Model.evaluate(model, fed, verbose=0)[0] == pytest.approx(losses.mean(), rel=1e-5)


@pytest.mark.parametrize("n", [1, 5, 1000])
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_compiled_network_takes_any_number_of_rows(part, n):
    network = tiny_networks(noise=0)[part == "decoder"]
    compiled = backend.compile_network(network)
    x = np.random.default_rng(0).random((n, *network.input_shape[1:]), np.float32)
    expected = keras.tree.flatten(network(x))
    for output, wanted in list(zip(keras.tree.flatten(compiled(x)), expected, strict=True))[:2]:
        np.testing.assert_allclose(to_numpy(output)[:n], to_numpy(wanted), atol=1e-5)


def test_a_compiled_network_may_have_several_inputs():
    inputs = [keras.Input((3,)), keras.Input((2,))]
    compiled = backend.compile_network(keras.Model(inputs, keras.layers.Concatenate()(inputs)))
    a, b = np.ones((5, 3), np.float32), np.zeros((5, 2), np.float32)
    np.testing.assert_array_equal(to_numpy(compiled(a, b))[:5], np.concatenate([a, b], axis=1))


def test_a_compiled_network_sees_new_weights():
    _, network = tiny_networks()
    compiled, z = backend.compile_network(network), np.ones((2, 2), np.float32)
    before = to_numpy(compiled(z))
    network.set_weights([weight + 0.1 for weight in network.get_weights()])
    assert not np.allclose(to_numpy(compiled(z)), before)


def test_a_paced_step_gives_what_the_step_gives():
    if backend.name == "jax":
        paced = backend.pace(None, lambda state, iterator: ({"loss": state + next(iterator)}, state + 1))
        batches, state = iter(np.zeros(9)), np.float32(0)
        for i in range(9):
            logs, state = paced(state, batches)
            assert (logs["loss"], state) == (i, i + 1)
    else:
        paced = backend.pace(None, next)
        assert list(paced(iter([number])) for number in range(9)) == list(range(9))


def test_data_stays_where_it_is_without_a_gpu():
    if backend.inspect().gpus:
        pytest.skip("there is a GPU")
    assert backend.keep_near(X) is X


def test_shapes_only_leaves_shapes_to_be_asked_for():
    network = tiny_networks()[1]
    with backend.shapes_only():
        assert network.compute_output_shape((7, 2)) == (7, PIXELS)
    assert to_numpy(keras.ops.ones(3)).sum() == 3


@pytest.mark.skipif(backend.name != "torch", reason="only PyTorch computes where it is asked for a shape")
def test_shapes_only_lets_nothing_be_computed():
    with backend.shapes_only(), pytest.raises(ValueError, match="without computing"):
        keras.ops.ones(3)


def test_many_networks_bring_no_warning(caplog):
    """TensorFlow warns of functions that are compiled over and over, and takes all of one place for one."""
    for _ in range(8):
        backend.compile_network(tiny_vae().decoder)(np.zeros((1, LATENT), np.float32))
    assert "retracing" not in caplog.text
