"""Checks of what users hand in: each error names the argument, what came, what was wanted."""

import numbers
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

# What users hand in: arrays, or whatever NumPy makes arrays of. `Any`, so that `help()` stays short.
Images: TypeAlias = Any  # (n, pixels), (n, height, width) or (n, height, width, channels)
Labels: TypeAlias = Any  # (n,), numbers or strings
Points: TypeAlias = Any  # (n, latent_dim)

_LARGEST_INT = 2**31 - 1  # of a size or number: what the backends count with
_BLOCK_BYTES = 32 * 2**20  # ranges are read in blocks, so that a memmap is never held whole


def check_positive_int(name: str, value: Any) -> int:
    """Return `value` as an int, or raise `ValueError` where it is not a whole number above 0."""
    if _is_whole(value) and 0 < int(value) <= _LARGEST_INT:
        return int(value)
    limit = f" up to {_LARGEST_INT:,}" if _is_whole(value) and int(value) > 0 else ""
    raise ValueError(f"{name} must be a positive whole number{limit}; got {value!r}.")


def check_units(name: str, values: Any) -> tuple[int, ...]:
    """Return layer sizes as a tuple of positive ints; an empty tuple means no hidden layer."""
    if isinstance(values, numbers.Number | str) or not np.iterable(values):
        raise ValueError(f"{name} must be a sequence of layer sizes, such as (64, 16, 8); got {values!r}.")
    return tuple(check_positive_int(f"{name}[{i}]", value) for i, value in enumerate(values))


def check_image_shape(name: str, value: Any) -> tuple[int, ...]:
    """Return (height, width, channels)."""
    shape = check_units(name, value)
    if len(shape) != 3:
        raise ValueError(f"{name} must be (height, width, channels); got {shape}.")
    return shape


def check_known(**options: Any) -> None:
    """Raise a ValueError where Keras knows no such activation or initializer."""
    from vae._keras import keras

    for name, value in options.items():
        get = keras.activations.get if name.endswith("activation") else keras.initializers.get
        try:
            if value is None or isinstance(value, str | dict) or callable(value):  # Keras takes arrays, too
                get(value)
                continue
        except (ValueError, TypeError, AttributeError, KeyError):
            pass
        raise ValueError(f"{name} must be a name or object that Keras knows; got {value!r}.")


def check_images(name: str, images: Any) -> np.ndarray:
    """Return `images` as an array of one of the two kinds that this package takes.

    Shapes (n, pixels), (n, height, width) or (n, height, width, channels); dtype uint8, or
    floating with every value in [0, 1]. Nothing is copied, scaled or reshaped.
    """
    array = as_array(name, images)
    if array.ndim not in (2, 3, 4):
        one = f" For one image, pass {name}[None]." if array.ndim == 1 else ""
        raise ValueError(
            f"{name} must have shape (n, pixels), (n, height, width) or (n, height, width, channels); "
            f"got shape {array.shape}.{one}"
        )
    if array.size == 0:
        raise ValueError(f"{name} must hold at least one image and one pixel; got shape {array.shape}.")
    if array.dtype == np.uint8:
        _warn_of_zeros_and_ones(name, array)
    elif np.issubdtype(array.dtype, np.floating):
        _check_unit_range(name, array)
    else:
        black_and_white = array.dtype == bool or (
            array.dtype.kind in "iu" and array.min() >= 0 and array.max() == 1
        )
        advice = "images of 0 and 1" if black_and_white else "integers of 0 to 255"
        raise TypeError(
            f"{name} must be uint8 (0 to 255) or floats in [0, 1]; got dtype {array.dtype}. "
            f'Convert {advice} with {name}.astype("{"float32" if black_and_white else "uint8"}").'
        )
    return array


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, _BLOCK_BYTES // max(1, array[0].nbytes))
    yield array[:1]  # of images as they should be, one tells enough
    yield from (array[start : start + rows] for start in range(1, len(array), rows))


def _warn_of_zeros_and_ones(name: str, array: np.ndarray) -> None:
    if not any(block.max() > 1 for block in _blocks(array)) and array.any():
        warn_user(
            f"{name} holds no value above 1, and uint8 is divided by 255: all images are as good as black. "
            f'If 1 is white, pass {name}.astype("float32").'
        )


def _check_unit_range(name: str, array: np.ndarray) -> None:
    for block in _blocks(array):
        low, high = float(block.min()), float(block.max())  # NaN and infinity come through both
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError(f"{name} must hold finite values in [0, 1]; got NaN or infinity.")
        if low < 0 or high > 1:
            signed = -1 <= float(array.min()) < 0 and float(array.max()) <= 1
            way = (
                f"from -1 to 1, pass ({name} + 1) / 2"
                if signed
                else "of 0 to 255, divide by 255 or pass them as uint8"
            )
            raise ValueError(
                f"{name} must hold floats in [0, 1]; got values from {low:g} to {high:g}. For images {way}."
            )


def warn_user(message: str) -> None:
    """Warn, at the line outside this package that called it: Python then says it once for that line."""
    frames = [frame for frame, _ in traceback.walk_stack(sys._getframe())]
    ours = [i for i, frame in enumerate(frames) if f"{frame.f_globals.get('__name__')}.".startswith("vae.")]
    warnings.warn(message, stacklevel=max(ours) + 2)


def check_points(name: str, points: Any, latent_dim: int | None = None) -> np.ndarray:
    """Return latent points as a finite float32 array of shape (n, latent_dim)."""
    array = as_array(name, points)
    wanted = "latent_dim" if latent_dim is None else latent_dim
    if array.ndim != 2 or array.size == 0 or latent_dim not in (None, array.shape[1]):
        raise ValueError(f"{name} must have shape (n, {wanted}) with n at least 1; got shape {array.shape}.")
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise TypeError(f"{name} must hold real numbers; got dtype {array.dtype}.")
    with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused below
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must hold finite float32 values; got NaN or infinity.")
    return array


def check_labels(name: str, labels: Any, n: int) -> np.ndarray:
    """Return labels as an array of shape (n,), of numbers or strings."""
    if _is_masked(labels):
        raise ValueError(f"{name} must not hold masked values; fill them first.")
    try:
        array = np.asarray(labels)
    except (ValueError, OverflowError):  # ragged nested lists; whole numbers too large for the floats beside
        array = np.empty(0)
    if array.shape != (n,):
        raise ValueError(f"{name} must have one label an image, shape ({n},); got shape {array.shape}.")
    if array.dtype.kind == "V":
        raise ValueError(f"{name} must be numbers or strings; got dtype {array.dtype}.")
    return np.array(list(map(str, array))) if array.dtype == object else array


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool | np.timedelta64)


def as_float(value: Any) -> float:
    """Return one real number as a float; NaN for anything else, and for what no float can hold."""
    try:
        is_real = isinstance(value, numbers.Real) and not isinstance(value, bool | np.timedelta64)
        return float(value) if is_real else np.nan
    except OverflowError:
        return np.nan


def as_array(name: str, value: Any) -> np.ndarray:
    """Return `value` as a plain array, not of objects; nothing is copied that is one already."""
    if _is_masked(value):
        raise ValueError(f"{name} must not hold masked values; fill them first.")
    try:
        array = np.asarray(np.ma.getdata(value))
    except (ValueError, OverflowError) as error:  # ragged nested lists; whole numbers too large for floats
        raise ValueError(f"{name} must be a regular array of numbers; got {error}.") from None
    if array.dtype.hasobject or array.dtype.names:
        raise TypeError(f"{name} must be an array of numbers; got dtype {array.dtype}.")
    return array


def _is_masked(value: Any) -> bool:
    """Tell whether an element is masked, also in lists, where NumPy would make NaN of it."""
    if isinstance(value, list | tuple):
        return any(
            _is_masked(item) for item in value if item is np.ma.masked or isinstance(item, list | tuple)
        )
    return bool(np.ma.is_masked(value))


def check_path(name: str, value: Any) -> str:
    """Return a path as a string."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name} must be a string or a path object; got {value!r}.")
    path = os.fspath(value)
    try:
        can_be_named = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:  # half a character, which no file system can write
        can_be_named = False
    if not can_be_named:
        raise ValueError(f"{name} must be a path that the system can name; got {value!r}.")
    return path


def check_seed(name: str, value: Any) -> int | None:
    """Return a seed as an int from 0 to 2^32 - 1, or None."""
    if value is None or (_is_whole(value) and 0 <= int(value) < 2**32):
        return None if value is None else int(value)
    raise ValueError(f"{name} must be a whole number from 0 to 2**32 - 1, or None; got {value!r}.")


def check_non_negative(name: str, value: Any) -> float:
    """Return a finite float from 0 up."""
    if 0 <= as_float(value) < np.inf:
        return as_float(value)
    raise ValueError(f"{name} must be a finite number, 0 or more; got {value!r}.")


def check_positive(name: str, value: Any) -> float:
    """Return a finite float above 0."""
    if 0 < as_float(value) < np.inf:
        return as_float(value)
    raise ValueError(f"{name} must be a finite number above 0; got {value!r}.")


def check_choice(name: str, value: Any, choices: Any) -> str:
    """Return one of a few strings."""
    if isinstance(value, str) and value in choices:
        return value
    raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}; got {value!r}.")


def check_flag(name: str, value: Any) -> bool:
    """Return True or False."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise ValueError(f"{name} must be True or False; got {value!r}.")


def check_verbose(value: Any) -> None:
    """Raise a ValueError where Keras knows no such verbosity."""
    if not isinstance(value, str | int | np.integer) or value not in ("auto", 0, 1, 2):
        raise ValueError(f'verbose must be "auto", 0, 1 or 2; got {value!r}.')


def check_instance(name: str, value: Any, *classes: type) -> None:
    """Raise a TypeError for what is none of some classes of this package, nor of a subclass."""
    wanted = " or ".join(f"vae.{wanted.__name__}" for wanted in classes)
    if not isinstance(value, classes):
        raise TypeError(f"{name} must be a {wanted}; got {type(value).__name__}.")


def check_text(name: str, value: Any) -> str:
    """Return a string."""
    if isinstance(value, str):
        return value
    raise ValueError(f"{name} must be a string; got {value!r}.")
