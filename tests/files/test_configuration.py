"""Configurations that name code, files or nonsense: refused in one line, and nothing of them executed."""

import base64
import contextlib
import json
import marshal
import types

import keras
import pytest
from model_files import assert_refused, layers, pack, with_config


def replaced(layer, network="decoder", at=1):
    """Put a layer's configuration in the place of another, and keep its connections."""

    def change(config):
        old = layers(config, network)[at]
        new = {k: v for k, v in old.items() if k in ("name", "inbound_nodes")}
        layers(config, network)[at] = {
            **new, "registered_name": None, **layer, "config": {"name": old["name"], **layer["config"]}
        }  # fmt: skip

    return change


def edited(value, *keys, network="decoder", at=1):
    """Set one value inside a layer's entry."""

    def change(config):
        place = layers(config, network)[at]
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def keras_layer(name, **config):
    return replaced({"module": "keras.layers", "class_name": name, "config": config})


def function(name, module="builtins", registered="function"):
    named = {"module": module, "class_name": "function", "config": name, "registered_name": registered}
    return edited(named, "config", "activation")


def huge_units(config):
    edited(10**12, "config", "units")(config)


def units_and_shape(units):
    def change(config):
        for at in (1, 2):
            edited(units, "config", "units", at=at)(config)
            edited({"input_shape": [None, units]}, "build_config", at=at)(config)

    return change


def marker_lambda(marker):
    code = compile(f"open({marker!r}, 'w').close()", "<evil>", "exec")
    function = types.FunctionType(code, {})
    packed = base64.b64encode(marshal.dumps(function.__code__)).decode()
    return {"class_name": "__lambda__", "config": {"code": packed, "defaults": None, "closure": None}}


def deep(config):
    value = []
    for _ in range(400):
        value = [value]
    config["config"]["name"] = value


def cycle(config):
    node = layers(config)[1]["inbound_nodes"][0]["args"][0]
    node["config"]["keras_history"] = ["Decoder-Output-Layer", 0, 0]


def no_such_tensor(config):
    layers(config)[1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][2] = 9


def plain_call(config):
    keras_layer("UpSampling1D", size=10**9)(config)
    layers(config)[1]["inbound_nodes"] = [{"args": [[[[1.0]]]], "kwargs": {}}]


def thousands(config):
    layers(config)[1:1] = [
        {**layers(config)[1], "name": f"d{i}", "config": {**layers(config)[1]["config"], "name": f"d{i}"}}
        for i in range(1500)
    ]


def compiled(optimizer):
    def change(config):
        config["compile_config"] = {"optimizer": optimizer}

    return change


def adam(**config):
    return {"module": "keras.optimizers", "class_name": "Adam", "config": config, "registered_name": None}


def initializer(name, **config):
    named = {"module": "keras.initializers", "class_name": name, "config": config, "registered_name": None}
    return edited(named, "config", "kernel_initializer")


def stored(cls, module, registered=None, **config):
    return replaced({"module": module, "class_name": cls, "config": config, "registered_name": registered})


def nested_vae(config):
    config["config"]["decoder"] = json.loads(json.dumps(config))


def legacy(config):
    layers(config)[1] = {"class_name": "Lambda", "config": {"name": "x"}, "name": "x", "inbound_nodes": []}


CONFIGS = {
    "os.system": stored("system", "os"),
    "subprocess": stored("Popen", "subprocess", args=["touch", "x"]),
    "foreign class": stored("Evil", "evil.module", "evil>Evil"),
    "foreign, registered as ours": stored("system", "os", "vae>system"),
    "keras class by its source": stored("TorchModuleWrapper", "keras.src.utils.torch_utils"),
    "TorchModuleWrapper": keras_layer("TorchModuleWrapper", module="AAAA"),
    "TFSMLayer": keras_layer("TFSMLayer", filepath="/tmp/x"),
    "JaxLayer": keras_layer("JaxLayer"),
    "FlaxLayer": keras_layer("FlaxLayer"),
    "Lambda of a name": keras_layer("Lambda", function="vae>sample_z"),
    "TextVectorization": keras_layer("TextVectorization", vocabulary="/etc/passwd"),
    "StringLookup": keras_layer("StringLookup", vocabulary="/etc/passwd"),
    "IntegerLookup": keras_layer("IntegerLookup", vocabulary="/etc/passwd"),
    "Hashing": keras_layer("Hashing", num_bins=3),
    "get_file": function("get_file", "keras.utils"),
    "get_file in builtins": function("get_file"),
    "load_model": function("load_model", "keras.saving"),
    "deserialize": function("deserialize", "keras.activations"),
    "eval": function("eval", "builtins"),
    "os.system as a function": function("system", "os"),
    "enable_unsafe_deserialization": function("enable_unsafe_deserialization", "keras.config"),
    "typespec": edited({"class_name": "__typespec__", "config": []}, "config", "activation"),
    "array of a huge type": edited(
        {"class_name": "__numpy__", "config": {"value": "a", "dtype": "U1000000000"}}, "config", "activation"
    ),
    "dtype class": edited({"module": "builtins", "class_name": "eval", "config": {}}, "config", "dtype"),
    "legacy": legacy,
    "nested VAE": nested_vae,
    "huge units": huge_units,
    "million by million": units_and_shape(10**6),
    "huge build_config": edited({"input_shape": [None, 10**12]}, "build_config"),
    "negative build_config": edited({"input_shape": [None, -3]}, "build_config"),
    "float build_config": edited({"input_shape": [None, 1.5]}, "build_config"),
    "string build_config": edited({"input_shape": "abc"}, "build_config"),
    "other build_config": edited({"shapes_dict": {"a": [10**6, 10**6]}}, "build_config"),
    "negative units": edited(-3, "config", "units"),
    "float units": edited(3.5, "config", "units"),
    "string units": edited("3000000000", "config", "units"),
    "no units": edited(None, "config", "units"),
    "huge lora": edited(10**9, "config", "lora_rank"),
    "huge input": edited([None, 10**12], "config", "batch_shape", at=0),
    "deep input": edited([None] + [2] * 400, "config", "batch_shape", at=0),
    "negative input": edited([None, -1], "config", "batch_shape", at=0),
    "bad dtype": edited("nonsense", "config", "dtype"),
    "name with path": edited("../../x", "config", "name"),
    "upsampling": keras_layer("UpSampling1D", size=10**9),
    "zero padding": keras_layer("ZeroPadding1D", padding=10**9),
    "reshape": keras_layer("Reshape", target_shape=[10**6, 10**6]),
    "repeat": keras_layer("RepeatVector", n=10**9),
    "embedding": keras_layer("Embedding", input_dim=10**9, output_dim=10**3),
    "heads": keras_layer("MultiHeadAttention", num_heads=10**9, key_dim=10**3),
    "cycle": cycle,
    "no such tensor": no_such_tensor,
    "layer called on numbers": plain_call,
    "thousands of layers": thousands,
    "strange nodes": edited([[["x", 0, 0, {}]]], "inbound_nodes"),
    "no nodes": edited([], "inbound_nodes"),
    "initializer of a path": initializer("Evil", value="/etc/passwd"),
    "constant of a wrong size": initializer("Constant", value=[1.0] * 9999),
    "orthogonal and large": lambda c: (initializer("Orthogonal")(c), units_and_shape(20_000)(c)),
    "shared nonsense": edited([1], "shared_object_id"),
    "not a number": edited(float("nan"), "config", "units"),
    "infinite": lambda c: c["config"].update(beta=float("inf")),
    "negative beta": lambda c: c["config"].update(beta=-1),
    "unknown loss": lambda c: c["config"].update(reconstruction="evil"),
    "no encoder": lambda c: c["config"].pop("encoder"),
    "encoder is a layer": lambda c: c["config"].update(encoder=layers(c)[1]),
    "encoder is a list": lambda c: c["config"].update(encoder=[1, 2]),
    "deep": deep,
    "foreign optimizer": compiled({"module": "evil", "class_name": "Adam", "config": {}}),
    "optimizer of a lambda": compiled(adam(learning_rate={"class_name": "__lambda__", "config": {}})),
    "optimizer of nonsense": compiled(adam(nonsense=1)),
    "foreign schedule": compiled(adam(learning_rate={"module": "os", "class_name": "system", "config": {}})),
    "losses": lambda c: c.update(compile_config={"optimizer": "adam", "loss": "mse"}),
    "Functional": lambda c: c.update(class_name="Functional"),
    "unknown registered name": lambda c: c.update(registered_name="evil>VAE"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_hostile_configurations_are_refused(case, good, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_refused(tmp_path, with_config(good, CONFIGS[case]))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.keras"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"3",
        b'"x"',
        b"{",
        b"\xff\xfe",
        b"[" * 10**6,
        b'{"a":' * 10**5,
        b"1" * 10**6,
    ],
)
def test_configurations_that_are_none_are_refused(content, good, tmp_path):
    assert_refused(tmp_path, pack({**good, "config.json": content}))


def test_a_key_that_stands_twice_is_refused(good, tmp_path):
    config = good["config.json"].replace(b'"units": 3', b'"units": 3, "units": 3')
    assert_refused(tmp_path, pack({**good, "config.json": config}), "twice")


def test_bytecode_is_refused_and_not_executed(good, tmp_path):
    marker = tmp_path / "marker"
    evil = marker_lambda(str(marker))
    for change in (
        edited(evil, "config", "activation"),
        keras_layer("Lambda", function=evil, output_shape=None, arguments={}),
        replaced(
            {
                "module": "vae.layers",
                "class_name": "Sampling",
                "registered_name": "vae>Sampling",
                "config": {"function": evil},
            },
            "encoder",
            4,
        ),
    ):
        assert_refused(tmp_path, with_config(good, change))
    assert not marker.exists()
    # The same code does its work where Keras is told to trust it, so that the test above can fail.
    from keras.src.utils.python_utils import func_load

    with contextlib.suppress(TypeError):
        func_load(evil["config"]["code"])()
    assert marker.exists()


def test_bytecode_is_refused_where_keras_is_told_to_trust_all(good, tmp_path):
    marker = tmp_path / "marker"
    keras.config.enable_unsafe_deserialization()
    try:
        content = with_config(good, edited(marker_lambda(str(marker)), "config", "activation"))
        assert_refused(tmp_path, content, "not allowed in a model file")
    finally:
        keras.src.saving.serialization_lib.disable_unsafe_deserialization() if hasattr(
            keras.src.saving.serialization_lib, "disable_unsafe_deserialization"
        ) else keras.src.backend.common.global_state.set_global_attribute("safe_mode_saving", None)
    assert not marker.exists()
