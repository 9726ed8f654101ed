"""Checks of tensors of the backend, as those of arrays in `_checks`."""

from typing import Any

import numpy as np

from vae._checks import as_array, check_non_negative
from vae._keras import keras


def check_same_floats(**tensors: Any) -> list[Any]:
    """Return tensors by name, which must be floats of one shape; what is no tensor yet becomes one."""
    floats = [_as_float_tensor(name, value) for name, value in tensors.items()]
    shapes = [tuple(tensor.shape) for tensor in floats]
    # Inside a compiled graph a size may be unknown (None), which fits every size.
    fits = len(set(map(len, shapes))) == 1 and all(
        len({size for size in sizes if size is not None}) <= 1 for sizes in zip(*shapes, strict=True)
    )
    if not fits:
        got = " and ".join(map(str, shapes))
        raise ValueError(f"{' and '.join(tensors)} must have one shape; got {got}.")
    return floats


def check_float_tensors(**tensors: Any) -> list[Any]:
    """Return tensors of one shape (batch, ...), in Keras's float type.

    A sum over pixels in the float16 of a mixed-precision model would overflow.
    """
    floats = check_same_floats(**tensors)
    if not floats[0].shape:
        raise ValueError(f"{next(iter(tensors))} must have shape (batch, ...); got one number.")
    return [keras.ops.cast(tensor, keras.config.floatx()) for tensor in floats]


def check_latent_tensors(**tensors: Any) -> list[Any]:
    """Return tensors of one shape (batch, latent_dim), likewise."""
    floats = check_float_tensors(**tensors)
    shape = tuple(floats[0].shape)
    if len(shape) != 2:
        raise ValueError(f"{next(iter(tensors))} must have shape (batch, latent_dim); got {shape}.")
    return floats


def check_same_length(**tensors: Any) -> None:
    """Raise a ValueError where tensors are not of as many images."""
    lengths = [tensor.shape[0] for tensor in tensors.values()]
    if len({length for length in lengths if length is not None}) > 1:
        got = " and ".join(map(str, lengths))
        raise ValueError(f"{' and '.join(tensors)} must have one shape along their first axis; got {got}.")


def check_weight(name: str, value: Any) -> Any:
    """Return the weight of a term; a tensor as it is, since inside a compiled graph it has no value yet."""
    return value if keras.ops.is_tensor(value) else check_non_negative(name, value)


def check_pair_of_shapes(what: str, shapes: Any) -> None:
    """Raise a ValueError where the input shapes of a layer are not two equal ones."""
    is_pair = len(shapes) == 2 and all(isinstance(shape, list | tuple) for shape in shapes)
    if not is_pair or tuple(shapes[0]) != tuple(shapes[1]):
        raise ValueError(f"{what}, two tensors of one shape; got {shapes}.")


def _as_float_tensor(name: str, value: Any) -> Any:
    if not (keras.ops.is_tensor(value) or isinstance(value, keras.KerasTensor | keras.Variable)):
        # By way of NumPy: of some arrays TensorFlow dies without an error.
        value = as_array(name, value)
    dtype = getattr(value.dtype, "name", str(value.dtype))  # such as "float32", or PyTorch's "torch.float32"
    if "float" not in dtype:
        raise TypeError(f"{name} must hold floats; got dtype {dtype}.")
    if not isinstance(value, np.ndarray):
        return value
    with np.errstate(over="ignore"):  # NumPy's float64 beside float32 is an error on some backends
        return keras.ops.convert_to_tensor(value.astype(keras.config.floatx()))
