"""Model files that are damaged, or made to do harm: refused in one line, and nothing of them executed."""

import base64
import contextlib
import io
import json
import marshal
import os
import struct
import sys
import time
import types
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest
from archives import zip_bytes

import vae

NAMES = ("metadata.json", "config.json", "model.weights.h5")


def make_model():
    encoder = vae.build_encoder(input_dim=4, hidden_units=(3,), latent_dim=1, seed=1)
    return vae.VAE(encoder, vae.build_decoder(latent_dim=1, hidden_units=(3,), output_dim=4))


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The members of a small model's file, by name."""
    path = tmp_path_factory.mktemp("good") / "model.keras"
    make_model().save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def sound(good):
    return pack(good)


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


KERNEL = "decoder/layers/dense/vars/0"


# What is loaded


def assert_same(model, other):
    assert model.get_config() == other.get_config()
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_sound_file_is_loaded_packed_or_not(good, tmp_path, method):
    model = make_model()
    path = tmp_path / "model.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path.write_bytes(pack(members, method))
    loaded = vae.load_model(path)
    for ours, theirs in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


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


@pytest.mark.filterwarnings("ignore:Skipping variable loading:UserWarning")  # Keras, of mixed_float16
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_own_networks_of_plain_keras_layers_are_loaded(policy, tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = vae.VAE(*own_networks())
    finally:
        keras.config.set_dtype_policy(before)
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, 10**6)
    model.compile(keras.optimizers.AdamW(schedule, clipnorm=1.0))
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).random((3, 6, 6, 2), dtype=np.float32)
    loaded = vae.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.reconstruct(x), model.reconstruct(x), atol=1e-6)
    assert isinstance(loaded.optimizer._learning_rate, keras.optimizers.schedules.CosineDecay)


@pytest.mark.parametrize(
    "optimizer",
    ["sgd", "adam", "rmsprop", "lion", "adafactor", "nadam", "adagrad", "adadelta", "adamax", "ftrl"],
)
def test_models_of_every_optimizer_are_loaded(optimizer, tmp_path):
    model = make_model()
    model.compile(optimizer)
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "model.keras")
    assert type(vae.load_model(tmp_path / "model.keras").optimizer) is type(model.optimizer)


def test_loading_leaves_the_scope_of_variables_as_it_was(sound, good, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(sound)
    vae.load_model(path)
    assert_refused(tmp_path, with_config(good, huge_units))
    with keras.StatelessScope():  # gives waiting variables their values as it ends
        pass
    assert_same(vae.load_model(path), vae.load_model(path))


# Damage


def outcome(path, content, model):
    """Return "refused" or "harmless"; anything else fails."""
    path.write_bytes(content)
    try:
        loaded = vae.load_model(path)
    except vae.ModelFileError:
        return "refused"
    assert_same(loaded, model)
    return "harmless"


def flips(sound, places, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(sound)
    model = vae.load_model(path)
    counts = {"refused": 0, "harmless": 0}
    for i, place in enumerate(places):
        content = bytearray(sound)
        content[place] ^= 0xFF if i % 2 else 1 << (i // 2 % 8)
        counts[outcome(path, bytes(content), model)] += 1
    print("flips", counts)
    return counts


def test_flipped_bytes_are_refused_or_change_nothing(sound, tmp_path):
    directory = range(sound.rindex(b"PK\5\6") - 160, len(sound), 11)
    counts = flips(sound, [*range(0, len(sound), 1499), *directory], tmp_path)
    assert counts["refused"] > 30


@pytest.mark.slow
def test_every_64th_byte_flipped_is_refused_or_changes_nothing(sound, tmp_path):
    counts = flips(sound, range(0, len(sound), 64), tmp_path)
    assert counts["refused"] > 600


@pytest.mark.slow
def test_every_bit_of_the_headers_flipped_is_refused_or_changes_nothing(sound, tmp_path):
    heads = [sound.index(name.encode()) for name in NAMES]
    places = [i for head in heads for i in range(head - 30, head + 20)]
    places += range(sound.index(b"PK\1\2"), len(sound))
    path = tmp_path / "model.keras"
    path.write_bytes(sound)
    model = vae.load_model(path)
    for place in places:
        for bit in range(8):
            content = bytearray(sound)
            content[place] ^= 1 << bit
            outcome(path, bytes(content), model)


def truncations(sound, lengths, tmp_path):
    for length in lengths:
        path = tmp_path / "bad.keras"
        path.write_bytes(sound[:length])
        with pytest.raises(vae.ModelFileError):
            vae.load_model(path)


def test_truncated_files_are_refused(sound, tmp_path):
    truncations(sound, [*range(0, len(sound), 997), *range(len(sound) - 60, len(sound))], tmp_path)


@pytest.mark.slow
def test_every_truncation_is_refused(sound, tmp_path):
    truncations(sound, range(len(sound)), tmp_path)


# The archive


def infos(good, change, method=zipfile.ZIP_STORED):
    """Return an archive whose members' entries are changed by a function of name and entry."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in good.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            change(info)
            archive.writestr(info, content)
    return file.getvalue()


def duplicated(good):
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for name in ("config.json", "config.json", "model.weights.h5"):
            archive.writestr(name, good[name])
    return file.getvalue()


def overlapping(good):
    """All entries of the directory point to the first member."""
    content = bytearray(pack(good))
    place = content.index(b"PK\1\2")
    while content[place : place + 4] == b"PK\1\2":
        content[place + 42 : place + 46] = bytes(4)
        lengths = struct.unpack("<HHH", content[place + 28 : place + 34])
        place += 46 + sum(lengths)
    return bytes(content)


def link(info):
    info.external_attr = 0o120777 << 16 if info.filename == "model.weights.h5" else 0


ARCHIVES = {
    "empty": lambda g: b"",
    "text": lambda g: b"not a zip" * 99,
    "hdf5": lambda g: g["model.weights.h5"],
    "png": lambda g: b"\x89PNG\r\n\x1a\n" + bytes(500),
    "no members": lambda g: pack({}),
    "no weights": lambda g: pack({n: g[n] for n in NAMES[:2]}),
    "no config": lambda g: pack({n: g[n] for n in NAMES if n != "config.json"}),
    "path traversal": lambda g: pack({**g, "../../evil": b"x"}),
    "traversal in place of metadata": lambda g: pack(
        {"../metadata.json": b"{}", **{n: g[n] for n in NAMES[1:]}}
    ),
    "absolute": lambda g: pack({**g, "/tmp/evil": b"x"}),
    "assets": lambda g: pack({**g, "assets/x": b"x"}),
    "npz weights": lambda g: pack({**{n: g[n] for n in NAMES[:2]}, "model.weights.npz": b"x"}),
    "duplicate": duplicated,
    "tiny members": lambda g: pack({**g, **{f"a{i}": b"" for i in range(60_000)}}),
    "link": lambda g: infos(g, link),
    "overlap": overlapping,
    "prefix": lambda g: b"#!/bin/sh\n" + pack(g),
    "suffix": lambda g: pack(g) + b"x",
    "bzip2": lambda g: pack(g, zipfile.ZIP_BZIP2),
    "lzma": lambda g: pack(g, zipfile.ZIP_LZMA),
    "config bomb": lambda g: pack(
        {**g, "config.json": g["config.json"] + b" " * 2**27}, zipfile.ZIP_DEFLATED
    ),
    "weights bomb": lambda g: pack(
        {**g, "model.weights.h5": g["model.weights.h5"] + bytes(2**28)}, zipfile.ZIP_DEFLATED
    ),
    "padded config": lambda g: pack({**g, "config.json": g["config.json"] + b" " * 2**22}),
    "metadata bomb": lambda g: pack({**g, "metadata.json": b" " * 2**22}),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_hostile_archives_are_refused(case, good, tmp_path):
    assert_refused(tmp_path, ARCHIVES[case](good))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.keras"]


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(vae.ModelFileError, match=r"not a regular file|Is a directory|Permission"):
        vae.load_model(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.keras")
        with pytest.raises(vae.ModelFileError, match="not a regular file"):
            vae.load_model(tmp_path / "pipe.keras")
    with pytest.raises(FileNotFoundError, match="there is none at"):
        vae.load_model(tmp_path / "none.keras")


def test_a_file_of_absurd_size_is_refused_unread(tmp_path):
    path = tmp_path / "sparse.keras"
    with open(path, "wb") as file:
        file.truncate(2**40)
    with pytest.raises(vae.ModelFileError, match="more than"):
        vae.load_model(path)


def test_an_unreadable_file_is_refused(sound, tmp_path, monkeypatch):
    from vae.files import archive

    path = tmp_path / "model.keras"
    path.write_bytes(sound)

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(archive.os, "open", refuse)
    with pytest.raises(vae.ModelFileError, match="Permission denied"):
        vae.load_model(path)


@pytest.mark.parametrize("name", ["x" * 3000, "a\0b", "a\nb" * 40])
def test_odd_paths_give_short_errors(name):
    with pytest.raises((vae.ModelFileError, FileNotFoundError)):
        vae.load_model(name)


def test_another_model_is_named(tmp_path):
    vae.build_decoder().save(tmp_path / "decoder.keras")
    with pytest.raises(vae.ModelFileError, match=r"hold a vae.VAE or vae.Autoencoder; .*holds a Functional"):
        vae.load_model(tmp_path / "decoder.keras")


# The weights


def replace(weights, name=KERNEL, **kwargs):
    data = weights[name][()]
    del weights[name]
    weights.create_dataset(name, data=data, **kwargs)


def external_storage(weights):
    shape = weights[KERNEL].shape
    del weights[KERNEL]
    weights.create_dataset(KERNEL, shape, "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def virtual(weights):
    shape = weights[KERNEL].shape
    del weights[KERNEL]
    layout = h5py.VirtualLayout(shape=shape, dtype="f4")
    layout[...] = h5py.VirtualSource("/tmp/other.h5", "data", shape=shape)
    weights.create_virtual_dataset(KERNEL, layout)


def relink(make):
    def change(weights):
        del weights[KERNEL]
        weights[KERNEL] = make()

    return change


def fill(value, name=KERNEL):
    def change(weights):
        weights[name][...] = value

    return change


def bomb(weights):
    weights.create_dataset("bomb", (2**14, 2**14), "f4", compression="gzip", chunks=True)


def unwritten(weights):
    weights.create_dataset("bomb", (2**20, 2**20), "f4")


def resize(weights):
    del weights[KERNEL]
    weights[KERNEL] = np.zeros((2, 3), "f4")


def drop(weights):
    del weights["decoder/layers/dense"]


def ring(weights):
    weights["decoder/layers/ring"] = weights["decoder"]


def alias(weights):
    weights["big"] = np.zeros(10_000, "f4")
    for i in range(100):
        weights[f"alias{i}"] = weights["big"]


def strings(weights):
    del weights[KERNEL]
    weights.create_dataset(KERNEL, data=["a", "b"], dtype=h5py.string_dtype())


def compound(weights):
    del weights[KERNEL]
    weights[KERNEL] = np.zeros((1, 3), [("a", "f4"), ("b", "f4")])


def overflow(weights):
    del weights[KERNEL]
    weights[KERNEL] = np.full((1, 3), 1e300)


def many(weights):
    for i in range(30_000):
        weights.create_group(f"g{i}")


WEIGHTS = {
    "nan": fill(np.nan),
    "infinity": fill(-np.inf),
    "nan in beta": fill(np.nan, "vars/0"),
    "another beta": fill(-5.0, "vars/0"),
    "too large for float32": overflow,
    "soft link": relink(lambda: h5py.SoftLink("/decoder/vars")),
    "dangling soft link": relink(lambda: h5py.SoftLink("/nowhere")),
    "external link": relink(lambda: h5py.ExternalLink("/etc/passwd", "/x")),
    "external storage": external_storage,
    "virtual": virtual,
    "chunked": lambda w: replace(w, chunks=True),
    "compressed": lambda w: replace(w, compression="gzip"),
    "compressed bomb": bomb,
    "unwritten": unwritten,
    "wrong shape": resize,
    "missing": drop,
    "ring": ring,
    "alias": alias,
    "strings": strings,
    "compound": compound,
    "named type": relink(lambda: np.dtype("f4")),
    "many groups": many,
}


@pytest.mark.parametrize("case", WEIGHTS)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_hostile_weights_are_refused(case, good, tmp_path):
    assert_refused(tmp_path, with_weights(good, WEIGHTS[case]))


def test_nan_in_the_optimizer_is_refused(tmp_path):
    model = make_model()
    model.compile("adam")
    model.fit(np.zeros((4, 4)), verbose=0)
    path = tmp_path / "model.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        good = {name: archive.read(name) for name in archive.namelist()}
    assert_refused(tmp_path, with_weights(good, fill(np.nan, "optimizer/vars/3")), "NaN")


@pytest.mark.parametrize("content", [b"", b"x" * 999, b"\x89HDF\r\n\x1a\n" + bytes(999)])
def test_weights_that_are_no_hdf5_are_refused(content, good, tmp_path):
    assert_refused(tmp_path, pack({**good, "model.weights.h5": content}))


# The configuration


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
    path = tmp_path_factory.mktemp("own") / "model.keras"
    vae.VAE(*own_networks()).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


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


@pytest.mark.slow
def test_damaged_weights_with_a_right_checksum_crash_nothing(good, tmp_path):
    path, rng = tmp_path / "bad.keras", np.random.default_rng(0)
    for _ in range(500):
        content = bytearray(good["model.weights.h5"])
        for place in rng.integers(0, len(content), rng.integers(1, 4)):
            content[place] = rng.integers(256)
        path.write_bytes(pack({**good, "model.weights.h5": bytes(content)}))
        with contextlib.suppress(vae.ModelFileError):
            vae.load_model(path)
