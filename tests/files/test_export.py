"""`model.export`: what other programs then compute is what `predict` computes."""

import keras
import numpy as np
import pytest
from tiny import fit, tiny_autoencoder, tiny_networks, tiny_vae

import vae

tf = pytest.importorskip("tensorflow")
on_tensorflow_or_jax = pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras: not on PyTorch")
MODELS = [tiny_vae, tiny_autoencoder, lambda: tiny_vae(shape=(6, 5, 1))]


@on_tensorflow_or_jax
@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("state", ["new", "trained", "loaded"])
def test_a_saved_model_computes_what_predict_does(make, state, tmp_path):
    model = make()
    x = np.random.default_rng(0).random((5, *model.encoder.input_shape[1:]), np.float32)
    if state == "trained":
        fit(model, x)
    if state == "loaded":
        model.save(tmp_path / "model.keras")
        model = vae.load_model(tmp_path / "model.keras")
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(exported.serve(x), model.predict(x, verbose=0), atol=1e-6)
    fit(model, x)  # trains on
    model.save(tmp_path / "after.keras")
    assert vae.load_model(tmp_path / "after.keras").encoder.input_shape == model.encoder.input_shape


@on_tensorflow_or_jax
def test_the_encoder_without_its_noise_and_the_decoder_export_alone(tmp_path):
    encoder, decoder = tiny_networks()
    without_noise = keras.Model(encoder.input, encoder.outputs[:2])
    x, z = np.ones((3, 36), np.float32), np.ones((3, 2), np.float32)
    for network, given in ((without_noise, x), (decoder, z)):
        wanted = network(given)
        network.export(tmp_path / "exported", verbose=False)
        exported = tf.saved_model.load(tmp_path / "exported")
        for one, other in zip(
            keras.tree.flatten(exported.serve(given)), keras.tree.flatten(wanted), strict=True
        ):
            np.testing.assert_allclose(one, other, atol=1e-6)
