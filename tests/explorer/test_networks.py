"""The networks in the page compute what Keras computes, whatever layers of the builders they are made of."""

import base64

import keras
import numpy as np
import pytest
from explorer.browsing import opened

import vae
from vae.builders import build_conv_decoder, build_conv_encoder
from vae.explorer import explore
from vae.explorer.networks import write_networks

ACTIVATIONS = ("linear", "relu", "leaky_relu", "elu", "selu", "silu", "gelu", "tanh", "sigmoid", "softplus")
GREY, COLOR = (28, 28, 1), (32, 24, 3)


def trained(images, shape=None):
    """A VAE of the default size, dense without a shape, trained on some images."""
    keras.utils.set_random_seed(0)
    if shape is None:
        model = vae.VAE(
            vae.build_encoder(images[0].size, seed=1), vae.build_decoder(output_dim=images[0].size)
        )
    else:
        model = vae.VAE(build_conv_encoder(shape, seed=1), build_conv_decoder(image_shape=shape))
    model.compile("adam")
    model.fit(images, epochs=4 if shape is None else 1, verbose=0)
    return model


def results(tab, function, rows):
    """What the page's `encode` or `decode` gives for rows of numbers; log sigma after the mean."""
    code = """rows => rows.map(row => {
        const result = latentPage.FUNCTION(row);
        return Array.from(result.z_mean ? [...result.z_mean, ...result.z_log_sigma] : result);
    })""".replace("FUNCTION", function)
    blocks = [tab.evaluate(code, rows[i : i + 50].tolist()) for i in range(0, len(rows), 50)]
    return np.concatenate(blocks)


def colored(images):
    """Digits in colours, 32 x 24."""
    cut = np.pad(images[:, :, 2:26, None], ((0, 0), (2, 2), (0, 0), (0, 0)))
    return (cut * np.random.default_rng(0).random((len(images), 1, 1, 3))).astype(np.uint8)


@pytest.mark.parametrize("shape", [None, GREY, COLOR])
def test_encode_and_decode_are_those_of_keras(shape, browser, digits, tmp_path):
    train, test = np.resize(digits.x_train, (1500, 28, 28)), np.resize(digits.x_test, (1000, 28, 28))
    if shape == COLOR:
        train, test = colored(train), colored(test)
    model, path = trained(train, shape), tmp_path / "latent.html"
    explore(model, test, path=path)
    z = np.random.default_rng(0).normal(size=(1000, 2))
    with opened(browser, path.as_uri()) as tab:
        errors = np.abs(results(tab, "decode", z) - model.decode(z).reshape(1000, -1))
        z_mean, z_log_sigma = model.encode(test)
        codes = results(tab, "encode", vae.flatten(test))
    moved = np.abs(codes[:, :2] - z_mean) / np.exp(z_log_sigma)
    print(f"decode {errors.mean():.6f} mean, {errors.max():.5f} worst; encode {moved.max():.4f} sigma")
    assert errors.mean() <= 0.0005
    assert errors.max() <= 0.01
    assert moved.max() <= 0.05
    np.testing.assert_allclose(codes[:, 2:], z_log_sigma, atol=0.01)


@pytest.mark.parametrize("shape", [(9, 7, 1), (8, 6, 3)])
def test_every_activation_and_odd_sizes(shape, browser, tmp_path):
    """Odd sizes are padded on one side and cropped; each layer has an activation of its own."""
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).random((5, *shape), np.float32)
    options = {"filters": (3, 2), "hidden_units": (4,)}
    for activation in ACTIVATIONS:
        encoder = build_conv_encoder(shape, activation=activation, **options)
        decoder = build_conv_decoder(image_shape=shape, activation=activation, **options)
        model = vae.VAE(encoder, decoder)
        explore(model, images, path=tmp_path / "latent.html")
        with opened(browser, (tmp_path / "latent.html").as_uri()) as tab:
            z = np.random.default_rng(0).normal(size=(9, 2))
            expected = model.decode(z).reshape(9, -1)
            np.testing.assert_allclose(results(tab, "decode", z), expected, atol=0.003)
            expected = np.hstack(model.encode(images))
            np.testing.assert_allclose(
                results(tab, "encode", vae.flatten(images)), expected, atol=0.01, rtol=0.003
            )


def test_other_settings_of_the_layers(browser, tmp_path):
    """Even kernels, unequal strides, no padding, no bias, upsampling by three."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((12, 10, 1))
    x = layers.Conv2D(3, (4, 2), (3, 2), "same", activation="relu")(image)
    x = layers.Flatten()(layers.Conv2D(2, 2, padding="valid", use_bias=False)(x))
    means = layers.Dense(2)(layers.Dense(4, activation="tanh")(x))
    spreads = layers.Dense(2, activation=vae.layers.clip_log_sigma, bias_initializer="ones")(x)
    encoder = keras.Model(image, [means, spreads, vae.Sampling()([means, spreads])])
    z = keras.Input((2,))
    x = layers.UpSampling2D((3, 2))(layers.Reshape((4, 6, 1))(layers.Dense(24)(z)))
    decoder = keras.Model(z, layers.Conv2D(1, 3, padding="same")(layers.Cropping2D(((0, 0), (1, 1)))(x)))
    check_page(browser, vae.VAE(encoder, decoder), (12, 10, 1), tmp_path / "latent.html")


def check_page(browser, model, shape, path):
    """The page's networks compute what the model's compute, on noise."""
    images = np.random.default_rng(0).random((5, *shape), np.float32)
    points = np.random.default_rng(0).normal(size=(9, 2))
    explore(model, images, path=path)
    with opened(browser, path.as_uri()) as tab:
        codes = results(tab, "encode", vae.flatten(images))
        np.testing.assert_allclose(codes, np.hstack(model.encode(images)), atol=0.01)
        decoded = results(tab, "decode", points)
        np.testing.assert_allclose(decoded, model.decode(points).reshape(9, -1), atol=0.01)


def shared_layers():
    """Layers that are called twice, one cut out of a larger model, and layers that act in training alone."""
    layers = keras.layers
    image = keras.Input((8, 6, 1))
    noisy = layers.GaussianNoise(0.5)(image)
    flatten, twice = layers.Flatten(), layers.Dense(4, activation="tanh")
    x = layers.Dense(4)(flatten(layers.Conv2D(2, 3, padding="same")(noisy)))
    x = layers.Dropout(0.5)(twice(twice(x)))
    means, spreads = layers.Dense(2)(x), layers.Dense(2)(flatten(x))
    encoder = keras.Model(image, [means, spreads, vae.Sampling()([means, spreads])])
    up, narrow = layers.UpSampling2D(2), layers.Conv2D(1, 3, strides=2, padding="same", activation="relu")
    z = layers.Dense(2)(keras.Input((3,)))
    x = layers.Reshape((8, 6, 1))(layers.Dense(48)(z))
    x = narrow(up(layers.Conv2D(1, 3, padding="same")(narrow(up(x)))))
    return encoder, keras.Model(z, x)  # of a larger model, from z on


def test_a_layer_may_be_called_twice_and_a_network_be_part_of_a_larger_one(browser, tmp_path):
    keras.utils.set_random_seed(0)
    check_page(browser, vae.VAE(*shared_layers()), (8, 6, 1), tmp_path / "latent.html")


def with_layer(*layers, activation="silu"):
    image = x = keras.Input((784,))
    for layer in layers:
        x = layer(x)
    x = keras.layers.Dense(4, activation=activation, name="Odd-Layer")(x)
    means, spreads = keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)
    return vae.VAE(
        keras.Model(image, [means, spreads, vae.Sampling()([means, spreads])]), vae.build_decoder()
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: with_layer(keras.layers.LayerNormalization(name="Norm")),
            "model's encoder .* 'Norm', a LayerN",
        ),
        (
            lambda: with_layer(activation="mish"),
            "'Odd-Layer', a Dense with the activation 'mish'",
        ),
        (lambda: with_layer(lambda x: x * 2), "a Multiply"),
    ],
)
def test_a_layer_that_the_page_cannot_run_is_named(make, message, images, tmp_path):
    with pytest.raises(ValueError, match=message):
        explore(make(), images, path=tmp_path / "latent.html")
    assert not (tmp_path / "latent.html").exists()


def test_narrow_gaussians_and_large_weights_are_carried_in_32_bits(images):
    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(seed=1), vae.build_decoder())
    points = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)
    assert [part["bits"] for part in write_networks("model", model, images, points).values()] == [16, 16]
    model.encoder.get_layer("Z-Log-Sigma").bias.assign([-12.0, -12.0])
    before = [weights.copy() for weights in model.get_weights()]
    written = write_networks("model", model, images, points)
    assert [part["bits"] for part in written.values()] == [32, 16]
    for weights, same in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, same)
    model.decoder.layers[1].kernel.assign(np.full((2, 8), 1e5))
    assert write_networks("model", model, images, points)["decoder"]["bits"] == 32  # and warns of nothing


def test_weights_are_half_floats_in_the_order_of_the_layers(images):
    model = vae.build_autoencoder()
    written = write_networks("autoencoder", model, images, np.zeros((1, 2), np.float32))["decoder"]
    weights = np.frombuffer(base64.b64decode(written["weights"]), "<f2")
    expected = np.concatenate([array.ravel() for array in model.decoder.get_weights()])
    np.testing.assert_array_equal(weights, expected.astype(np.float16))
