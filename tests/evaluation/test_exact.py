"""log p(x) by a sum over the latent space: against closed forms, and where bounds from below miss a place."""

import math

import keras
import numpy as np
import pytest
from tiny import X, tiny_vae

import vae
from vae.evaluation import exact, exact_log_likelihood


def linear_model(weights, bias, reconstruction="mse", log_sigma=0.0):
    """A model whose decoder is W z + b, and whose encoder knows nothing."""
    pixels, latent_dim = weights.shape
    encoder = vae.build_encoder(pixels, (), latent_dim, seed=0)
    for name, value in (("Z-Mean", 0.0), ("Z-Log-Sigma", log_sigma)):
        kernel, offset = encoder.get_layer(name).get_weights()
        encoder.get_layer(name).set_weights([0 * kernel, 0 * offset + value])
    decoder = vae.build_decoder(latent_dim, (), pixels, output_activation="linear")
    decoder.layers[-1].set_weights([weights.T, bias])
    return vae.VAE(encoder, decoder, reconstruction=reconstruction)


def closed_form(weights, bias, x, variance=0.5):
    """log N(x; b, W W^T + variance I)."""
    covariance = weights @ weights.T + variance * np.eye(len(weights))
    away = x - bias
    distance = np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away)
    return -0.5 * (distance + np.linalg.slogdet(2 * math.pi * covariance)[1])


@pytest.mark.parametrize("latent_dim", [1, 2])
@pytest.mark.parametrize(("pixels", "size"), [(12, 1.0), (784, 0.05), (784, 5.0)])
def test_a_linear_decoder_has_its_closed_form(latent_dim, pixels, size):
    rng = np.random.default_rng(0)
    # Columns that are not orthogonal: p(z|x) lies aslant.
    weights = size * rng.normal(size=(pixels, 2)) @ np.array([[1.0, 0.9], [0.0, 0.4]])
    weights, bias = weights[:, :latent_dim], np.full(pixels, 0.5)
    z = rng.normal(size=(200, latent_dim))
    x = bias + z @ weights.T + math.sqrt(0.5) * rng.normal(size=(200, pixels))
    low, high = x.min(), x.max()  # images have to lie in [0, 1]
    x = ((x - low) / (high - low)).astype("float32")
    weights, bias = weights / (high - low), (bias - low) / (high - low)
    found = exact_log_likelihood(linear_model(weights, bias), x)
    assert found.dtype == np.float64
    assert np.abs(found - closed_form(weights, bias, x.astype(float))).max() < 1e-3


def test_the_learned_gaussian_with_a_small_sigma():
    rng = np.random.default_rng(1)
    weights, bias = rng.normal(0, 0.1, (100, 2)), np.full(100, 0.5)
    x = np.clip(bias + rng.normal(size=(20, 2)) @ weights.T, 0, 1).astype("float32")
    model = linear_model(weights, bias, "gaussian", log_sigma=-4.0)
    model.reconstruction_loss.log_sigma.assign(math.log(0.05))
    wanted = closed_form(weights, bias, x.astype(float), variance=0.05**2)
    assert np.abs(exact_log_likelihood(model, x) - wanted).max() < 2e-3  # of numbers up to 4,000, in float32


@pytest.mark.parametrize("likelihood", ["mse", "bernoulli"])
def test_a_trained_model_against_a_plain_sum(digits, likelihood):
    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(), vae.build_decoder(), reconstruction=likelihood)
    model.compile()
    model.fit(digits.x_train, epochs=10, verbose=0)
    x = vae.flatten(digits.x_test[:10])
    step, axis = 0.05, np.arange(-120, 121) * 0.05
    z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    decoded = model.decode(z.astype("float32")).astype(float)
    if likelihood == "mse":
        squares = (x**2).sum(1)[:, None] - 2 * x @ decoded.T + (decoded**2).sum(1)
        log_p = -squares - 392 * math.log(math.pi)
    else:
        decoded = decoded.clip(1e-7, 1 - 1e-7)
        log_p = x @ np.log(decoded).T + (1 - x) @ np.log1p(-decoded).T
    log_joint = log_p - 0.5 * (z**2).sum(1) - math.log(2 * math.pi) + 2 * math.log(step)
    assert np.abs(exact_log_likelihood(model, x) - np.logaddexp.reduce(log_joint, axis=1)).max() < 1e-3
    assert (vae.elbo(model, x, 100, seed=0) < exact_log_likelihood(model, x) + 0.2).all()


def test_a_second_place_that_the_encoder_does_not_see_counts():
    """The decoder folds the line: z and -z give one image; the encoder knows of z alone."""
    inputs, z = keras.Input((4,)), keras.Input((1,))
    z_mean, z_log_sigma = keras.layers.Dense(1, name="mean")(inputs), keras.layers.Dense(1, name="s")(inputs)
    encoder = keras.Model(inputs, [z_mean, z_log_sigma, vae.Sampling(seed=0)([z_mean, z_log_sigma])])
    decoder = keras.Model(z, keras.layers.Dense(4, use_bias=False, name="out")(keras.ops.abs(z)))
    decoder.get_layer("out").set_weights([np.full((1, 4), 0.25)])
    encoder.get_layer("mean").set_weights([np.ones((4, 1)), np.zeros(1)])
    encoder.get_layer("s").set_weights([np.zeros((4, 1)), np.full(1, -0.2)])
    x = np.full((1, 4), 0.5, "float32")
    found = exact_log_likelihood(vae.VAE(encoder, decoder), x)
    fine = np.linspace(-12, 12, 200_001)
    log_joint = -4 * (0.5 - 0.25 * np.abs(fine)) ** 2 - 2 * math.log(math.pi) - 0.5 * fine**2
    wanted = math.log(np.exp(log_joint).sum() * (fine[1] - fine[0]) / math.sqrt(2 * math.pi))
    assert abs(found[0] - wanted) < 2e-3  # the fold has a corner


def test_the_sum_does_not_depend_on_the_blocks(monkeypatch):
    model, x = tiny_vae(), X[:3]
    whole = exact_log_likelihood(model, x)
    monkeypatch.setattr(exact, "_POINTS", 500)
    monkeypatch.setattr(exact, "_PAIRS", 17)
    assert np.abs(exact_log_likelihood(model, x) - whole).max() < 1e-4


def test_images_may_be_shaped_and_bytes():
    model = vae.VAE(vae.build_conv_encoder((8, 6, 3), (4,)), vae.build_conv_decoder(2, (4,), (8, 6, 3)))
    assert np.isfinite(exact_log_likelihood(model, np.zeros((2, 8, 6, 3), "uint8"))).all()


def test_what_cannot_be_summed_is_refused():
    with pytest.raises(ValueError, match="1 or 2 latent dimensions; got 3"):
        exact_log_likelihood(vae.VAE(vae.build_encoder(latent_dim=3), vae.build_decoder(3)), X[:1])
    with pytest.raises(TypeError, match="model must be"):
        exact_log_likelihood(vae.build_autoencoder(), X[:1])
    rng = np.random.default_rng(0)
    sharp = linear_model(rng.normal(size=(50, 2)), np.full(50, 0.5), "gaussian")
    sharp.reconstruction_loss.log_sigma.assign(-12.0)
    with pytest.raises(ValueError, match="smoother decoder"):
        exact_log_likelihood(sharp, np.full((2, 50), 0.5))
