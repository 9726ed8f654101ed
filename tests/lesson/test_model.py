import errno
import importlib.util
import math
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import vae

TERMS = ["loss", "reconstruction_loss", "kl_loss"]


def fit(model, x, **options):
    return model.fit(x, **{"epochs": 1, "batch_size": 16, "verbose": 0, **options}).history


@pytest.fixture(scope="module")
def first_loss():
    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(seed=1), vae.build_decoder())
    model.compile()
    x = np.random.default_rng(0).random((16, 784), dtype=np.float32)
    return fit(model, x, shuffle=False)["loss"][0]


# Training


def test_a_little_training_on_real_images_helps(model, digits):
    before = model.evaluate(digits.x_test, verbose=0)[0]
    fit(model, digits.x_train, epochs=3, batch_size=32)
    assert model.evaluate(digits.x_test, verbose=0)[0] < 0.6 * before


def test_history_has_the_three_terms_and_their_validation_twins(model, images):
    history = fit(model, images, epochs=2, validation_data=images)
    assert sorted(history) == sorted([*TERMS, *(f"val_{name}" for name in TERMS)])
    assert all(len(values) == 2 for values in history.values())
    for prefix in ("", "val_"):
        total = history[f"{prefix}reconstruction_loss"][-1] + history[f"{prefix}kl_loss"][-1]
        assert history[f"{prefix}loss"][-1] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(
    "data",
    [
        lambda x: {"x": x, "y": x},
        lambda x: {"x": x, "y": x.copy()},
        lambda x: {"x": x, "validation_data": x},
        lambda x: {"x": x, "validation_data": (x, x)},
        lambda x: {"x": x, "validation_data": (x,)},
        lambda x: {"x": x.reshape(-1, 28, 28)},
        lambda x: {"x": x.astype("float64")},
        lambda x: {"x": x.tolist()},
    ],
)
def test_every_way_to_hand_in_images_trains_the_same(data, model, images, first_loss):
    assert fit(model, **data(images), shuffle=False)["loss"][0] == pytest.approx(first_loss, rel=1e-5)


def test_uint8_is_divided_by_255(model):
    x = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    epsilon = np.zeros((5, 2))
    for ours, theirs in zip(
        model.losses_per_image(x, epsilon), model.losses_per_image(x / 255, epsilon), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(model.reconstruct(x), model.reconstruct(x / 255), atol=1e-6)


def test_validation_split_takes_the_end(model, images):
    history = fit(model, images, validation_split=0.25)
    assert set(history) >= {"val_loss", "val_kl_loss"}


def test_the_same_seed_gives_the_same_run(images):
    runs = []
    for _ in range(2):
        keras.utils.set_random_seed(11)
        model = vae.VAE(vae.build_encoder(), vae.build_decoder())
        model.compile()
        runs.append((fit(model, images, epochs=2), model.get_weights(), model.generate(3)))
    assert runs[0][0] == runs[1][0]
    for first, second in zip(runs[0][1], runs[1][1], strict=True):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(runs[0][2], runs[1][2])


def test_datasets_train_too(model, images):
    tf = pytest.importorskip("tensorflow")
    for dataset in (images, (images, images), images.reshape(-1, 28, 28)):
        batches = tf.data.Dataset.from_tensor_slices(dataset).batch(5)
        assert math.isfinite(model.fit(batches, verbose=0, validation_data=batches).history["val_loss"][0])


def test_datasets_with_labels_or_wrong_sizes_are_refused(model, images):
    tf = pytest.importorskip("tensorflow")
    labelled = tf.data.Dataset.from_tensor_slices((images, np.zeros(16))).batch(4)
    with pytest.raises(ValueError, match="y must be x itself"):
        model.fit(labelled, verbose=0)
    twice_as_large = tf.data.Dataset.from_tensor_slices(np.zeros((4, 2 * 784), "float32")).batch(2)
    with pytest.raises(ValueError, match="x must hold images of 784 values"):
        model.fit(twice_as_large, verbose=0)
    integers = tf.data.Dataset.from_tensor_slices(np.zeros((4, 784), "int32")).batch(2)
    with pytest.raises(TypeError, match="x must be uint8"):
        model.fit(integers, verbose=0)


def test_beta_weighs_the_kl_term(images):
    for beta in (0.0, 4.0):
        model = vae.VAE(vae.build_encoder(), vae.build_decoder(), beta=beta)
        model.compile()
        result = model.evaluate(images, verbose=0, return_dict=True)
        assert result["loss"] == pytest.approx(
            result["reconstruction_loss"] + beta * result["kl_loss"], rel=1e-5
        )


def test_compile_with_a_name_is_keras_own(model):
    model.compile("adam")
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    "callback",
    [
        lambda path: keras.callbacks.EarlyStopping(monitor="val_loss", patience=1),
        lambda path: keras.callbacks.ModelCheckpoint(path / "best.keras", monitor="val_loss"),
        lambda path: keras.callbacks.CSVLogger(path / "log.csv"),
        lambda path: keras.callbacks.LearningRateScheduler(lambda epoch: 1e-4),
        lambda path: keras.callbacks.ReduceLROnPlateau(monitor="val_loss"),
        lambda path: keras.callbacks.TerminateOnNaN(),
        lambda path: keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
        lambda path: keras.callbacks.BackupAndRestore(path / "backup"),
        lambda path: keras.callbacks.TensorBoard(path / "logs", histogram_freq=1),
    ],
)
def test_keras_callbacks_work(callback, model, images, tmp_path):
    history = fit(model, images, epochs=2, validation_data=images, callbacks=[callback(tmp_path)])
    assert len(history["loss"]) == 2


# Evaluation


@pytest.mark.parametrize("batch_size", [1, 5, 16, 100])
def test_evaluate_is_the_mean_over_images_whatever_the_batches(batch_size, images):
    # With sigma = exp(-15) every sample is z_mean, so that the two computations see the same z.
    model = vae.VAE(vae.build_encoder(), vae.build_decoder())
    model.encoder.get_layer("Z-Log-Sigma").bias.assign([-15.0, -15.0])
    model.encoder.get_layer("Z-Log-Sigma").kernel.assign(np.zeros((8, 2)))
    model.compile()
    reconstruction, kl = model.losses_per_image(images, epsilon=np.zeros((16, 2)))
    result = model.evaluate(images, batch_size=batch_size, verbose=0, return_dict=True)
    assert result["reconstruction_loss"] == pytest.approx(reconstruction.mean(), rel=1e-4)
    assert result["kl_loss"] == pytest.approx(kl.mean(), rel=1e-4)
    assert result["loss"] == pytest.approx((reconstruction + kl).mean(), rel=1e-4)


def test_evaluate_samples(model, images):
    first, second = (model.evaluate(images, verbose=0)[0] for _ in range(2))
    assert first != second


def test_losses_per_image_with_given_noise_are_deterministic_and_right(model, images):
    epsilon = np.random.default_rng(1).standard_normal((16, 2)).astype("float32")
    reconstruction, kl = model.losses_per_image(images, epsilon)
    z_mean, z_log_sigma = model.encode(images)
    decoded = model.decode(z_mean + np.exp(z_log_sigma) * epsilon)
    np.testing.assert_allclose(reconstruction, ((images - decoded) ** 2).sum(axis=1), rtol=1e-4)
    expected_kl = 0.5 * (z_mean**2 + np.exp(2 * z_log_sigma) - 1 - 2 * z_log_sigma).sum(axis=1)
    np.testing.assert_allclose(kl, expected_kl, rtol=1e-3, atol=1e-5)
    order = np.arange(16)[::-1]
    again, _ = model.losses_per_image(images[order], epsilon[order])
    np.testing.assert_allclose(again, reconstruction[order], rtol=1e-5)


# Inference


def test_encode_is_deterministic_and_leaves_the_noise_alone(model, images):
    state = keras.ops.convert_to_numpy(model.encoder.get_layer("Z-Sampling-Layer").seed_generator.state)
    first, second = (model.encode(images) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a.shape == (16, 2)
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)
    model.reconstruct(images)
    after = keras.ops.convert_to_numpy(model.encoder.get_layer("Z-Sampling-Layer").seed_generator.state)
    np.testing.assert_array_equal(state, after)


@pytest.mark.parametrize("n", [1, 3, 1025])
def test_encode_in_batches_is_encode_at_once(model, n):
    x = np.random.default_rng(0).random((n, 784), dtype="float32")
    z_mean, z_log_sigma, _ = (keras.ops.convert_to_numpy(part) for part in model.encoder(x))
    np.testing.assert_allclose(model.encode(x)[0], z_mean, atol=1e-5)
    np.testing.assert_allclose(model.encode(x)[1], z_log_sigma, atol=1e-5)


@pytest.mark.parametrize("shape", [(16, 784), (16, 28, 28), (16, 28, 28, 1)])
def test_reconstruct_is_predict_is_decode_of_the_mean_in_the_shape_of_x(model, images, shape):
    x = images.reshape(shape)
    reconstruction = model.reconstruct(x)
    assert reconstruction.shape == shape
    assert reconstruction.dtype == np.float32
    np.testing.assert_array_equal(reconstruction, model.predict(x, verbose=0))
    np.testing.assert_allclose(reconstruction.reshape(16, 784), model.decode(model.encode(x)[0]), atol=1e-5)


def test_decode_and_generate_give_the_decoders_shape(model):
    assert model.decode([[0.0, 0.0]]).shape == (1, 784)
    assert model.generate(3).shape == (3, 784)
    assert model.generate(3).dtype == np.float32


def test_generate_repeats_with_a_seed_and_differs_without(model):
    np.testing.assert_array_equal(model.generate(4, seed=1), model.generate(4, seed=1))
    assert not np.allclose(model.generate(4, seed=1), model.generate(4, seed=2))
    assert not np.allclose(model.generate(4), model.generate(4))


def test_own_networks_of_another_shape_work():
    inputs = keras.Input((6, 5, 3))
    hidden = keras.layers.Dense(7)(keras.layers.Flatten()(inputs))
    heads = [keras.layers.Dense(3)(hidden) for _ in range(2)]
    encoder = keras.Model(inputs, [*heads, vae.Sampling()(heads)])
    z = keras.Input((3,))
    decoder = keras.Model(z, keras.layers.Reshape((6, 5, 3))(keras.layers.Dense(90, "sigmoid")(z)))
    model = vae.VAE(encoder, decoder)
    model.compile()
    x = np.random.default_rng(0).random((4, 6, 5, 3))
    fit(model, x, batch_size=3)
    assert model.reconstruct(x).shape == x.shape
    assert model.generate(2).shape == (2, 6, 5, 3)


# Saving

RELOAD = """
import sys
import numpy as np
import vae
model = vae.load_model(sys.argv[1])
x = np.random.default_rng(0).random((5, 784), dtype="float32")
losses = model.losses_per_image(x, np.ones((5, 2)))
np.savez(sys.argv[2], mean=model.encode(x)[0], image=model.reconstruct(x), kl=losses[1], grid=losses[0])
model.fit(x, verbose=0)
import keras
clone = keras.models.clone_model(model)
clone.set_weights(model.get_weights())
np.testing.assert_array_equal(clone.encode(x)[0], model.encode(x)[0])
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_saved_model_gives_the_same_in_a_fresh_process_of_every_backend(backend, model, images, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    fit(model, images)
    model.save(tmp_path / "model.keras")
    script = [sys.executable, "-c", RELOAD, str(tmp_path / "model.keras"), str(tmp_path / "out.npz")]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    subprocess.run(script, check=True, cwd=pathlib.Path(__file__).parents[2], env=environment)
    x = np.random.default_rng(0).random((5, 784), dtype="float32")
    losses = model.losses_per_image(x, np.ones((5, 2)))
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_allclose(out["mean"], model.encode(x)[0], atol=1e-5)
        np.testing.assert_allclose(out["image"], model.reconstruct(x), atol=1e-5)
        np.testing.assert_allclose(out["grid"], losses[0], atol=1e-4)
        np.testing.assert_allclose(out["kl"], losses[1], atol=1e-4)


def test_a_loaded_model_keeps_beta_optimizer_and_settings(images, tmp_path):
    model = vae.VAE(vae.build_encoder(), vae.build_decoder(), beta=2.5, name="mine")
    model.compile(keras.optimizers.Adam(0.01))
    fit(model, images)
    model.save(tmp_path / "model.keras")
    loaded = vae.load_model(tmp_path / "model.keras")
    assert (loaded.beta, loaded.name) == (2.5, "mine")
    assert float(loaded.optimizer.learning_rate) == pytest.approx(0.01)
    assert int(loaded.optimizer.iterations) == 1
    assert fit(loaded, images)["loss"][0] < fit(model, images)["loss"][0] * 1.5


def test_saving_an_uncompiled_model_and_weights_alone_work(images, tmp_path):
    model = vae.VAE(vae.build_encoder(), vae.build_decoder())
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        vae.load_model(tmp_path / "model.keras").encode(images)[0], model.encode(images)[0]
    )
    model.save_weights(tmp_path / "model.weights.h5")
    other = vae.VAE(vae.build_encoder(), vae.build_decoder())
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other.encode(images)[0], model.encode(images)[0])


def test_the_parts_save_by_themselves(model, images, tmp_path):
    for name, part, data in (("e", model.encoder, images), ("d", model.decoder, np.zeros((2, 2)))):
        part.save(tmp_path / f"{name}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{name}.keras")
        np.testing.assert_allclose(
            np.asarray(loaded.predict(data, verbose=0)[0]),
            np.asarray(part.predict(data, verbose=0)[0]),
            atol=1e-6,
        )


def test_load_model_says_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is none at"):
        vae.load_model(tmp_path / "none.keras")
    vae.build_decoder().save(tmp_path / "decoder.keras")
    with pytest.raises(ValueError, match="must hold a vae"):
        vae.load_model(tmp_path / "decoder.keras")


# What is refused


@pytest.mark.parametrize(
    "method", ["fit", "evaluate", "predict", "encode", "reconstruct", "losses_per_image"]
)
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.full((2, 784), 255.0), ValueError, r"got values from 255 to 255\. .* divide by 255"),
        (np.full((2, 784), -0.1), ValueError, "must hold floats in"),
        (np.full((2, 784), np.nan), ValueError, "got NaN or infinity"),
        (np.full((2, 784), np.inf), ValueError, "got NaN or infinity"),
        (np.zeros((0, 784)), ValueError, "at least one image"),
        (np.zeros(784), ValueError, r"must have shape \(n, pixels\).*got shape \(784,\)"),
        (np.zeros((1, 1, 1, 28, 28)), ValueError, "must have shape"),
        (np.zeros((2, 100)), ValueError, "images of 784 values.*got 100 an image"),
        (np.zeros((2, 784), object), TypeError, "dtype object"),
        (np.zeros((2, 784), "int64"), TypeError, r"dtype int64.*astype\(\"uint8\"\)"),
        (np.zeros((2, 784), complex), TypeError, "dtype complex"),
    ],
)
def test_bad_images_are_refused(model, method, x, error, message):
    with pytest.raises(error, match=message):
        getattr(model, method)(x)


def test_bad_validation_images_are_named(model, images):
    with pytest.raises(ValueError, match="validation_data must hold floats"):
        fit(model, images, validation_data=255 * images)
    with pytest.raises(ValueError, match="validation_data must be x or"):
        fit(model, images, validation_data=(images, images, np.ones(16)))
    with pytest.raises(ValueError, match="y must be validation_data itself"):
        fit(model, images, validation_data=(images, 1 - images))


def test_other_targets_and_weights_are_refused(model, images):
    with pytest.raises(ValueError, match="y must be x itself"):
        model.fit(images, 1 - images)
    with pytest.raises(ValueError, match="y must be x itself"):
        model.fit(images, np.zeros(16))
    for name in ("sample_weight", "class_weight"):
        with pytest.raises(ValueError, match=f"{name} is not supported"):
            model.fit(images, **{name: np.ones(16)})
    with pytest.raises(ValueError, match="sample_weight is not supported"):
        model.evaluate(images, sample_weight=np.ones(16))
    with pytest.raises(ValueError, match="y must be x itself"):
        model.evaluate(images, np.zeros(16))


@pytest.mark.parametrize("name", ["loss", "metrics", "loss_weights", "weighted_metrics"])
def test_compile_refuses_what_is_built_in(model, name):
    with pytest.raises(ValueError, match=rf"{name} must be left out of compile\(\)"):
        model.compile(**{name: ["mse"]})


def test_networks_that_do_not_fit_are_refused_with_both_sizes():
    with pytest.raises(ValueError, match=r"one latent size.*\(None, 3\).*\(None, 2\)"):
        vae.VAE(vae.build_encoder(latent_dim=3), vae.build_decoder(latent_dim=2))
    with pytest.raises(ValueError, match=r"one image size.*\(None, 784\).*\(None, 100\)"):
        vae.VAE(vae.build_encoder(), vae.build_decoder(output_dim=100))
    with pytest.raises(ValueError, match="three outputs"):
        vae.VAE(vae.build_decoder(), vae.build_decoder())
    with pytest.raises(TypeError, match=r"encoder must be a keras\.Model; got str"):
        vae.VAE("encoder", vae.build_decoder())
    with pytest.raises(ValueError, match="beta must be"):
        vae.VAE(vae.build_encoder(), vae.build_decoder(), beta=-1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.decode(np.zeros((2, 3))), r"z must have shape \(n, 2\)"),
        (lambda model: model.decode([0.0, 0.0]), r"z must have shape \(n, 2\)"),
        (lambda model: model.decode([[np.nan, 0.0]]), "z must hold finite"),
        (lambda model: model.generate(0), "n must be a positive whole number"),
        (lambda model: model.generate(2.5), "n must be a positive whole number"),
        (lambda model: model.generate(2, seed=-1), "seed must be a whole number"),
        (lambda model: model.losses_per_image(np.zeros((2, 784)), np.zeros((3, 2))), "epsilon must have 2"),
        (
            lambda model: model.losses_per_image(np.zeros((2, 784)), np.zeros((2, 3))),
            "epsilon must have shape",
        ),
    ],
)
def test_bad_points_and_counts_are_refused(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


# Numbers that do not blow up


@pytest.mark.parametrize("activation", ["elu", "relu"])
def test_a_large_learning_rate_stays_finite(activation, digits):
    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(activation=activation), vae.build_decoder(activation=activation))
    model.compile(keras.optimizers.Adam(0.05))
    history = fit(model, digits.x_train, epochs=4)
    assert all(math.isfinite(value) for values in history.values() for value in values)


def test_extreme_heads_stay_finite(model, images):
    model.encoder.get_layer("Z-Log-Sigma").bias.assign([1e30, -1e30])
    history = fit(model, images)
    assert all(math.isfinite(value) for values in history.values() for value in values)


def test_training_stops_with_the_epoch_and_the_term_where_it_diverges(model, images):
    def ruin(epoch, logs):
        if epoch == 1:
            model.encoder.get_layer("Z-Mean").bias.assign([1e30, 1e30])

    ruiner = keras.callbacks.LambdaCallback(on_epoch_begin=ruin)
    with pytest.raises(FloatingPointError, match="epoch 2: kl_loss is"):
        fit(model, images, epochs=5, callbacks=[ruiner])


def test_terminate_on_nan_takes_the_place_of_the_error(model, images):
    model.encoder.get_layer("Z-Mean").bias.assign([1e30, 1e30])
    history = fit(model, images, epochs=5, callbacks=[keras.callbacks.TerminateOnNaN()])
    assert len(history["loss"]) == 1


def test_a_diverged_epoch_does_not_replace_a_good_checkpoint(model, images, tmp_path):
    path = tmp_path / "good.keras"
    checkpoint = keras.callbacks.ModelCheckpoint(path)
    fit(model, images, callbacks=[checkpoint])
    good = path.read_bytes()
    model.encoder.get_layer("Z-Mean").bias.assign([1e30, 1e30])
    with pytest.raises(FloatingPointError):
        fit(model, images, callbacks=[keras.callbacks.ModelCheckpoint(path)])
    assert path.read_bytes() == good


# What people do with a model besides


def test_beta_may_change_in_the_middle_of_a_run(model, images):
    seen = []

    def warm_up(epoch, logs):
        model.beta = 10.0 * epoch

    def note(epoch, logs):
        seen.append((logs["loss"] - logs["reconstruction_loss"]) / logs["kl_loss"])

    callback = keras.callbacks.LambdaCallback(on_epoch_begin=warm_up, on_epoch_end=note)
    fit(model, images, epochs=3, callbacks=[callback])
    np.testing.assert_allclose(seen, [0, 10, 20], atol=0.01)
    assert model.get_config()["beta"] == 20
    with pytest.raises(ValueError, match="beta must be"):
        model.beta = "large"


def test_batches_that_come_from_elsewhere_are_checked_too(model, images):
    tf = pytest.importorskip("tensorflow")

    def batches(*arrays):
        return tf.data.Dataset.from_tensor_slices(arrays).batch(4)

    class Pairs(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return images[:4], 1 - images[:4]

    for data in (batches(images, 1 - images), Pairs()):
        with pytest.raises(ValueError, match="y must be x itself"):
            model.fit(data, verbose=0)
    with pytest.raises(ValueError, match="divide by 255"):
        model.fit(batches(255 * images), verbose=0)
    for step in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="y must be x itself"):
            step(images, 1 - images)
        with pytest.raises(ValueError, match="divide by 255"):
            step(255 * images)
        assert np.isfinite(step(images)).all()


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # of unknown length, too
def test_datasets_of_open_shapes_train(model, images):
    tf = pytest.importorskip("tensorflow")
    for shape in ((None, None), None):
        data = tf.data.Dataset.from_generator(
            lambda: iter([images[:8], images[8:]]), output_signature=tf.TensorSpec(shape, tf.float32)
        )
        assert len(model.fit(data, verbose=0).history["loss"]) == 1


@pytest.mark.parametrize("x", [None, "images", {"x": 1}, 3.0])
def test_what_holds_no_images_is_a_type_error(model, x):
    for method in (model.fit, model.evaluate, model.predict):
        with pytest.raises(TypeError, match="x must be images, or yield batches of them"):
            method(x)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_gives_float32(policy, images):
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        model = vae.VAE(vae.build_encoder(), vae.build_decoder())
        arrays = [*model.encode(images), model.generate(2), model.reconstruct(images)]
        arrays += model.losses_per_image(images, np.zeros((16, 2)))
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays)


def test_callbacks_know_that_lower_is_better(model, images):
    stop = keras.callbacks.EarlyStopping(monitor="val_reconstruction_loss", patience=1)
    fit(model, images, epochs=2, validation_data=images, callbacks=[stop])
    assert stop.monitor_op(1, 2)


def test_predict_with_steps_gives_what_was_predicted(model, images):
    assert model.predict(images, steps=1, batch_size=4, verbose=0).shape == (4, 784)


def test_a_configuration_can_be_used_twice(model):
    config = model.get_config()
    assert vae.VAE.from_config(config).name == vae.VAE.from_config(config).name


def test_the_old_format_is_refused_before_it_loses_a_model(model, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.keras"):
        model.save(tmp_path / "model.h5")
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_leaves_the_one_before(model, tmp_path, monkeypatch):
    path = tmp_path / "model.keras"
    path.write_bytes(b"the one before")
    with pytest.raises(FileExistsError, match="filepath must be new where overwrite is False"):
        model.save(path, overwrite=False)

    def full(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"the one before"
    assert os.listdir(tmp_path) == ["model.keras"]
    model.save(path)
    vae.load_model(path)


def test_damaged_files_are_value_errors(model, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    sound = path.read_bytes()
    for damaged in (b"", b"junk", sound[:1000], sound[:-3000], sound[:3000] + b"\xff" * 50 + sound[3050:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="path must"):
            vae.load_model(path)
    with pytest.raises(TypeError, match="path must be a string"):
        vae.load_model(None)


def test_networks_that_are_not_built_are_refused():
    unbuilt = keras.Sequential([keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="encoder must be built"):
        vae.VAE(unbuilt, vae.build_decoder())
    with pytest.raises(ValueError, match="decoder must be built"):
        vae.VAE(vae.build_encoder(), unbuilt)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_generate_writes_into_an_array(model, tmp_path, monkeypatch, dtype):
    monkeypatch.setattr("vae.model._GENERATED", 16)
    shape = (50, *model.decoder.output_shape[1:])
    out = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", dtype, shape)
    assert model.generate(50, seed=3, out=out) is out
    images = model.generate(50, seed=3)
    wanted = np.rint(255 * images) if dtype == "uint8" else images
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), wanted)
    assert len(np.unique(images, axis=0)) == 50  # no block repeats another
    np.testing.assert_array_equal(images[:16], model.generate(16, seed=3))


def test_generate_refuses_arrays_that_do_not_fit(model):
    shape = (5, *model.decoder.output_shape[1:])
    read_only = np.zeros(shape)
    read_only.flags.writeable = False
    for out in (np.zeros((4, *shape[1:])), np.zeros(shape, int), read_only, [[0.0]]):
        with pytest.raises(ValueError, match=r"^out must "):
            model.generate(5, out=out)
