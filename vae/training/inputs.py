"""What may be handed to a model of images: arrays, what yields batches, two networks that fit together."""

import copy
import math
from functools import partial
from typing import Any

import numpy as np

from vae._checks import as_array, check_images, check_points, check_seed
from vae._keras import Tensor, keras
from vae.training.seeds import draw_seed

NO_TARGETS = "The model is trained to give back its own input, and its loss is built in."
DENOISING = "To denoise, begin the encoder with a keras.layers.GaussianNoise layer, and pass clean images."
# Of images; NumPy has more, such as floats of 128 bits or in the byte order of other machines.
_BACKEND_TYPES = [np.dtype(name) for name in ("uint8", "float16", "float32", "float64")]
Shape = tuple[Any, ...]  # of a tensor; the size of the batch may be None


def is_array(x: Any) -> bool:
    """Tell whether `x` is one array, or a list that can become one."""
    return hasattr(x, "__array__") or isinstance(x, list | tuple)


def shape_images(name: str, images: Any, shape: Shape) -> np.ndarray:
    """Return checked images in the shape that an encoder takes: (n, *shape[1:])."""
    array = check_images(name, images)
    check_shape(name, array.shape, shape)
    if array.dtype not in _BACKEND_TYPES:
        array = array.astype(np.float32)
    return array.reshape(-1, *shape[1:])


def check_array(name: str, x: Any, y: Any, shape: Shape) -> np.ndarray:
    """Return an array of images in an encoder's shape, of which y must be no other."""
    images = shape_images(name, x, shape)
    check_targets(name, x, y)
    return images


def check_batch(x: Any, y: Any, shape: Shape) -> np.ndarray:
    """Return one batch, which must be an array."""
    if not is_array(x):
        raise TypeError(f"x must be a batch of images; got {type(x).__name__}.")
    return check_array("x", x, y, shape)


def check_targets(name: str, x: Any, y: Any) -> None:
    """Raise a ValueError for targets that are not the images."""
    same = y is None or y is x or (is_array(x) and is_array(y) and np.array_equal(x, y))
    if not same:
        raise ValueError(f"y must be {name} itself, or left out; got other values. {NO_TARGETS} {DENOISING}")


def check_shape(name: str, got: Any, wanted: Shape) -> None:
    """Raise a ValueError where images do not have an encoder's shape; the first size is their number.

    Either side may be flat, and either may lack a last axis of 1. Nothing else with as many pixels will do:
    of images with their axes in another order, each would be scrambled.
    """
    flat = 2 in (len(got), len(wanted)) and math.prod(got[1:]) == math.prod(wanted[1:])
    if not flat and _without_last_one(got[1:]) != _without_last_one(wanted[1:]):
        pixels = math.prod(wanted[1:])
        one = f" For one image, pass {name}[None]." if math.prod(got) == pixels and got[0] != 1 else ""
        raise ValueError(
            f"{name} must hold images of {pixels} values, flat or of the shape of the encoder's input "
            f"{wanted}; got {math.prod(got[1:])} an image, shape {tuple(got)}.{one}"
        )


def _without_last_one(sizes: Any) -> tuple[Any, ...]:
    return tuple(sizes[:-1] if tuple(sizes[-1:]) == (1,) else sizes)


# Inside the compiled graph


def scale_batch(x: Tensor, shape: Shape) -> Tensor:
    """Scale uint8 to [0, 1] and give images the encoder's shape.

    Arrays come in that shape already; batches of a `tf.data.Dataset` may not.
    """
    got = static_shape(x)
    if got is not None:
        check_shape("x", got, shape)
    dtype = keras.utils.standardize_dtype(x.dtype)
    if dtype != "uint8" and "float" not in dtype:
        raise TypeError(f"x must be uint8 (0 to 255) or floats in [0, 1]; got dtype {dtype}.")
    x = keras.ops.cast(x, keras.config.floatx())
    x = x / 255.0 if dtype == "uint8" else x
    return keras.ops.reshape(x, (-1, *shape[1:]))


def static_shape(x: Tensor) -> Shape | None:
    """Return a tensor's shape; None where TensorFlow compiles for any, as some datasets leave it open."""
    if getattr(x.shape, "rank", 0) is None or None in tuple(x.shape)[1:]:
        return None
    return tuple(x.shape)


def check_no_weights(**weights: Any) -> None:
    """Raise a ValueError where images are given weights."""
    for name, value in weights.items():
        if value is not None:
            raise ValueError(f"{name} is not supported. {NO_TARGETS}")


# Networks, noise, and arrays to write into


def check_networks(encoder: Any, decoder: Any, outputs: tuple[str, ...]) -> None:
    """Raise where encoder and decoder do not fit together; `outputs` names those of the encoder."""
    for name, network in (("encoder", encoder), ("decoder", decoder)):
        if not isinstance(network, keras.Model):
            raise TypeError(f"{name} must be a keras.Model; got {type(network).__name__}.")
        if not getattr(network, "inputs", None) or not network.outputs:
            raise ValueError(f"{name} must be built, with known inputs and outputs; {network.name!r} is not.")
        if len(network.inputs) != 1:
            raise ValueError(
                f"{name} must have one input; got {len(network.inputs)}. What belongs to an image can be "
                "joined to it along the last axis, and parted inside by keras.ops.split."
            )
    image_shape = tuple(encoder.input_shape)
    if len(image_shape) not in (2, 3, 4) or None in image_shape[1:]:
        raise ValueError(
            "encoder must take images, (batch, pixels), (batch, height, width) or (batch, height, width, "
            f"channels), of known sizes; got {image_shape}."
        )
    shapes = [tuple(output.shape) for output in encoder.outputs]
    if len(shapes) != len(outputs) or len(set(shapes)) != 1 or len(shapes[0]) != 2:
        count = "three outputs" if len(outputs) == 3 else "one output"
        raise ValueError(
            f"encoder must have {count} [{', '.join(outputs)}], each of shape (batch, latent_dim); "
            f"got {shapes}."
        )
    if tuple(decoder.input_shape) != shapes[0]:
        raise ValueError(
            f"encoder and decoder must have one latent size; the encoder gives {shapes[0]}, "
            f"the decoder takes {tuple(decoder.input_shape)}."
        )
    if tuple(decoder.output_shape) != tuple(encoder.input_shape):
        raise ValueError(
            f"encoder and decoder must have one image size; the encoder takes {tuple(encoder.input_shape)}, "
            f"the decoder gives {tuple(decoder.output_shape)}."
        )


def check_one_image(name: str, image: Any, shape: Shape) -> np.ndarray:
    """Return one image, given without or with a leading axis of 1, as a batch of one."""
    array = as_array(name, image)
    if array.size != math.prod(shape[1:]):
        pixels = math.prod(shape[1:])
        raise ValueError(f"{name} must be one image of {pixels} pixels; got shape {array.shape}.")
    without = array.shape[0] != 1 or array.ndim == len(shape) - 1
    return shape_images(name, array[np.newaxis] if without else array, shape)


def deserialized(config: dict[str, Any], parts: tuple[str, ...], custom_objects: Any) -> dict[str, Any]:
    """Return the parts of a configuration that stand for networks or functions, built anew."""
    load = partial(keras.saving.deserialize_keras_object, custom_objects=custom_objects)
    return {name: load(copy.deepcopy(config[name])) for name in parts if isinstance(config[name], dict)}


def noise_generator(name: str, seed: Any) -> keras.random.SeedGenerator:
    """Return a generator of a seed, or of one that follows `keras.utils.set_random_seed`."""
    checked = check_seed(name, seed)
    return keras.random.SeedGenerator(draw_seed() if checked is None else checked)


def check_noise(name: str, noise: Any, n: int, latent_dim: int) -> np.ndarray:
    """Return noise, one row an image."""
    array = check_points(name, noise, latent_dim)
    if len(array) != n:
        raise ValueError(f"{name} must have {n} rows, one an image; got {len(array)}.")
    return array


def check_out(name: str, out: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array to write images into, a new one for None."""
    if out is None:
        return np.empty(shape, np.float32)
    if not isinstance(out, np.ndarray) or out.shape != shape:
        got = f"shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"{name} must be an array of shape {shape}; got {got}.")
    if out.dtype != np.uint8 and not np.issubdtype(out.dtype, np.floating):
        raise ValueError(f"{name} must hold floats or uint8; got dtype {out.dtype}.")
    if not out.flags.writeable:
        raise ValueError(f"{name} must be writeable; got a read-only array.")
    return out
