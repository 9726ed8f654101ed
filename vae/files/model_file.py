"""Model files that may come from anywhere: `load_model`, and the order of its checks.

A file is read once, checked to the last byte and packed anew: Keras gets an archive of exactly what was
looked at. First the archive (`archive`), then the weights (`weights`), then what the configuration says
(`configuration`) and names (`allowed`), and last the networks, built without a single number to see how many
they would ask for (`networks`).
"""

import math
import os
import tempfile
from typing import Any

import numpy as np

from vae._keras import keras
from vae.files import ModelFileError
from vae.files.archive import CONFIGURATION, WEIGHTS, pack_archive, read_archive
from vae.files.configuration import read_configuration
from vae.files.networks import check_networks
from vae.files.weights import count_numbers
from vae.model import VAE, Autoencoder


def load_model(path: str | os.PathLike[str]) -> VAE | Autoencoder:
    """Load a model that `model.save(path)` wrote, checked before anything is built from it.

    Nothing in the file is executed, whoever made it, and what it does not hold is not allocated. So a model
    with a class or a loss of your own is refused: load such a file, which you trust, with
    `keras.saving.load_model(path, custom_objects={"Name": Name})`.

    Args:
        path: A `.keras` file.

    Returns:
        The model, with weights, optimizer and compile settings.

    Raises:
        TypeError: `path` is neither a string nor a path object.
        FileNotFoundError: There is no such file.
        ModelFileError: The file is damaged, above 512 MiB, or holds some other model, weights that are not
            finite, code, or classes other than this package's and Keras's plain ones. It is a
            `ValueError`.

    Example:
        >>> import vae
        >>> model = vae.load_model("digits.keras")  # doctest: +SKIP
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a string or a path object; got {path!r}.")
    try:
        return _load(path)
    except FileNotFoundError:
        missing = f"path must be a .keras file; there is none at {os.fspath(path)!r}."
        raise FileNotFoundError(missing) from None
    except Exception as error:  # a damaged file can fail at any place in Keras, zipfile, json or h5py
        raise model_file_error(path, error) from None  # Keras's own errors may quote all of the file


def model_file_error(path: str | os.PathLike[str], error: Exception) -> ModelFileError:
    """Return the error to raise: the file and the reason, in one short line whatever the file holds."""
    name = repr(os.fspath(path))
    name = name if len(name) <= 110 else f"{name[:20]}...{name[-80:]}"
    line = (str(error).strip().rpartition("\n")[2] or type(error).__name__)[:175]
    reason = "".join(character if character.isprintable() else "?" for character in line)
    return ModelFileError(f"path must hold a vae.VAE or vae.Autoencoder; {name} cannot be used: {reason}")


def _load(path: str | os.PathLike[str]) -> VAE | Autoencoder:
    members = read_archive(path)
    numbers = count_numbers(members[WEIGHTS])
    config = read_configuration(members[CONFIGURATION])["config"]
    check_networks(config, numbers)
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "model.keras")
        with open(copy, "wb") as file:
            file.write(pack_archive(members))
        model = keras.saving.load_model(copy, safe_mode=True)
    if not isinstance(model, VAE | Autoencoder):
        raise ValueError(f"it holds a {type(model).__name__}")
    _check_beta(model, config)
    _check_finite(model)
    return model


def _check_beta(model: Any, config: dict[str, Any]) -> None:
    if not hasattr(model, "beta"):
        return
    said, weight = config.get("beta", 1.0), model.beta
    if not (math.isfinite(weight) and weight >= 0 and np.float32(weight) == np.float32(said)):
        raise ValueError(f"beta is {said:g} in its configuration and {weight:g} in its weights")


def _check_finite(model: keras.Model) -> None:
    for variable in (*model.variables, *getattr(getattr(model, "optimizer", None), "variables", ())):
        values = keras.ops.convert_to_numpy(variable.value)  # float64 in the file may be infinite here
        if values.dtype.kind not in "iub" and not np.isfinite(values.astype(np.float32)).all():
            raise ValueError(f"its weights are not finite, as {variable.dtype}")
