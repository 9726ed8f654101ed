"""What may be handed to a model of images: arrays, what yields batches, two networks that fit together."""

import copy
import math
from functools import partial
from typing import Any

import numpy as np

from vae._checks import as_array, check_images, check_points, check_seed
from vae._keras import Tensor, keras
from vae.training.chunks import yields_chunks
from vae.training.seeds import draw_seed

NO_TARGETS = "The model is trained to give back its own input, and its loss is built in."
# Of images; NumPy has more, such as floats of 128 bits or in the byte order of other machines.
_BACKEND_TYPES = [np.dtype(name) for name in ("uint8", "float16", "float32", "float64")]
Shape = tuple[Any, ...]  # of a tensor; the size of the batch may be None


def is_array(x: Any) -> bool:
    """Tell whether `x` is one array, or a list that can become one."""
    return hasattr(x, "__array__") or isinstance(x, list | tuple)


def shape_images(name: str, images: Any, shape: Shape) -> np.ndarray:
    """Return checked images in the shape that an encoder takes: (n, *shape[1:])."""
    array = check_images(name, images)
    _check_size(name, array.shape, shape)
    if array.dtype not in _BACKEND_TYPES:
        array = array.astype(np.float32)
    return array.reshape(-1, *shape[1:])


def check_data(name: str, x: Any, y: Any, shape: Shape) -> Any:
    """Return arrays of images in an encoder's shape; what yields batches is checked by its first one."""
    images = shape_images(name, x, shape) if is_array(x) else None
    _check_targets(name, x, y)
    if images is not None:
        return images
    if x is None or isinstance(x, str | bytes | dict | float | int):
        raise TypeError(f"{name} must be images, or yield batches of them; got {type(x).__name__}.")
    _check_first_batch(name, x, shape)
    return x


def check_validation(data: Any, shape: Shape) -> Any:
    """Return `validation_data`, which is x or (x, x), likewise."""
    if not isinstance(data, tuple | list):
        return check_data("validation_data", data, None, shape)
    if len(data) not in (1, 2):
        raise ValueError(f"validation_data must be x or (x, x); got {len(data)} parts. {NO_TARGETS}")
    x, y = (*data, None)[:2]
    return check_data("validation_data", x, y, shape)


def check_batch(x: Any, y: Any, shape: Shape) -> np.ndarray:
    """Return one batch, which must be an array."""
    if not is_array(x):
        raise TypeError(f"x must be a batch of images; got {type(x).__name__}.")
    return check_data("x", x, y, shape)


def _check_targets(name: str, x: Any, y: Any) -> None:
    same = y is None or y is x or (is_array(x) and is_array(y) and np.array_equal(x, y))
    if not same:
        raise ValueError(f"y must be {name} itself, or left out; got other values. {NO_TARGETS}")


def _check_first_batch(name: str, data: Any, shape: Shape) -> None:
    """Check the first batch of what yields batches, where one can look without using it up."""
    if yields_chunks(data):
        return  # made from an array that was checked
    if isinstance(data, keras.utils.PyDataset):
        batch = data[0]
    elif hasattr(data, "element_spec") and hasattr(data, "take"):  # a tf.data.Dataset
        batch = next(iter(data.take(1)), None)
    else:
        return
    x, *rest = batch if isinstance(batch, tuple | list) else (batch,)
    shape_images(name, x, shape)
    _check_targets(name, x, rest[0] if rest else None)


def _check_size(name: str, got: Any, wanted: Shape) -> None:
    pixels, wanted_pixels = math.prod(got[1:]), math.prod(wanted[1:])
    if pixels != wanted_pixels:
        raise ValueError(
            f"{name} must hold images of {wanted_pixels} values, as the encoder's input {wanted}; "
            f"got {pixels} an image, shape {tuple(got)}."
        )


# Inside the compiled graph


def scale_batch(x: Tensor, shape: Shape) -> Tensor:
    """Scale uint8 to [0, 1] and give images the encoder's shape.

    Arrays come in that shape already; batches of a `tf.data.Dataset` may not.
    """
    got = static_shape(x)
    if got is not None:
        _check_size("x", got, shape)
    dtype = keras.utils.standardize_dtype(x.dtype)
    if dtype != "uint8" and "float" not in dtype:
        raise TypeError(f"x must be uint8 (0 to 255) or floats in [0, 1]; got dtype {dtype}.")
    x = keras.ops.cast(x, "float32")
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
    return check_images(name, array.reshape(1, *shape[1:]))


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
