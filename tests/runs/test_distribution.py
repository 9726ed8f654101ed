"""Two devices and two processes against one device, on JAX; what is refused, and where."""

import importlib.util
import json
import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
from tiny import X, tiny_networks

import vae

needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX")

SCRIPT = """
import json, sys, tempfile
import keras, numpy as np
options = json.loads(sys.argv[1])
if "address" in options:
    keras.distribution.initialize(options["address"], 2, options["process"])
if options.get("distribute"):
    keras.distribution.set_distribution(keras.distribution.DataParallel())
import vae
from vae.backends import backend
widths = set()
if backend.name == "jax":
    read = backend.read_rows
    backend.read_rows = lambda x, rows: (widths.add(rows.shape[1]), read(x, rows))[1]
digits = vae.load_digits()
keras.utils.set_random_seed(3)
model = vae.VAE(vae.build_encoder(784, (16,)), vae.build_decoder(2, (16,)))
try:
    model.compile()
except ValueError as error:
    print(json.dumps({"error": str(error)}), flush=True)
    raise SystemExit(0)
start, stop = options.get("rows", [0, 207])
x = digits.x_train[start:stop]
try:
    history = model.fit(x, batch_size=options.get("batch_size", 16), epochs=3, verbose=0,
                        validation_data=digits.x_test[:53]).history
except ValueError as error:
    print(json.dumps({"error": str(error)}), flush=True)
    raise SystemExit(0)
history["evaluate"] = model.evaluate(digits.x_test[:53], batch_size=16)
z_mean, _ = model.encode(digits.x_test[:5])
history["inference"] = [float(a.sum()) for a in (
    z_mean, model.decode(z_mean), model.predict(digits.x_test[:5]), model.generate(3, seed=0))]
if options.get("process", 0) == 0:
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder + "/model.keras")  # by one process alone, which must not wait for the other
print(json.dumps({"history": history, "widths": sorted(widths)}), flush=True)
"""


def start(devices=1, **options):
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
    command = [sys.executable, "-c", SCRIPT, json.dumps(options)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def results(*processes):
    try:
        outputs = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, errors[-2000:]
    return [json.loads(out.strip().splitlines()[-1]) for out, _ in outputs]


def two_processes(**options):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    rows = options.pop("rows", (None, None))
    each = [{**options, **({} if part is None else {"rows": part})} for part in rows]
    return results(*(start(1, distribute=1, address=address, process=i, **each[i]) for i in (0, 1)))


@pytest.fixture(scope="module")
def one_device():
    return results(start())[0]


def assert_same(a, b):
    assert a["history"].keys() == b["history"].keys()
    assert len(a["history"]["loss"]) == 3
    assert "val_loss" in a["history"]
    for name, values in a["history"].items():
        np.testing.assert_allclose(
            values, b["history"][name], rtol=0 if name != "inference" else 1e-5, atol=1e-4
        )


@needs_jax
def test_two_devices_train_as_one_does(one_device):
    two = results(start(2, distribute=1))[0]
    assert_same(one_device, two)
    # Half of every batch of 16; the rests of 207 and 53 are odd, and go whole to both.
    assert two["widths"] == [5, 8, 15]


def is_old():
    return tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15)


@needs_jax
@pytest.mark.skipif(not is_old(), reason="Keras is new enough")
def test_several_processes_are_refused_by_an_old_keras():
    for each in two_processes():
        assert each["error"].startswith("several processes need Keras 3.15")


@needs_jax
@pytest.mark.skipif(is_old(), reason="Keras 3.15 and later train in several processes")
def test_two_processes_train_as_one_does_and_read_their_own_rows(one_device):
    for each in two_processes():
        assert_same(one_device, each)
        assert each["widths"] == [5, 8, 15]


@needs_jax
@pytest.mark.skipif(is_old(), reason="Keras 3.15 and later train in several processes")
def test_processes_given_different_data_are_told_so():
    for each in two_processes(rows=([0, 104], [104, 208])):
        assert "different: x." in each["error"]


@needs_jax
def test_a_batch_that_the_devices_cannot_share_is_refused():
    (each,) = results(start(2, distribute=1, batch_size=15))
    assert each["error"] == "batch_size must be a multiple of 2, the number of devices; got 15."


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_mirrored_strategy_is_refused_and_jax_named():
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = vae.VAE(*tiny_networks())
        with pytest.raises(ValueError, match=r"not supported; got MirroredStrategy\. .*JAX"):
            model.compile()
    with pytest.raises(ValueError, match="JAX"):  # the model stays one of the strategy
        model.compile()
    plain = vae.VAE(*tiny_networks())
    plain.compile()
    with strategy.scope(), pytest.raises(ValueError, match="JAX"):
        plain.fit(X, verbose=0)
    with strategy.scope(), pytest.raises(ValueError, match="JAX"):
        plain.evaluate(X)
