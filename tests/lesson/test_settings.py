"""Keras's global settings: the type of floats, the order of an image's axes, running without graphs."""

import keras
import numpy as np
import pytest
from tiny import BOTH, X, fit, tiny_networks, tiny_vae

import vae


@pytest.fixture
def settings():
    """Keras, whose settings are put back."""
    before = keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy()
    yield keras.config
    keras.config.set_floatx(before[0])
    keras.config.set_image_data_format(before[1])
    keras.config.set_dtype_policy(before[2])


@pytest.mark.parametrize("shape", [(7, 5, 3), (8, 8, 1)])
def test_the_last_axis_is_that_of_channels_whatever_keras_is_set_to(settings, shape, tmp_path):
    before = tiny_vae(shape=shape)
    before.save(tmp_path / "before.keras")
    settings.set_image_data_format("channels_first")
    model = tiny_vae(shape=shape)
    x = np.random.default_rng(0).random((4, *shape), np.float32)
    assert (model.encoder.input_shape, model.decoder.output_shape) == ((None, *shape), (None, *shape))
    np.testing.assert_array_equal(model.reconstruct(x), before.reconstruct(x))
    np.testing.assert_array_equal(
        vae.load_model(tmp_path / "before.keras").reconstruct(x), model.reconstruct(x)
    )
    fit(model, x)


@pytest.mark.parametrize(
    "make", [*BOTH, lambda: tiny_vae(shape=(6, 6, 1)), lambda: tiny_vae(reconstruction="gaussian")]
)
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")  # JAX has no float64 unless it is told to
def test_models_of_float64_do_all_that_others_do(settings, make, tmp_path):
    settings.set_floatx("float64")
    settings.set_dtype_policy("float64")  # as it is by itself, unless one was set before
    model = make()
    if keras.backend.backend() == "torch" and len(model.encoder.input_shape) > 2:
        pytest.skip("PyTorch has no gradient of such a convolution")
    x = X.reshape(-1, *model.encoder.input_shape[1:])
    for images in (x, x.astype("float64"), (255 * x).astype("uint8")):
        history = fit(model, images, validation_data=images, epochs=2)
        assert np.isfinite(history["loss"] + history["val_loss"]).all()
    assert np.isfinite(model.evaluate(x, verbose=0)).all()
    if keras.backend.backend() != "jax":
        assert keras.backend.standardize_dtype(model.encoder.weights[0].dtype) == "float64"
    assert model.reconstruct(x).dtype == model.predict(x, verbose=0).dtype == np.float32
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        vae.load_model(tmp_path / "model.keras").reconstruct(x), model.reconstruct(x)
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains(settings, policy):
    settings.set_dtype_policy(policy)
    model = tiny_vae()
    history = fit(model, epochs=30)
    assert history["loss"][-1] < history["loss"][0]


# Without graphs: to look at tensors with a debugger


def losses(eagerly, make, data=X, **options):
    keras.utils.set_random_seed(0)
    model = make(tiny_networks(noise=0))
    model.compile(run_eagerly=eagerly, **options)
    history = model.fit(data, epochs=2, batch_size=8, validation_data=X, verbose=0).history
    evaluated = model.evaluate(X, verbose=0, return_dict=True)
    return [*history["loss"], *history["val_loss"], evaluated["loss"], *model.encode(X)[0][0]]


@pytest.mark.parametrize(
    "options", [{}, {"optimizer": "adam"}, {"optimizer": "sgd", "steps_per_execution": 2}]
)
def test_eager_runs_end_as_compiled_ones(options):
    def make(networks):
        # The noise is small, as TensorFlow's compiled generator draws another.
        model = vae.VAE(*networks)
        head = model.encoder.get_layer("Z-Log-Sigma")
        head.set_weights([np.zeros((8, 2)), np.full(2, -15.0)])
        return model

    eager, compiled = (losses(eagerly, make, **options) for eagerly in (True, False))
    np.testing.assert_allclose(eager, compiled, rtol=1e-3)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a setting of TensorFlow")
@pytest.mark.filterwarnings("ignore:Even though the `tf.config")  # tf.data compiles all the same
def test_tensorflow_told_to_run_eagerly_trains():
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        model = tiny_vae()
        assert np.isfinite(fit(model, validation_data=X)["val_loss"]).all()
        batches = tf.data.Dataset.from_tensor_slices(X).batch(4)
        assert np.isfinite(fit(model, batches, batch_size=None)["loss"]).all()
        assert np.isfinite(model.evaluate(X, verbose=0)).all()
        assert model.reconstruct(X).shape == X.shape
    finally:
        tf.config.run_functions_eagerly(False)
