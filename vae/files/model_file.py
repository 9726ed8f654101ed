"""What a model file must be before Keras may see it.

A file may come from anywhere, so it is read once, checked to the last byte and written anew: Keras gets
an archive of exactly what was looked at. First the archive, then the weights, then the configuration,
and last the networks, built without a single number to see how many they would ask for.
"""

import contextlib
import io
import json
import math
import os
import random
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from vae._keras import keras

_MEMBERS = {"metadata.json": 2**16, "config.json": 2**21, "model.weights.h5": 2**29}  # bytes, unpacked
_MAX_BYTES = sum(_MEMBERS.values())
_MAX_RATIO = 100  # of unpacked to packed; weights hardly shrink at all
_MAX_OBJECTS = 20_000  # groups and datasets
_MAX_CALLS = 1_000  # of layers, when the networks are built
_MAX_DEPTH = 60  # of the configuration; every network inside another adds six
_MAX_OUTPUT = 2**26  # numbers an image, in any tensor of the networks
_SPARE = 2**16  # numbers that layers may hold and not save, such as the states of seeds
_MAX_PASSES = 100  # of Keras over the layers of a network, until all are connected


class ModelFileError(ValueError):
    """A model file is damaged, asks for something dangerous, or holds no `vae.VAE`.

    Example:
        >>> import tempfile, vae
        >>> with tempfile.NamedTemporaryFile(suffix=".keras") as file:
        ...     try:
        ...         vae.load_model(file.name)
        ...     except vae.ModelFileError as error:
        ...         print(str(error).rpartition(": ")[2])
        not a .keras archive
    """


def refusal(path: str | os.PathLike[str], error: Exception) -> ModelFileError:
    """Return the error to raise: the file and the reason, in one short line whatever the file holds."""
    name = repr(os.fspath(path))
    name = name if len(name) <= 150 else f"{name[:20]}...{name[-120:]}"
    line = (str(error).strip().rpartition("\n")[2] or type(error).__name__)[:120]
    reason = "".join(character if character.isprintable() else "?" for character in line)
    return ModelFileError(f"path must hold a vae.VAE; {name} cannot be used: {reason}")


def checked_archive(path: str | os.PathLike[str]) -> bytes:
    """Return a sound archive of what a model file holds, or raise `ValueError` (or nearly anything)."""
    members = _unpack(_read(path))
    numbers = _check_weights(members["model.weights.h5"])
    hooks: dict[str, Any] = {"parse_constant": _refuse_constant, "parse_float": _finite}
    config = json.loads(members["config.json"], object_pairs_hook=_unique, **hooks)
    _check_root(config)
    _check_networks(config["config"], numbers)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        for name in _MEMBERS:
            zipped.writestr(name, members.pop(name))
    return archive.getvalue()


# The archive


def _read(path: str | os.PathLike[str]) -> bytes:
    # Opened first and asked then, so that nothing can be put in its place; a pipe must not be waited for.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        if status.st_size > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES:,} bytes")
        return file.read(status.st_size)


def _unpack(content: bytes) -> dict[str, bytes]:
    """Return the members, each of them known, whole and as its checksum says."""
    # The directory's size is read by hand, as `zipfile` reads a directory of any size. With no comment and
    # no 64-bit record, both read the same one.
    if len(content) < 42 or content[-22:-18] != b"PK\5\6" or content[-2:] != b"\0\0":
        raise ValueError("not a .keras archive")
    entries, size, start = struct.unpack("<HII", content[-12:-2])
    if entries != len(_MEMBERS) or size > 2**12 or start + size + 22 != len(content):
        raise ValueError("its archive is damaged, or has other members than a model's")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
        if sorted(info.filename for info in infos) != sorted(_MEMBERS):
            raise ValueError("its archive has other members than a model's")
        end = 0
        for info in infos:
            if info.header_offset != end:
                raise ValueError("its members overlap, or there is something between them")
            # Of the local header only the lengths matter here; `zipfile` compares the names.
            lengths = struct.unpack("<HH", content[end + 26 : end + 30])
            end += 30 + sum(lengths) + info.compress_size
        if end != start:
            raise ValueError("its members overlap, or there is something behind them")
        return {info.filename: _member(archive, info) for info in infos}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} is encrypted, or packed as Keras never does")
    if kind not in (0, stat.S_IFREG):
        raise ValueError(f"{info.filename} is a link or no file")
    if info.file_size > min(_MEMBERS[info.filename], _MAX_RATIO * info.compress_size + 2**20):
        raise ValueError(f"{info.filename} is too large: {info.file_size:,} bytes")
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)
    stored = info.compress_type == zipfile.ZIP_STORED
    sizes = {len(data), info.file_size, info.compress_size if stored else len(data)}
    if len(sizes) > 1 or zlib.crc32(data) != info.CRC:
        raise ValueError(f"{info.filename} is damaged")
    return data


# The weights


def _check_weights(content: bytes) -> int:
    """Return how many numbers an HDF5 file holds; all must lie in it, as they are, and be finite."""
    bytes_, numbers, objects = 0, 0, 0
    with h5py.File(io.BytesIO(content), "r") as file:
        groups = [file]
        while groups:
            group = groups.pop()
            objects += len(group)
            if objects > _MAX_OBJECTS:  # or a ring of groups
                raise ValueError("its weights are in too many pieces")
            for name in group:
                if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
                    raise ValueError("its weights have links, perhaps to other files")
                item = group[name]
                if isinstance(item, h5py.Group):
                    groups.append(item)
                    continue
                bytes_ += _check_storage(item)
                numbers += item.size
                if bytes_ > len(content):  # several that share their bytes
                    raise ValueError("its weights claim more bytes than there are")
                if not _is_finite(item):
                    raise ValueError("its weights hold NaN or infinity")
    return numbers


def _check_storage(item: Any) -> int:
    """Return the bytes of a dataset, which must all be in the file, and as they are."""
    if not isinstance(item, h5py.Dataset):
        raise ValueError("its weights hold something that is no array")
    plist = item.id.get_create_plist()
    whole = plist.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
    if not whole or plist.get_external_count() or plist.get_nfilters():
        raise ValueError("its weights are packed, in pieces or in other files")
    if item.dtype.kind not in "fiub" and item.dtype != np.dtype("V2"):
        raise ValueError("its weights are no numbers")
    if item.id.get_storage_size() != item.size * item.dtype.itemsize:
        raise ValueError("its weights are not all there")
    return item.size * item.dtype.itemsize


def _is_finite(item: Any) -> bool:
    if item.dtype.kind == "V":  # bfloat16, whose eight bits of exponent are those of float32
        return not ((np.asarray(item[()]).view(np.uint16) & 0x7F80) == 0x7F80).any()
    return item.dtype.kind != "f" or bool(np.isfinite(item[()]).all())


# The configuration


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("its configuration says a thing twice")
    return dict(pairs)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"its configuration holds {name}")


def _finite(text: str) -> float:
    return float(text) if math.isfinite(float(text)) else _refuse_constant("infinity")


def _check_root(config: Any) -> None:
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise ValueError("its configuration is none of a model")
    if config.get("registered_name") != "vae>VAE" or config.get("class_name") != "VAE":
        raise ValueError(f"it holds a {str(config.get('class_name'))[:60]}")
    for part in ("config", "compile_config", "build_config"):
        if _walk(config.get(part)) > _MAX_CALLS:
            raise ValueError("its networks have too many layers")


def _walk(value: Any, key: str = "", depth: int = 0) -> int:
    """Refuse what is in no list of known things, at any place of the configuration.

    Returns how often layers are called: a network that is called twice calls each of its own twice, and
    so on inwards, which a short file can drive beyond all bounds.
    """
    if depth > _MAX_DEPTH:
        raise ValueError("its configuration is nested too deeply")
    if isinstance(value, list):
        if "shape" in key:
            _check_shape(value)
        return sum(_walk(item, key, depth + 1) for item in value)
    if isinstance(value, int) and abs(value) >= 2 ** (64 if key == "shared_object_id" else 32):
        raise ValueError(f"its configuration holds {key[:40]} = {str(value)[:20]}...")
    if not isinstance(value, dict):
        return 0
    if "class_name" in value and not _is_known(value):
        where = f"{value.get('module')!s:.40}.{value['class_name']!s:.40}"
        raise ValueError(f"{where} is not allowed in a model file")
    nodes = value.get("inbound_nodes") or []
    _check_nodes(nodes)
    calls = int("inbound_nodes" in value or value.get("module") == "keras.layers")
    for name, item in value.items():
        # What stands below "shape", at whatever depth, is one.
        calls += _walk(item, key if "shape" in key and "class_name" not in value else name, depth + 1)
    return calls * max(1, len(nodes))


def _check_shape(shape: list[Any]) -> None:
    sizes = [size for size in shape if size is not None and not isinstance(size, list | dict)]
    if not all(type(size) is int and (size > 0 or size == -1) for size in sizes):
        raise ValueError("its configuration holds an impossible shape")
    if len(sizes) > 16 or math.prod(sizes) > _MAX_OUTPUT:
        raise ValueError("its configuration holds an absurd shape")


def _check_nodes(nodes: Any) -> None:
    # A layer called on plain numbers would compute, now and for real, on arrays of any size.
    for node in nodes if isinstance(nodes, list) else [None]:
        if not isinstance(node, dict) or "__keras_tensor__" not in json.dumps(node):
            raise ValueError("a layer of its networks is called on no tensor")


# Where Keras keeps its own classes: the module that a file names, and what a class there must be.
_KINDS = {
    "keras.initializers": keras.initializers.Initializer,
    "keras.regularizers": keras.regularizers.Regularizer,
    "keras.constraints": keras.constraints.Constraint,
    "keras.optimizers": keras.optimizers.Optimizer,
    "keras.optimizers.schedules": keras.optimizers.schedules.LearningRateSchedule,
    "keras.losses": keras.losses.Loss,
}
_LAYERS = {  # by folder of Keras, and those of its folder of preprocessing
    *("activations", "attention", "convolutional", "core", "merging", "normalization", "pooling"),
    *("regularization", "reshaping", "rnn"),
}
_PREPROCESSING = {"Normalization", "Rescaling", "Resizing"}
_MODELS = {  # by module
    "keras.src.models.functional": ("Functional",),
    "keras.models": ("Functional", "Model", "Sequential"),
    "keras": ("Functional", "Model", "Sequential", "DTypePolicy"),
    "keras.dtype_policies": ("DTypePolicy",),
    "keras.random": ("SeedGenerator",),
}
_PLAIN = {"__keras_tensor__", "__slice__", "__ellipsis__"}
_NUMPY = ("bool", "int32", "int64", "float16", "float32", "float64")
_OURS = {"vae>Sampling"}
_OUR_FUNCTIONS = {"vae>clip_log_sigma", "vae>sample_z"}


def _is_known(value: dict[str, Any]) -> bool:
    """Tell whether Keras can find only something harmless by this name."""
    module, name, inner = value.get("module"), value["class_name"], value.get("config")
    registered = value.get("registered_name")
    if name in ("__numpy__", "__tensor__"):
        return isinstance(inner, dict) and inner.get("dtype") in _NUMPY
    if isinstance(name, str) and name in _PLAIN:
        return True
    if not isinstance(module, str) or not isinstance(name, str) or "config" not in value:
        return False
    if name == "function":
        return _is_known_function(module, inner, registered)
    if not isinstance(inner, dict | None):
        return False
    if isinstance(registered, str) and ">" in registered:
        return registered in _OURS and registered == f"vae>{name}"
    if registered not in (None, name):
        return False
    if name in _MODELS.get(module, ()):
        return True
    return _is_known_class(module, name, inner or {})


def _is_known_function(module: str, name: Any, registered: Any) -> bool:
    if registered not in (None, "function", name) or not isinstance(name, str):
        return False
    if name in _OUR_FUNCTIONS:
        return True
    known = name.isidentifier() and name not in ("get", "serialize", "deserialize")
    return known and module in ("builtins", "keras.activations") and hasattr(keras.activations, name)


def _is_known_class(module: str, name: str, config: dict[str, Any]) -> bool:
    if module.startswith("keras.src.backend.torch.optimizers.torch_"):  # PyTorch's have no public module
        module = "keras.optimizers"
    if module in _KINDS:
        cls = getattr(keras, module.removeprefix("keras."), None) if module.count(".") == 1 else None
        cls = getattr(cls or keras.optimizers.schedules, name, None)
        # An array as a constant would be spread against the shape of the weights, at once.
        plain = name != "Constant" or isinstance(config.get("value"), int | float)
        return plain and isinstance(cls, type) and issubclass(cls, _KINDS[module])
    if module == "keras.layers":
        cls = getattr(keras.layers, name, None)
        if not isinstance(cls, type) or not issubclass(cls, keras.layers.Layer):
            return False
        family = cls.__module__.removeprefix("keras.src.layers.").partition(".")[0]
        if name in _PREPROCESSING:
            # Normalization spreads a mean from its configuration over its whole input, at once.
            return config.get("mean") is None and config.get("variance") is None
        return family in _LAYERS and name != "Lambda"
    return module in ("keras.src.ops.numpy", "keras.src.ops.nn") and name.isidentifier()


# The networks


def _check_networks(config: dict[str, Any], numbers: int) -> None:
    """Build encoder and decoder without weights; refuse what would take more memory than the file."""
    with _no_weights(numbers + _SPARE):
        for name in ("encoder", "decoder"):
            network = keras.saving.deserialize_keras_object(_counting(config[name]), safe_mode=True)
            if not isinstance(network, keras.Model):
                raise ValueError(f"its {name} is no network")
            for operation in (*network._flatten_layers(), *getattr(network, "operations", ())):
                for node in operation._inbound_nodes:
                    if any(math.prod(filter(None, tensor.shape)) > _MAX_OUTPUT for tensor in node.outputs):
                        raise ValueError(f"its {name} makes absurdly large arrays")


class _Budget(list):
    """In place of Keras's list of variables that wait for their values; more than `left` are refused."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def append(self, variable: Any) -> None:
        self.left -= math.prod(variable.shape)
        if self.left < 0:
            raise ValueError("its networks ask for more numbers than the file holds")
        super().append(variable)


class _Passes(list):
    """The layers of a network. Keras goes over them until all are connected, be it for ever."""

    passes = 0

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        if self.passes > _MAX_PASSES:
            raise ValueError("its layers cannot be connected")
        return super().__iter__()


def _counting(value: Any) -> Any:
    """Copy a configuration, with lists of layers that count."""
    if isinstance(value, dict):
        copied = {name: _counting(item) for name, item in value.items()}
        if isinstance(copied.get("layers"), list):
            copied["layers"] = _Passes(copied["layers"])
        return copied
    return [_counting(item) for item in value] if isinstance(value, list) else value


@contextlib.contextmanager
def _no_weights(limit: int) -> Iterator[None]:
    """Within it, Keras's variables have shapes and no values; `limit` is how many numbers they may have."""
    from keras.src.backend.common import global_state  # no public name leads to these two
    from keras.src.saving.serialization_lib import ObjectSharingScope

    key, state = "uninitialized_variables", random.getstate()
    before = global_state.get_global_attribute(key)
    global_state.set_global_attribute(key, _Budget(limit))
    try:
        with keras.StatelessScope(initialize_variables=False), ObjectSharingScope():
            yield
    finally:
        # Left in the list, the next scope of this kind would give them their values after all.
        global_state.set_global_attribute(key, before)
        random.setstate(state)  # unseeded layers draw their seeds from it
