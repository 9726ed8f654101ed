"""Builders of the networks: encoder, decoder, and the plain autoencoder that the lesson starts from.

Each puts together an ordinary functional `keras.Model`; the layer names are those of every diagram. All
dense networks have the hidden layers of `hidden_layers`; all encoders of a VAE end in `gaussian_heads`.
"""

import math
from collections.abc import Sequence
from typing import Any

from vae._checks import check_image_shape, check_known, check_positive_int, check_units
from vae._keras import Tensor, keras
from vae.layers import Sampling, clip_log_sigma
from vae.model import Autoencoder

# Of the hidden layers. Not ReLU: in a layer of 8 units, one that dies takes an eighth of the layer with it,
# and some seeds then end 3 nats per image behind the others.
ACTIVATION = "silu"
FORMAT = "channels_last"  # of images, whatever Keras is set to
INITIALIZER = "he_normal"  # the linear heads and the output layer keep Keras's own, "glorot_uniform"


def hidden_layers(x: Tensor, units: Sequence[int], name: str, **options: Any) -> Tensor:
    """Dense layers, one after another."""
    for i, size in enumerate(check_units("hidden_units", units), start=1):
        x = keras.layers.Dense(size, name=f"{name}-{i}", **options)(x)  # (batch, size)
    return x


def gaussian_heads(x: Tensor, latent_dim: int, seed: int | None) -> list[Tensor]:
    """The three outputs of a VAE's encoder: a Gaussian, as z_mean and z_log_sigma, and a draw z from it."""
    size = check_positive_int("latent_dim", latent_dim)
    z_mean = keras.layers.Dense(size, name="Z-Mean")(x)  # (batch, latent_dim)
    z_log_sigma = keras.layers.Dense(size, activation=clip_log_sigma, name="Z-Log-Sigma")(x)  # likewise
    z = Sampling(seed, name="Z-Sampling-Layer")([z_mean, z_log_sigma])
    return [z_mean, z_log_sigma, z]  # three times (batch, latent_dim)


def build_encoder(
    input_dim: int = 784,
    hidden_units: Sequence[int] = (64, 16, 8),
    latent_dim: int = 2,
    *,
    activation: Any = ACTIVATION,
    kernel_initializer: Any = INITIALIZER,
    seed: int | None = None,
    name: str = "Encoder-Model",
) -> keras.Model:
    """Build the encoder q(z|x): image -> [z_mean, z_log_sigma, z].

    Kingma & Welling 2014 (arXiv 1312.6114), appendix C.2: a dense network with two heads, of which the
    second is clipped to [-15, 2], followed by the sampling layer.

    Args:
        input_dim: Pixels of a flattened image.
        hidden_units: Sizes of the hidden layers, first to last.
        latent_dim: Size of the latent space.
        activation: Of the hidden layers: a Keras name or callable.
        kernel_initializer: Of the hidden layers: a Keras name or initializer.
        seed: Of the sampling noise; None takes one from `keras.utils.set_random_seed`.
        name: Name of the model.

    Returns:
        A `keras.Model` from (batch, input_dim) to three tensors of shape (batch, latent_dim).

    Raises:
        ValueError: A size that is no positive whole number, or an activation or initializer that
            Keras does not know.

    Example:
        >>> import vae
        >>> [tuple(output.shape) for output in vae.build_encoder(latent_dim=3).outputs]
        [(None, 3), (None, 3), (None, 3)]
    """
    check_known(activation=activation, kernel_initializer=kernel_initializer)
    options = {"activation": activation, "kernel_initializer": kernel_initializer}
    image = keras.Input((check_positive_int("input_dim", input_dim),), name="Encoder-Input-Layer")
    hidden = hidden_layers(image, hidden_units, "Encoder-Hidden-Layer", **options)  # (batch, last of them)
    outputs = gaussian_heads(hidden, latent_dim, seed)  # three times (batch, latent_dim)
    return keras.Model(image, outputs, name=name)


def build_decoder(
    latent_dim: int = 2,
    hidden_units: Sequence[int] = (8, 16, 64),
    output_dim: int = 784,
    *,
    activation: Any = ACTIVATION,
    output_activation: Any = "sigmoid",
    kernel_initializer: Any = INITIALIZER,
    name: str = "Decoder-Model",
) -> keras.Model:
    """Build the decoder: latent point -> image, the mean of p(x|z).

    Kingma & Welling 2014 (arXiv 1312.6114), appendix C. The default sigmoid keeps pixels in [0, 1].

    Args:
        latent_dim: Size of the latent space.
        hidden_units: Sizes of the hidden layers, first to last.
        output_dim: Pixels of a flattened image.
        activation: Of the hidden layers: a Keras name or callable.
        output_activation: Of the last layer, likewise.
        kernel_initializer: Of the hidden layers: a Keras name or initializer.
        name: Name of the model.

    Returns:
        A `keras.Model` from (batch, latent_dim) to (batch, output_dim).

    Raises:
        ValueError: A size that is no positive whole number, or an activation or initializer that
            Keras does not know.

    Example:
        >>> import vae
        >>> vae.build_decoder(latent_dim=3).output_shape
        (None, 784)
    """
    check_known(
        activation=activation, output_activation=output_activation, kernel_initializer=kernel_initializer
    )
    options = {"activation": activation, "kernel_initializer": kernel_initializer}
    size = check_positive_int("output_dim", output_dim)
    z = keras.Input((check_positive_int("latent_dim", latent_dim),), name="Decoder-Input-Layer")
    hidden = hidden_layers(z, hidden_units, "Decoder-Hidden-Layer", **options)  # (batch, last of them)
    output = keras.layers.Dense(size, activation=output_activation, name="Decoder-Output-Layer")
    return keras.Model(z, output(hidden), name=name)  # (batch, output_dim)


def build_conv_encoder(
    image_shape: Sequence[int] = (28, 28, 1),
    filters: Sequence[int] = (32, 64),
    latent_dim: int = 2,
    *,
    hidden_units: Sequence[int] = (16,),
    activation: Any = ACTIVATION,
    kernel_initializer: Any = INITIALIZER,
    seed: int | None = None,
    name: str = "Encoder-Model",
) -> keras.Model:
    """Build a convolutional encoder: image -> [z_mean, z_log_sigma, z].

    Each convolution (3 x 3, stride 2) halves height and width, rounded up; dense layers and the two
    heads follow. Heads and sampling are those of `build_encoder` (Kingma & Welling 2014, arXiv
    1312.6114); the design is that of DCGAN's discriminator (Radford et al. 2016, arXiv 1511.06434).

    Args:
        image_shape: (height, width, channels) of an image, of any size.
        filters: Filters of the convolutions, first to last.
        latent_dim: Size of the latent space.
        hidden_units: Sizes of the dense layers between convolutions and heads.
        activation: Of the hidden layers: a Keras name or callable.
        kernel_initializer: Of the hidden layers: a Keras name or initializer.
        seed: Of the sampling noise; None takes one from `keras.utils.set_random_seed`.
        name: Name of the model.

    Returns:
        A `keras.Model` from (batch, height, width, channels) to three tensors (batch, latent_dim).

    Raises:
        ValueError: A size that is no positive whole number, an `image_shape` that is not three
            numbers, or an activation or initializer that Keras does not know.

    Example:
        >>> import vae
        >>> encoder = vae.build_conv_encoder((33, 21, 3))
        >>> [tuple(output.shape) for output in encoder.outputs]
        [(None, 2), (None, 2), (None, 2)]
    """
    check_known(activation=activation, kernel_initializer=kernel_initializer)
    options = {"activation": activation, "kernel_initializer": kernel_initializer}
    image = x = keras.Input(check_image_shape("image_shape", image_shape), name="Encoder-Input-Layer")
    for i, size in enumerate(check_units("filters", filters), start=1):
        layer = keras.layers.Conv2D(size, 3, 2, "same", FORMAT, name=f"Encoder-Conv-Layer-{i}", **options)
        x = layer(x)  # (batch, rows, columns, size): half as many rows and columns each time
    x = keras.layers.Flatten(FORMAT, name="Encoder-Flatten-Layer")(x)  # (batch, rows * columns * size)
    hidden = hidden_layers(x, hidden_units, "Encoder-Hidden-Layer", **options)  # (batch, last of them)
    outputs = gaussian_heads(hidden, latent_dim, seed)  # three times (batch, latent_dim)
    return keras.Model(image, outputs, name=name)


def build_conv_decoder(
    latent_dim: int = 2,
    filters: Sequence[int] = (64, 32),
    image_shape: Sequence[int] = (28, 28, 1),
    *,
    hidden_units: Sequence[int] = (64,),
    activation: Any = ACTIVATION,
    output_activation: Any = "sigmoid",
    kernel_initializer: Any = INITIALIZER,
    name: str = "Decoder-Model",
) -> keras.Model:
    """Build a convolutional decoder: latent point -> image.

    A dense layer lays out a small image; each convolution (3 x 3) is followed by an upsampling that
    doubles height and width; the last convolution gives the channels. If height or width is no multiple
    of 2 ** len(filters), the excess is cropped. Not transposed convolutions, which leave a checkerboard
    (Odena et al. 2016, doi 10.23915/distill.00003) and are slow on CPUs.

    Args:
        latent_dim: Size of the latent space.
        filters: Filters of the convolutions, first to last.
        image_shape: (height, width, channels) of an image, of any size.
        hidden_units: Sizes of dense layers before the one that lays out the image.
        activation: Of the hidden layers: a Keras name or callable.
        output_activation: Of the last layer, likewise.
        kernel_initializer: Of the hidden layers: a Keras name or initializer.
        name: Name of the model.

    Returns:
        A `keras.Model` from (batch, latent_dim) to (batch, height, width, channels).

    Raises:
        ValueError: A size that is no positive whole number, an `image_shape` that is not three
            numbers, or an activation or initializer that Keras does not know.

    Example:
        >>> import vae
        >>> vae.build_conv_decoder(image_shape=(33, 21, 3)).output_shape
        (None, 33, 21, 3)
    """
    check_known(
        activation=activation, output_activation=output_activation, kernel_initializer=kernel_initializer
    )
    options = {"activation": activation, "kernel_initializer": kernel_initializer}
    height, width, channels = check_image_shape("image_shape", image_shape)
    sizes = check_units("filters", filters)
    rows, columns = (math.ceil(size / 2 ** len(sizes)) for size in (height, width))
    first = sizes[0] if sizes else channels

    z = keras.Input((check_positive_int("latent_dim", latent_dim),), name="Decoder-Input-Layer")
    x = hidden_layers(z, hidden_units, "Decoder-Hidden-Layer", **options)  # (batch, last of them)
    x = keras.layers.Dense(rows * columns * first, name="Decoder-Layout-Layer", **options)(x)
    x = keras.layers.Reshape((rows, columns, first), name="Decoder-Reshape-Layer")(
        x
    )  # (batch, rows, columns, first)
    for i, size in enumerate(sizes, start=1):
        x = keras.layers.Conv2D(size, 3, 1, "same", FORMAT, name=f"Decoder-Conv-Layer-{i}", **options)(x)
        twice = keras.layers.UpSampling2D(data_format=FORMAT, name=f"Decoder-Upsampling-Layer-{i}")
        x = twice(x)  # (batch, rows, columns, size): twice as many rows and columns each time
    excess = ((0, x.shape[1] - height), (0, x.shape[2] - width))
    if excess != ((0, 0), (0, 0)):
        x = keras.layers.Cropping2D(excess, FORMAT, name="Decoder-Cropping-Layer")(
            x
        )  # (batch, height, width, size)
    output = keras.layers.Conv2D(
        channels, 3, 1, "same", FORMAT, activation=output_activation, name="Decoder-Output-Layer"
    )
    return keras.Model(z, output(x), name=name)  # (batch, height, width, channels)


def build_autoencoder(
    input_dim: int = 784,
    hidden_units: Sequence[int] = (64, 16, 8),
    latent_dim: int = 2,
    *,
    activation: Any = ACTIVATION,
    output_activation: Any = "sigmoid",
    kernel_initializer: Any = INITIALIZER,
    name: str = "Autoencoder-Model",
) -> Autoencoder:
    """Build the undercomplete autoencoder: image -> code -> image, nothing sampled, no KL term.

    The layers are those of `build_encoder` and `build_decoder` (mirrored), with one linear layer
    Z-Code in place of the two heads and the sampling. Hinton & Salakhutdinov 2006 (doi
    10.1126/science.1127647).

    Args:
        input_dim: Pixels of a flattened image.
        hidden_units: Sizes of the encoder's hidden layers; the decoder has them in reverse.
        latent_dim: Size of the code.
        activation: Of the hidden layers: a Keras name or callable.
        output_activation: Of the last layer, likewise.
        kernel_initializer: Of the hidden layers: a Keras name or initializer.
        name: Name of the model.

    Returns:
        An `Autoencoder`, which is compiled, trained and saved as a `VAE` is.

    Raises:
        ValueError: A size that is no positive whole number, or an activation or initializer that
            Keras does not know.

    Example:
        >>> import numpy as np, vae
        >>> vae.build_autoencoder().encode(np.zeros((3, 784))).shape
        (3, 2)
    """
    check_known(activation=activation, kernel_initializer=kernel_initializer)
    options = {"activation": activation, "kernel_initializer": kernel_initializer}
    units, size = check_units("hidden_units", hidden_units), check_positive_int("latent_dim", latent_dim)
    image = keras.Input((check_positive_int("input_dim", input_dim),), name="Encoder-Input-Layer")
    hidden = hidden_layers(image, units, "Encoder-Hidden-Layer", **options)  # (batch, last of them)
    code = keras.layers.Dense(size, name="Z-Code")(hidden)  # (batch, latent_dim)
    encoder = keras.Model(image, code, name="Encoder-Model")
    decoder = build_decoder(size, units[::-1], input_dim, output_activation=output_activation, **options)
    return Autoencoder(encoder, decoder, name=name)
