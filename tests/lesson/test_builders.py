import keras
import numpy as np
import pytest

import vae

ENCODER_LAYERS = [
    "Encoder-Input-Layer",
    "Encoder-Hidden-Layer-1",
    "Encoder-Hidden-Layer-2",
    "Encoder-Hidden-Layer-3",
    "Z-Mean",
    "Z-Log-Sigma",
    "Z-Sampling-Layer",
]
DECODER_LAYERS = [
    "Decoder-Input-Layer",
    "Decoder-Hidden-Layer-1",
    "Decoder-Hidden-Layer-2",
    "Decoder-Hidden-Layer-3",
    "Decoder-Output-Layer",
]


def test_the_default_encoder_is_the_articles():
    encoder = vae.build_encoder()
    assert encoder.name == "Encoder-Model"
    assert [layer.name for layer in encoder.layers] == ENCODER_LAYERS
    assert [encoder.get_layer(f"Encoder-Hidden-Layer-{i}").units for i in (1, 2, 3)] == [64, 16, 8]
    assert encoder.input_shape == (None, 784)
    assert [tuple(output.shape) for output in encoder.outputs] == [(None, 2)] * 3


def test_the_default_decoder_mirrors_it():
    decoder = vae.build_decoder()
    assert decoder.name == "Decoder-Model"
    assert [layer.name for layer in decoder.layers] == DECODER_LAYERS
    assert [decoder.get_layer(f"Decoder-Hidden-Layer-{i}").units for i in (1, 2, 3)] == [8, 16, 64]
    assert (decoder.input_shape, decoder.output_shape) == ((None, 2), (None, 784))


def test_the_autoencoder_has_the_same_layers_without_sampling():
    autoencoder = vae.build_autoencoder()
    encoder, decoder = autoencoder.encoder, autoencoder.decoder
    assert (encoder.name, decoder.name) == ("Encoder-Model", "Decoder-Model")
    assert [layer.name for layer in encoder.layers] == [*ENCODER_LAYERS[:4], "Z-Code"]
    assert [layer.name for layer in decoder.layers] == DECODER_LAYERS
    assert not any(isinstance(layer, vae.Sampling) for layer in encoder.layers)


def test_an_autoencoder_is_a_model_of_its_own_and_deterministic():
    autoencoder = vae.build_autoencoder(latent_dim=3)
    assert type(autoencoder) is vae.Autoencoder
    x = np.random.default_rng(0).random((3, 784), dtype="float32")
    assert autoencoder.encode(x).shape == (3, 3)
    first, second = (autoencoder.predict(x, verbose=0) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_sizes_and_activations_are_arguments():
    encoder = vae.build_encoder(100, (30,), 5, activation="relu", name="Mine")
    assert (encoder.input_shape, encoder.name) == ((None, 100), "Mine")
    assert encoder.get_layer("Encoder-Hidden-Layer-1").activation is keras.activations.relu
    decoder = vae.build_decoder(5, (30,), 100, output_activation="linear", kernel_initializer="zeros")
    assert decoder.get_layer("Decoder-Output-Layer").activation is keras.activations.linear
    assert isinstance(
        decoder.get_layer("Decoder-Hidden-Layer-1").kernel_initializer, keras.initializers.Zeros
    )


@pytest.mark.parametrize(
    "networks",
    [
        lambda: [vae.build_encoder(9), vae.build_decoder(output_dim=9)],
        lambda: [vae.build_conv_encoder((8, 8, 1)), vae.build_conv_decoder(image_shape=(8, 8, 1))],
        lambda: [vae.build_autoencoder(9).encoder, vae.build_autoencoder(9).decoder],
    ],
)
def test_hidden_layers_begin_by_he_and_linear_heads_and_output_by_glorot(networks):
    for network in networks():
        for layer in network.layers:
            if hasattr(layer, "kernel"):
                last = layer.name in ("Z-Mean", "Z-Log-Sigma", "Z-Code", "Decoder-Output-Layer")
                wanted = keras.initializers.GlorotUniform if last else keras.initializers.HeNormal
                assert isinstance(layer.kernel_initializer, wanted), layer.name


def test_no_hidden_layer_is_allowed():
    assert vae.build_encoder(4, (), 2).count_params() == 2 * (4 * 2 + 2)


def test_the_list_of_sizes_is_left_as_it_was():
    sizes = [6, 4]
    vae.build_autoencoder(9, sizes, 2)
    assert sizes == [6, 4]


def test_the_log_sigma_head_is_clipped_however_large_its_weights():
    encoder = vae.build_encoder()
    encoder.get_layer("Z-Log-Sigma").bias.assign([1e6, -1e6])
    _, z_log_sigma, z = encoder.predict(np.ones((3, 784)), verbose=0)
    np.testing.assert_array_equal(z_log_sigma, np.tile(np.float32([2, -15]), (3, 1)))
    assert np.isfinite(z).all()


@pytest.mark.parametrize(
    ("builder", "arguments", "message"),
    [
        ("build_encoder", {"latent_dim": 0}, "latent_dim must be a positive whole number; got 0"),
        ("build_encoder", {"latent_dim": 2.0}, "latent_dim must be a positive"),
        ("build_encoder", {"latent_dim": True}, "latent_dim must be a positive"),
        ("build_encoder", {"input_dim": -784}, "input_dim must be a positive"),
        ("build_encoder", {"hidden_units": (64, -16)}, r"hidden_units\[1\] must be a positive"),
        ("build_encoder", {"hidden_units": (64, 1.5)}, r"hidden_units\[1\] must be a positive"),
        ("build_encoder", {"hidden_units": 64}, "hidden_units must be a sequence"),
        ("build_encoder", {"activation": "no such"}, "activation must be a name"),
        ("build_encoder", {"kernel_initializer": "no such"}, "kernel_initializer must be a name"),
        ("build_encoder", {"seed": -3}, "seed must be a whole number"),
        ("build_decoder", {"latent_dim": 0}, "latent_dim must be a positive"),
        ("build_decoder", {"output_dim": 0}, "output_dim must be a positive"),
        ("build_decoder", {"hidden_units": (0,)}, r"hidden_units\[0\] must be a positive"),
        ("build_decoder", {"activation": "no such"}, "activation must be a name"),
        ("build_decoder", {"output_activation": "no such"}, "output_activation must be a name"),
        ("build_autoencoder", {"latent_dim": 0}, "latent_dim must be a positive"),
        ("build_autoencoder", {"hidden_units": ("a",)}, r"hidden_units\[0\] must be a positive"),
        ("build_autoencoder", {"output_activation": 3}, "output_activation must be a name"),
    ],
)
def test_bad_arguments_are_refused(builder, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(vae, builder)(**arguments)


# Convolutional


@pytest.mark.parametrize("image_shape", [(28, 28, 1), (33, 21, 3), (5, 7, 1), (1, 1, 1), (64, 48, 3)])
def test_convolutional_networks_fit_any_image(image_shape):
    encoder = vae.build_conv_encoder(image_shape, latent_dim=3)
    decoder = vae.build_conv_decoder(3, image_shape=image_shape)
    assert [tuple(output.shape) for output in encoder.outputs] == [(None, 3)] * 3
    assert decoder.output_shape == (None, *image_shape)
    images = keras.ops.convert_to_numpy(decoder(np.zeros((2, 3), "float32")))
    assert images.shape == (2, *image_shape)
    assert 0 <= images.min() <= images.max() <= 1


def test_convolutional_networks_have_the_heads_and_names_of_the_dense_ones():
    names = [layer.name for layer in vae.build_conv_encoder().layers]
    assert names == [
        *("Encoder-Input-Layer", "Encoder-Conv-Layer-1", "Encoder-Conv-Layer-2", "Encoder-Flatten-Layer"),
        *("Encoder-Hidden-Layer-1", "Z-Mean", "Z-Log-Sigma", "Z-Sampling-Layer"),
    ]
    decoder = vae.build_conv_decoder()
    assert (decoder.name, decoder.layers[-1].name) == ("Decoder-Model", "Decoder-Output-Layer")


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (vae.build_conv_encoder, {"image_shape": (28, 28)}, "image_shape must be .height, width, channels"),
        (vae.build_conv_encoder, {"image_shape": (28, 0, 1)}, "image_shape.1. must be a positive"),
        (vae.build_conv_encoder, {"filters": (32, -1)}, "filters.1. must be a positive"),
        (vae.build_conv_encoder, {"filters": 32}, "filters must be a sequence"),
        (vae.build_conv_decoder, {"image_shape": 28}, "image_shape must be a sequence"),
        (vae.build_conv_decoder, {"latent_dim": 0}, "latent_dim must be a positive"),
        (vae.build_conv_decoder, {"output_activation": "no"}, "output_activation must be a name"),
    ],
)
def test_convolutional_sizes_are_checked(build, options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)
