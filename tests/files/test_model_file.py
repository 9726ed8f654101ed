"""What is loaded from model files, sound and damaged ones; hostile ones are in the tests beside this."""

import zipfile

import keras
import numpy as np
import pytest
from model_files import NAMES, assert_refused, layers, make_model, own_networks, pack, saved, with_config

import vae

# What is loaded


def assert_same(model, other):
    assert model.get_config() == other.get_config()
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_sound_file_is_loaded_packed_or_not(good, tmp_path, method):
    model = make_model()
    path = tmp_path / "model.keras"
    path.write_bytes(pack(saved(model, path), method))
    loaded = vae.load_model(path)
    for ours, theirs in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


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
    optimizer = getattr(loaded.optimizer, "inner_optimizer", loaded.optimizer)  # Keras, of mixed_float16
    assert isinstance(optimizer._learning_rate, keras.optimizers.schedules.CosineDecay)


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
    assert_refused(tmp_path, with_config(good, lambda c: layers(c)[1]["config"].update(units=10**12)))
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


def test_autoencoders_are_loaded(tmp_path):
    model = vae.build_autoencoder(input_dim=4, hidden_units=(3,), latent_dim=1)
    model.save(tmp_path / "model.keras")
    loaded = vae.load_model(tmp_path / "model.keras")
    assert type(loaded) is vae.Autoencoder
    x = np.random.default_rng(0).random((3, 4), dtype=np.float32)
    np.testing.assert_array_equal(loaded.encode(x), model.encode(x))
    np.testing.assert_array_equal(loaded.reconstruct(x), model.reconstruct(x))


def named(function):
    return {"module": "builtins", "class_name": "function", "config": function, "registered_name": "function"}


def test_losses_of_this_package_may_be_named_as_functions(good, tmp_path):
    path, loss = tmp_path / "model.keras", named("vae>bernoulli_loss")
    path.write_bytes(with_config(good, lambda c: c["config"].update(reconstruction=loss)))
    model, x = vae.load_model(path), np.full((1, 4), 0.25, np.float32)
    given = model.losses_per_image(x, epsilon=np.zeros((1, 1)))[0]
    np.testing.assert_allclose(given, vae.bernoulli_loss(x, model.reconstruct(x)), rtol=1e-6)


def test_own_losses_are_refused_and_the_way_out_is_named(tmp_path):
    @keras.saving.register_keras_serializable("mine")
    def own_loss(x, reconstruction):
        return keras.ops.sum(keras.ops.abs(x - reconstruction), axis=-1)

    networks = make_model().encoder, make_model().decoder
    path = tmp_path / "model.keras"
    vae.VAE(*networks, reconstruction=own_loss).save(path)
    way_out = (
        r"mine>own_loss is not allowed in a model file; load one that you trust with "
        r"keras\.saving\.load_model\(path, custom_objects=\{'own_loss': own_loss\}\)$"
    )
    assert_refused(tmp_path, path.read_bytes(), way_out)
    assert isinstance(keras.saving.load_model(path, custom_objects={"own_loss": own_loss}), vae.VAE)


class Half(keras.layers.Layer):
    """A layer of one's own, not registered."""

    def call(self, x):
        return 0.5 * x


class Mine(vae.VAE):
    """A subclass, likewise."""


def test_own_layers_and_subclasses_are_refused_and_the_way_out_works(tmp_path):
    encoder = make_model().encoder
    z = keras.Input(encoder.outputs[0].shape[1:])
    decoder = keras.Model(z, keras.layers.Dense(encoder.input_shape[1], "sigmoid")(Half()(z)))
    for model, name in ((vae.VAE(encoder, decoder), "Half"), (Mine(encoder, make_model().decoder), "Mine")):
        model.save(tmp_path / "model.keras")
        with pytest.raises(vae.ModelFileError, match=name) as refused:
            vae.load_model(tmp_path / "model.keras")
        path = tmp_path / "model.keras"  # as the message writes it
        call = str(refused.value).rpartition(" with ")[2]
        assert type(eval(call, {"keras": keras, "path": path, name: globals()[name]})) is type(model)


def test_type_and_trainable_come_back(tmp_path):
    for options in ({"dtype": "mixed_float16"}, {"trainable": False}, {}):
        model = vae.VAE(make_model().encoder, make_model().decoder, **options)
        model.save(tmp_path / "model.keras")
        for loaded in (
            vae.VAE.from_config(model.get_config()),
            vae.load_model(tmp_path / "model.keras"),
            keras.saving.load_model(tmp_path / "model.keras"),
        ):
            assert loaded.dtype_policy.name == options.get("dtype", "float32")
            assert loaded.trainable == options.get("trainable", True)


def test_another_model_is_named(tmp_path):
    vae.build_decoder().save(tmp_path / "decoder.keras")
    with pytest.raises(vae.ModelFileError, match=r"hold a vae.VAE or vae.Autoencoder; .*holds a Functional"):
        vae.load_model(tmp_path / "decoder.keras")
