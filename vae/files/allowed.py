"""What a configuration may name: Keras's own plain classes, and this package's.

Keras finds a class by the name that a file gives for it. So the file chooses, and whatever is in no list here
is refused: what runs code, reads files, or computes on arrays from the file before anybody can look at it.
"""

import sys
from typing import Any

from vae._keras import FUNCTIONAL_MODULE, OPERATION_MODULES, TORCH_OPTIMIZERS, keras, layer_family

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
_NETWORKS = {"Functional", "Model", "Sequential"}
_OTHERS = {  # by module
    FUNCTIONAL_MODULE: {"Functional"},
    "keras.models": _NETWORKS,
    "keras": {*_NETWORKS, "DTypePolicy"},
    "keras.dtype_policies": {"DTypePolicy"},
    "keras.random": {"SeedGenerator"},
}
_NO_CLASSES = {"__keras_tensor__", "__slice__", "__ellipsis__"}
_ARRAYS = {"__numpy__", "__tensor__"}
_ARRAY_TYPES = {"bool", "int32", "int64", "float16", "float32", "float64"}
_OWN_LAYERS = {"vae>Sampling"}
_OWN_FUNCTIONS = {"vae>clip_log_sigma", "vae>sample_z", "vae>reconstruction_loss", "vae>bernoulli_loss"}
_MOST_PARTS = 1_000  # into which an operation may split a tensor


def check_allowed(value: dict[str, Any]) -> None:
    """Raise `ValueError` where a part of a file names anything but something known and harmless."""
    if not _is_allowed(value):
        inner = value.get("config")
        name = inner if value["class_name"] == "function" else value["class_name"]
        module = value.get("module")
        named = (
            f"{module:.36}.{name!s:.36}" if isinstance(module, str) and ">" not in str(name) else str(name)
        )
        own = not str(module).startswith("keras") or ">" in str(name)
        raise ValueError(f"{named:.74} is not allowed in a model file; {way_out(name if own else '')}")


def way_out(name: Any) -> str:
    """Return how to load a file with a class or function of one's own, that the file calls `name`."""
    plain = str(name).rpartition(">")[2]
    short = plain.isidentifier() and len(plain) < 24
    objects = f", custom_objects={{{plain!r}: {plain}}}" if short else ""
    return f"load one that you trust with keras.saving.load_model(path{objects})"


def is_network(value: dict[str, Any]) -> bool:
    """Tell whether a part of a file, which is allowed, is a network of layers."""
    return value.get("class_name") in _NETWORKS


def is_optimizer(value: dict[str, Any]) -> bool:
    """Tell whether a part of a file, which is allowed, is an optimizer or a schedule for one."""
    module = value.get("module")
    return isinstance(module, str) and module.startswith(("keras.optimizers", TORCH_OPTIMIZERS))


def _is_allowed(value: dict[str, Any]) -> bool:
    module, name, inner = value.get("module"), value["class_name"], value.get("config")
    registered = value.get("registered_name")
    if not isinstance(name, str) or "config" not in value:
        return False
    if name in _ARRAYS:
        return isinstance(inner, dict) and inner.get("dtype") in _ARRAY_TYPES
    if name in _NO_CLASSES:
        return True
    if not isinstance(module, str):
        return False
    if name == "function":
        return _is_allowed_function(module, inner, registered)
    if not isinstance(inner, dict | None):
        return False
    if isinstance(registered, str) and ">" in registered:
        return registered in _OWN_LAYERS and registered == f"vae>{name}"
    if registered not in (None, name):
        return False
    return name in _OTHERS.get(module, ()) or _is_allowed_class(module, name, inner or {})


def _is_allowed_function(module: str, name: Any, registered: Any) -> bool:
    if registered not in (None, "function", name) or not isinstance(name, str):
        return False
    if name in _OWN_FUNCTIONS:
        return True
    known = name.isidentifier() and name not in ("get", "serialize", "deserialize")
    return known and module in ("builtins", "keras.activations") and hasattr(keras.activations, name)


def _is_allowed_class(module: str, name: str, config: dict[str, Any]) -> bool:
    if module.startswith(TORCH_OPTIMIZERS):  # PyTorch's have no public module
        module = "keras.optimizers"
    if module in _KINDS:
        cls = getattr(keras, module.removeprefix("keras."), None) if module.count(".") == 1 else None
        cls = getattr(cls or keras.optimizers.schedules, name, None)
        # An array as a constant would be spread against the shape of the weights, at once.
        plain = name != "Constant" or isinstance(config.get("value"), int | float)
        return plain and isinstance(cls, type) and issubclass(cls, _KINDS[module])
    if module in OPERATION_MODULES:
        return _is_allowed_operation(getattr(sys.modules[module], name, None), config)
    cls = getattr(keras.layers, name, None)
    if module != "keras.layers" or not isinstance(cls, type) or not issubclass(cls, keras.layers.Layer):
        return False
    if name in _PREPROCESSING:
        # Normalization spreads a mean from its configuration over its whole input, at once.
        return config.get("mean") is None and config.get("variance") is None
    return layer_family(cls) in _LAYERS and name != "Lambda"


def _is_allowed_operation(cls: Any, config: dict[str, Any]) -> bool:
    # An operation that splits makes an object for each part, without any array being large.
    parts = config.get("indices_or_sections")
    few = not isinstance(parts, int) or abs(parts) <= _MOST_PARTS
    return few and isinstance(cls, type) and issubclass(cls, keras.Operation)
