"""Networks that ask for more than their file holds: refused before anything is computed or allocated."""

import json

import keras
import numpy as np
import pytest
from model_files import assert_refused, layers, own_networks, saved, with_config

import vae

# Networks that take no weights to be absurd


def own_layer(config, cls):
    return next(layer for layer in layers(config) if layer["class_name"] == cls)["config"]


def set_own(cls, **values):
    return lambda config: own_layer(config, cls).update(values)


def in_place_of(cls, name, **values):
    def change(config):
        layer = next(layer for layer in layers(config) if layer["class_name"] == cls)
        layer.update(class_name=name, config={"name": "evil", **values}, build_config=None)

    return change


OWN = {
    "upsampling": (set_own("UpSampling2D", size=[10**6, 10**6]), "large arrays"),
    "zero padding": (
        in_place_of("UpSampling2D", "ZeroPadding2D", padding=[[10**6, 1], [10**6, 1]]), "large arrays"
    ),
    "reshape": (set_own("Reshape", target_shape=[3, 3, 10**10]), "absurd shape"),
    "kernel": (set_own("Conv2DTranspose", kernel_size=[10**4, 10**4]), "more numbers"),
    "filters": (set_own("Conv2DTranspose", filters=2**31), "more numbers"),
    "mean of a normalization": (in_place_of("Reshape", "Normalization", mean=0.0, variance=1.0), "allowed"),
    "constant array": (
        set_own("Conv2DTranspose", kernel_initializer={
            "module": "keras.initializers", "class_name": "Constant", "config": {"value": [1.0] * 9},
        }),
        "Constant is not allowed",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return saved(vae.VAE(*own_networks()), tmp_path_factory.mktemp("own") / "model.keras")


@pytest.mark.parametrize("case", OWN)
def test_absurd_networks_are_refused(case, own, tmp_path):
    change, match = OWN[case]
    assert_refused(tmp_path, with_config(own, change), match)


def test_networks_inside_networks_are_counted_as_often_as_they_are_called(good, tmp_path):
    def change(config):
        inner = layers(config)[1]
        for level in range(12):  # each calls the one inside it eight times
            nodes = inner["inbound_nodes"][:1] * 8
            entry = json.loads(json.dumps(config["config"]["decoder"]))
            entry["config"]["name"] = f"level{level}"
            entry["config"]["layers"][1] = {**inner, "inbound_nodes": nodes}
            inner = {**entry, "name": "Decoder-Hidden-Layer-1", "inbound_nodes": nodes[:1]}
        layers(config)[1] = inner

    assert_refused(tmp_path, with_config(good, change), "too many layers")


# Networks that are absurd only all together

# A real file of about 100,000 numbers: no limit for a single size stops what asks for a multiple of it.


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    encoder = vae.build_encoder(input_dim=784, hidden_units=(64,), latent_dim=2)
    model = vae.VAE(encoder, vae.build_decoder(latent_dim=2, hidden_units=(64,), output_dim=784))
    return saved(model, tmp_path_factory.mktemp("real") / "model.keras")


def layer(class_name, build=None, module="keras.layers", **config):
    """Return what a file says of a layer; `build` is the shape that it is to be built for at once."""
    named = {"module": module, "class_name": class_name, "config": config, "registered_name": None}
    return named if build is None else {**named, "build_config": {"input_shape": build}}


def tensor(name, call=0, index=0):
    history = {"shape": [None, 1], "dtype": "float32", "keras_history": [name, call, index]}
    return {"class_name": "__keras_tensor__", "config": history}


def called_on(entry, name, *inputs):
    entry["config"].setdefault("name", name)
    return {**entry, "name": name, "inbound_nodes": [{"args": list(inputs), "kwargs": {}}] if inputs else []}


def first(shape):
    return called_on(layer("InputLayer", batch_shape=[None, *shape], dtype="float32"), "input")


def network(entries, outputs=None):
    ends = {"input_layers": ["input", 0, 0], "output_layers": [outputs or entries[-1]["name"], 0, 0]}
    return layer("Functional", module="keras.src.models.functional", name="evil", layers=entries, **ends)


def chain(shape, *entries):
    """Return a network of layers one after another."""
    named = [first(shape)]
    for i, entry in enumerate(entries):
        before = tensor(named[-1]["name"])
        times = 2 if entry["class_name"] in ("MultiHeadAttention", "GRUCell") else 1
        named.append(called_on(entry, f"layer{i}", *[before] * times))
    return network(named)


def sequential(*entries, build=None, **config):
    for i, entry in enumerate(entries):
        entry["config"].setdefault("name", f"layer{i}")
    return layer("Sequential", build, module="keras.models", name="evil", layers=list(entries), **config)


def dense(units, build=None, **config):
    return layer("Dense", build and [None, build], units=units, **config)


def orthogonal(units):
    return dense(units, kernel_initializer=layer("Orthogonal", module="keras.initializers"))


def convolution(filters):
    return layer("Conv2D", filters=filters, kernel_size=[1, 1])


def twice(units):
    return dense(units), dense(units)


def wrapped(class_name, inner, **config):
    return layer(class_name, layer=inner, **config)


def never_called(entry):
    """The layer hangs on nothing, and is built from its build_config all the same."""
    return network([first([2]), called_on(entry, "alone"), called_on(dense(2), "dense", tensor("input"))])


def backwards(n):
    """The layers stand in the wrong order, so that Keras goes over all of them again and again."""
    entries = [called_on(dense(1), f"dense{i}", tensor(f"dense{i - 1}" if i else "input")) for i in range(n)]
    return network([first([1]), *reversed(entries)], f"dense{n - 1}")


def on_numbers():
    """Called on plain numbers; the name of a tensor stands beside them."""
    entry = called_on(layer("UpSampling1D", size=2**31), "up", "__keras_tensor__")
    entry["inbound_nodes"] = [{"args": [[[[1.0]]]], "kwargs": {}, "x": tensor("input")}]
    return network([first([2]), entry])


def of_one_name():
    return network([first([2]), *[called_on(dense(2), "dense", tensor("input")) for _ in range(2)]])


def of_one_layer():
    entries = [called_on(dense(2), f"dense{i}", tensor("input")) for i in range(2)]
    return network([first([2]), *[{**entry, "shared_object_id": 1} for entry in entries]])


def inside(levels, inner):
    for _ in range(levels):
        inner = chain([2], inner)
    return inner


# Keras builds this one from its build_config, and passes over what goes wrong on the way. States of an LSTM
# cannot be made where variables have no values; so without values the dense layers are never seen.
def behind_states():
    return sequential(layer("LSTM", units=2, stateful=True), *twice(50_000), build=[2, 3, 4])


SUMS = {
    "dense": lambda: chain([2], *twice(100_000)),
    "dense, each as large as the file": lambda: chain([300], dense(300), dense(300)),
    "dense, by their build_config": lambda: chain([2], dense(100_000, 100_000), dense(100_000, 100_000)),
    "dense, on a large input": lambda: chain([100_000], *twice(100_000)),
    "dense, never called": lambda: never_called(dense(100_000, 100_000)),
    "convolutions": lambda: chain([1, 1, 3], *[convolution(30_000) for _ in range(20)]),
    "orthogonal": lambda: chain([2], orthogonal(50_000), orthogonal(50_000)),
    "in a network": lambda: chain([2], chain([2], *twice(100_000))),
    "in a sequential": lambda: chain([2], sequential(*twice(100_000), build_input_shape=[None, 2])),
    "in an unbuilt sequential": lambda: chain([2], sequential(*twice(100_000))),
    "in a bidirectional": lambda: chain([3, 4], wrapped("Bidirectional", layer("LSTM", units=50_000))),
    "over time": lambda: chain([3, 4], *[wrapped("TimeDistributed", dense(100_000)) for _ in range(2)]),
    "a network over time": lambda: chain([3, 2], wrapped("TimeDistributed", chain([2], *twice(100_000)))),
    "attention": lambda: chain([4, 9], layer("MultiHeadAttention", num_heads=1000, key_dim=10**6)),
    "einsum": lambda: chain(
        [2], dense(100_000), layer("EinsumDense", equation="ab,bc->ac", output_shape=100_000)
    ),
    "embedding": lambda: chain([2], layer("Embedding", input_dim=100_000, output_dim=100_000)),
    "cells": lambda: chain([3, 4], layer("RNN", cell=layer("GRUCell", units=50_000))),
    "lora": lambda: chain([2], dense(100_000), dense(100_000, lora_rank=100)),
    "a quantized kernel, unpacked": lambda: chain(
        [2], dense(100_000, 100_000, lora_rank=1, dtype="int4_from_float32")
    ),
    "a kernel computed from others": lambda: chain(
        [2], wrapped("SpectralNormalization", dense(100_000, lora_rank=1, dtype="float32"))
    ),
}


@pytest.mark.parametrize("case", SUMS)
def test_networks_that_ask_for_more_than_the_file_holds_are_refused(case, real, tmp_path):
    def change(config):
        config["config"]["decoder"] = SUMS[case]()

    assert_refused(tmp_path, with_config(real, change), "more numbers than the file holds|too many layers")


def test_what_both_networks_ask_for_is_added_up(real, tmp_path):
    def change(config):
        config["config"].update(encoder=chain([300], dense(300)), decoder=chain([300], dense(300)))

    assert_refused(tmp_path, with_config(real, change), "more numbers than the file holds")


# Networks that would take time, or memory for something else than weights

OTHERS = {
    "states behind which nothing is counted": (behind_states, "not built from its layers"),
    "the same, never called": (lambda: never_called(behind_states()), "not built from its layers"),
    "a layer never called": (lambda: never_called(dense(2)), "never called"),
    "a layer called on numbers": (on_numbers, "called on no tensor"),
    "a split into very many": (
        lambda: chain([2], layer("Split", module="keras.src.ops.numpy", indices_or_sections=2**31)),
        "not allowed",
    ),
    "no operation": (lambda: chain([2], layer("np", module="keras.src.ops.numpy")), "not allowed"),
    "an error as for an input yet to come": (lambda: chain([2], layer("BatchNormalization", axis=9)), None),
    "an error on a large input": (lambda: chain([2**26], layer("GRUCell", units=1)), "more numbers"),
    "two layers of one name": (of_one_name, "one name"),
    "two layers that are one": (of_one_layer, "are one"),
    "a wrong order": (lambda: backwards(900), "cannot be connected"),
    "a long sequential": (
        lambda: sequential(*[dense(1) for _ in range(900)], build_input_shape=[None, 1]), "too many layers"
    ),
    "deep inside": (lambda: inside(15, chain([2], *[dense(2) for _ in range(150)])), "too many layers"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERS)
def test_networks_that_would_take_time_or_memory_are_refused(case, real, tmp_path):
    make, match = OTHERS[case]
    assert_refused(tmp_path, with_config(real, lambda c: c["config"].update(decoder=make())), match)


def large():
    return dense(50_000, 50_000, name="evil")


ELSEWHERE = {
    "loss": lambda c: c.update(compile_config={"optimizer": "adam", "loss": large()}),
    "optimizer": lambda c: c.update(compile_config={"optimizer": large()}),
    "reconstruction": lambda c: c["config"].update(reconstruction=large()),
    "beta": lambda c: c["config"].update(beta=large()),
    "name": lambda c: c["config"].update(name=[large()]),
    "another key": lambda c: c["config"].update(dtype=large()),
    "encoder's optimizer": lambda c: c["config"]["encoder"].update(compile_config={"loss": large()}),
    "call": lambda c: layers(c)[1]["inbound_nodes"][0]["kwargs"].update(training=large()),
}


@pytest.mark.parametrize("case", ELSEWHERE)
def test_large_layers_where_none_belong_are_refused(case, real, tmp_path):
    assert_refused(tmp_path, with_config(real, ELSEWHERE[case]))


# Networks that look odd, and are not


def called_again_and_again():
    x = h = keras.Input((4,))
    inside = keras.Input((4,))
    inner = keras.Model(inside, keras.layers.Dense(4)(inside))
    one, other = keras.layers.Dense(4), keras.layers.Dense(4, activation="tanh")
    for _ in range(20):
        h = other(one(h))
    h = keras.layers.Concatenate()([inner(h), inner(inner(x)), h[:, 1:]])
    h = keras.layers.Reshape((-1, 1))(h)
    h, _, state = keras.layers.LSTM(3, return_sequences=True, return_state=True)(h)
    h = keras.layers.MultiHeadAttention(2, 2)(h, value=h)
    h = keras.layers.Bidirectional(keras.layers.GRU(2))(
        keras.layers.TimeDistributed(keras.layers.Dense(2))(h)
    )
    h = keras.layers.SpectralNormalization(keras.layers.Dense(3))(keras.layers.Add()([h[:, :3], state]))
    mean, log_sigma = keras.layers.Dense(2)(h), keras.layers.Dense(2)(h)
    return keras.Model(x, [mean, log_sigma, vae.Sampling()([mean, log_sigma])])


def test_networks_of_layers_that_are_called_in_many_ways_are_loaded(tmp_path):
    decoder = keras.Sequential([keras.layers.Dense(3), *[keras.layers.Dense(4) for _ in range(50)]])
    model = vae.VAE(called_again_and_again(), keras.Sequential([keras.Input((2,)), decoder]))
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).random((3, 4), dtype=np.float32)
    loaded = vae.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.reconstruct(x), model.reconstruct(x), atol=1e-6)
