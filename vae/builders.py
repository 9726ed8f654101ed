"""Builders of the networks: encoder, decoder, and the plain autoencoder that the lesson starts from.

Each returns an ordinary functional `keras.Model`; the layer names are those of every diagram.
"""

import math
from collections.abc import Sequence
from typing import Any

from vae._checks import check_positive_int, check_units
from vae._keras import keras
from vae.layers import Sampling, clip_log_sigma

# Not ReLU: in a layer of 8 units, one that dies takes an eighth of the layer with it, and some seeds
# then end 3 points of loss behind the others.
ACTIVATION = "silu"
INITIALIZER = "he_normal"


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

    Kingma & Welling 2014 (arXiv 1312.6114), appendix C.2: a dense network with two linear heads,
    followed by the sampling layer. The Z-Log-Sigma head is clipped to [-15, 15].

    Args:
        input_dim: Pixels of a flattened image.
        hidden_units: Sizes of the hidden layers, first to last.
        latent_dim: Size of the latent space.
        activation: Of the hidden layers: a Keras name or callable.
        kernel_initializer: Of every dense layer: a Keras name or initializer.
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
    options = _dense_options(activation, kernel_initializer)
    inputs, hidden = _encoder_body(input_dim, hidden_units, options)
    return keras.Model(inputs, _heads(hidden, latent_dim, options, seed), name=name)


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
    """Build the decoder p(x|z): latent point -> image.

    Kingma & Welling 2014 (arXiv 1312.6114), appendix C. The default sigmoid keeps pixels in [0, 1].

    Args:
        latent_dim: Size of the latent space.
        hidden_units: Sizes of the hidden layers, first to last.
        output_dim: Pixels of a flattened image.
        activation: Of the hidden layers: a Keras name or callable.
        output_activation: Of the last layer, likewise.
        kernel_initializer: Of every dense layer: a Keras name or initializer.
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
    options = _dense_options(activation, kernel_initializer)
    output_activation = _known("output_activation", output_activation, keras.activations.get)
    output_dim = check_positive_int("output_dim", output_dim)
    inputs = keras.Input((check_positive_int("latent_dim", latent_dim),), name="Decoder-Input-Layer")
    hidden = _hidden_layers(inputs, hidden_units, options, "Decoder-Hidden-Layer")
    outputs = _dense(output_dim, output_activation, options, "Decoder-Output-Layer")(hidden)
    return keras.Model(inputs, outputs, name=name)


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
        kernel_initializer: Of every layer: a Keras name or initializer.
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
    options = _dense_options(activation, kernel_initializer)
    inputs = x = keras.Input(_image_shape(image_shape), name="Encoder-Input-Layer")
    for i, size in enumerate(check_units("filters", filters), start=1):
        x = keras.layers.Conv2D(size, 3, 2, "same", name=f"Encoder-Conv-Layer-{i}", **options)(x)
    x = keras.layers.Flatten(name="Encoder-Flatten-Layer")(x)
    hidden = _hidden_layers(x, hidden_units, options, "Encoder-Hidden-Layer")
    return keras.Model(inputs, _heads(hidden, latent_dim, options, seed), name=name)


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
    doubles height and width; the last convolution gives the channels. What is too much of a size that
    is no multiple of 2 to the number of `filters` is cut off. Not transposed convolutions, which leave
    a checkerboard (Odena et al. 2016, doi 10.23915/distill.00003) and are slow on CPUs.

    Args:
        latent_dim: Size of the latent space.
        filters: Filters of the convolutions, first to last.
        image_shape: (height, width, channels) of an image, of any size.
        hidden_units: Sizes of dense layers before the one that lays out the image.
        activation: Of the hidden layers: a Keras name or callable.
        output_activation: Of the last layer, likewise.
        kernel_initializer: Of every layer: a Keras name or initializer.
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
    options = _dense_options(activation, kernel_initializer)
    output_activation = _known("output_activation", output_activation, keras.activations.get)
    height, width, channels = _image_shape(image_shape)
    sizes = check_units("filters", filters)
    rows, columns = (math.ceil(size / 2 ** len(sizes)) for size in (height, width))
    first = sizes[0] if sizes else channels

    inputs = keras.Input((check_positive_int("latent_dim", latent_dim),), name="Decoder-Input-Layer")
    x = _hidden_layers(inputs, hidden_units, options, "Decoder-Hidden-Layer")
    x = _dense(rows * columns * first, options["activation"], options, "Decoder-Layout-Layer")(x)
    x = keras.layers.Reshape((rows, columns, first), name="Decoder-Reshape-Layer")(x)
    for i, size in enumerate(sizes, start=1):
        x = keras.layers.Conv2D(size, 3, 1, "same", name=f"Decoder-Conv-Layer-{i}", **options)(x)
        x = keras.layers.UpSampling2D(name=f"Decoder-Upsampling-Layer-{i}")(x)
    extra = ((0, x.shape[1] - height), (0, x.shape[2] - width))
    if extra != ((0, 0), (0, 0)):
        x = keras.layers.Cropping2D(extra, name="Decoder-Cropping-Layer")(x)
    options = {**options, "activation": output_activation}
    outputs = keras.layers.Conv2D(channels, 3, 1, "same", name="Decoder-Output-Layer", **options)(x)
    return keras.Model(inputs, outputs, name=name)


def build_autoencoder(
    input_dim: int = 784,
    hidden_units: Sequence[int] = (64, 16, 8),
    latent_dim: int = 2,
    *,
    activation: Any = ACTIVATION,
    output_activation: Any = "sigmoid",
    kernel_initializer: Any = INITIALIZER,
    name: str = "Autoencoder-Model",
) -> keras.Model:
    """Build the undercomplete autoencoder: image -> code -> image, nothing sampled, no KL term.

    The layers are those of `build_encoder` and `build_decoder` (mirrored), with one linear layer
    Z-Code in place of the two heads and the sampling. Train it with
    `loss=vae.reconstruction_loss`. Hinton & Salakhutdinov 2006 (doi 10.1126/science.1127647).

    Args:
        input_dim: Pixels of a flattened image.
        hidden_units: Sizes of the encoder's hidden layers; the decoder has them in reverse.
        latent_dim: Size of the code.
        activation: Of the hidden layers: a Keras name or callable.
        output_activation: Of the last layer, likewise.
        kernel_initializer: Of every dense layer: a Keras name or initializer.
        name: Name of the model.

    Returns:
        A `keras.Model` from (batch, input_dim) to (batch, input_dim). Its two halves are
        `model.get_layer("Encoder-Model")` and `model.get_layer("Decoder-Model")`.

    Raises:
        ValueError: A size that is no positive whole number, or an activation or initializer that
            Keras does not know.

    Example:
        >>> import vae
        >>> vae.build_autoencoder().get_layer("Encoder-Model").output_shape
        (None, 2)
    """
    options = _dense_options(activation, kernel_initializer)
    latent_dim = check_positive_int("latent_dim", latent_dim)
    hidden_units = check_units("hidden_units", hidden_units)
    inputs, hidden = _encoder_body(input_dim, hidden_units, options)
    code = _dense(latent_dim, "linear", options, "Z-Code")(hidden)
    encoder = keras.Model(inputs, code, name="Encoder-Model")
    decoder = build_decoder(
        latent_dim,
        hidden_units[::-1],
        input_dim,
        activation=activation,
        output_activation=output_activation,
        kernel_initializer=kernel_initializer,
    )
    images = keras.Input((input_dim,), name="Autoencoder-Input-Layer")
    return keras.Model(images, decoder(encoder(images)), name=name)


def _encoder_body(input_dim: int, hidden_units: Sequence[int], options: dict[str, Any]) -> tuple[Any, Any]:
    inputs = keras.Input((check_positive_int("input_dim", input_dim),), name="Encoder-Input-Layer")
    return inputs, _hidden_layers(inputs, hidden_units, options, "Encoder-Hidden-Layer")


def _heads(hidden: Any, latent_dim: int, options: dict[str, Any], seed: int | None) -> list[Any]:
    latent_dim = check_positive_int("latent_dim", latent_dim)
    z_mean = _dense(latent_dim, "linear", options, "Z-Mean")(hidden)
    z_log_sigma = _dense(latent_dim, clip_log_sigma, options, "Z-Log-Sigma")(hidden)
    return [z_mean, z_log_sigma, Sampling(seed=seed, name="Z-Sampling-Layer")([z_mean, z_log_sigma])]


def _image_shape(value: Any) -> tuple[int, ...]:
    shape = check_units("image_shape", value)
    if len(shape) != 3:
        raise ValueError(f"image_shape must be (height, width, channels); got {shape}.")
    return shape


def _hidden_layers(x: Any, hidden_units: Sequence[int], options: dict[str, Any], name: str) -> Any:
    for i, units in enumerate(check_units("hidden_units", hidden_units), start=1):
        x = _dense(units, options["activation"], options, f"{name}-{i}")(x)
    return x


def _dense(units: int, activation: Any, options: dict[str, Any], name: str) -> keras.layers.Dense:
    return keras.layers.Dense(
        units, activation=activation, kernel_initializer=options["kernel_initializer"], name=name
    )


def _dense_options(activation: Any, kernel_initializer: Any) -> dict[str, Any]:
    _known("kernel_initializer", kernel_initializer, keras.initializers.get)
    return {
        "activation": _known("activation", activation, keras.activations.get),
        "kernel_initializer": kernel_initializer,
    }


def _known(name: str, value: Any, get: Any) -> Any:
    try:
        if value is None or isinstance(value, str | dict) or callable(value):  # Keras takes arrays, too
            return get(value)
        raise ValueError
    except (ValueError, TypeError, AttributeError, KeyError):
        raise ValueError(f"{name} must be a name or object that Keras knows; got {value!r}.") from None
