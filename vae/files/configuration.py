"""The configuration of a model file: JSON that describes two networks, before anything is made of it."""

import json
import math
from collections.abc import Iterator
from typing import Any

from vae.files.allowed import check_allowed, is_network, is_optimizer, way_out

MOST_NUMBERS_OF_AN_IMAGE = 2**26  # in any tensor of the networks
MOST_CALLS = 1_000  # of layers, when the networks are built

_OWN_MODELS = {"vae>VAE": "VAE", "vae>Autoencoder": "Autoencoder"}
_KEYS = {"name", "trainable", "dtype", "encoder", "decoder", "reconstruction", "beta"}
_MADE_OF_SIX = {"MultiHeadAttention", "GroupQueryAttention"}  # layers inside one
_MOST_DEPTH = 60  # every network inside another adds three


def read_configuration(content: bytes) -> dict[str, Any]:
    """Return the configuration of one of this package's models; raise `ValueError` where it is hostile."""
    hooks: dict[str, Any] = {"parse_constant": _refuse_constant, "parse_float": _finite}
    root = json.loads(content, object_pairs_hook=_unique, **hooks)
    if not isinstance(root, dict) or not isinstance(root.get("config"), dict):
        raise ValueError("its configuration is none of a model")
    if _OWN_MODELS.get(str(root.get("registered_name"))) != root.get("class_name"):
        name = str(root.get("class_name"))[:60]
        own = not str(root.get("module")).startswith("keras")
        raise ValueError(f"it holds a {name}; {way_out(name if own else '')}")
    for part in ("config", "compile_config", "build_config"):
        if _count_calls(root.get(part)) > MOST_CALLS:
            raise ValueError("its networks have too many layers")
    _check_model(root)
    return root


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every dictionary of a configuration, what is inside another first."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from parts(item)
    if isinstance(value, dict):
        yield value


# JSON


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("its configuration says a thing twice")
    return dict(pairs)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"its configuration holds {name}")


def _finite(text: str) -> float:
    return float(text) if math.isfinite(float(text)) else _refuse_constant("infinity")


# What it says


def _check_model(root: dict[str, Any]) -> None:
    # Keras makes whatever a file names, wherever it stands. Layers are tried out before, without values, in
    # the encoder and the decoder alone; so there must be none elsewhere.
    config = root["config"]
    unknown = sorted(set(config) - _KEYS)
    if unknown:
        raise ValueError(f"its configuration holds {unknown[0]!r:.60}")
    for key in _KEYS - {"encoder", "decoder"}:
        value = config.get(key)
        if isinstance(value, dict) and key == "reconstruction" and value.get("class_name") == "function":
            continue
        if isinstance(value, dict | list):
            raise ValueError(f"its {key} is none")
    named = [part for part in parts(root.get("compile_config")) if "class_name" in part]
    if not all(is_optimizer(part) for part in named):
        raise ValueError("it is compiled with more than an optimizer")


def _count_calls(value: Any, key: str = "", depth: int = 0) -> int:
    """Refuse what is not allowed, at any place of a configuration, and return how often layers are called.

    A network that is called twice calls each of its own twice, and so on inwards, which a short file can
    drive beyond all bounds.
    """
    if depth > _MOST_DEPTH:
        raise ValueError("its configuration is nested too deeply")
    if isinstance(value, list):
        if "shape" in key:
            _check_shape(value)
        return sum(_count_calls(item, key, depth + 1) for item in value)
    if isinstance(value, int) and abs(value) >= 2 ** (64 if key == "shared_object_id" else 32):
        raise ValueError(f"its configuration holds {key[:40]} = {str(value)[:20]}...")
    if not isinstance(value, dict):
        return 0
    if "class_name" in value:
        check_allowed(value)
    is_layer = "inbound_nodes" in value or value.get("module") == "keras.layers"
    if "shared_object_id" in value and (is_layer or is_network(value)):
        # Each network is tried out for itself: there, what another has called before would be a new layer.
        raise ValueError("two layers of its networks are one")
    calls = 1 + depth // 8 if is_layer else 0  # each network around a layer is tried out for itself
    calls *= 6 if value.get("class_name") in _MADE_OF_SIX else 1
    for name, item in value.items():
        # What stands below "shape", at whatever depth, is one.
        calls += _count_calls(item, key if "shape" in key and "class_name" not in value else name, depth + 1)
    return calls * _times_called(value)


def _times_called(value: dict[str, Any]) -> int:
    nodes = value.get("inbound_nodes") or []
    if not isinstance(nodes, list):
        raise ValueError("its layers are connected as Keras never does")
    times = max(1, len(nodes))
    if is_network(value) and value["class_name"] == "Sequential":
        # With each layer that is added, it calls all others again. (A call costs a fifth of a layer.)
        times *= 1 + len((value["config"] or {}).get("layers") or []) // 10
    return times


def _check_shape(shape: list[Any]) -> None:
    sizes = [size for size in shape if size is not None and not isinstance(size, list | dict)]
    if not all(type(size) is int and (size > 0 or size == -1) for size in sizes):
        raise ValueError("its configuration holds an impossible shape")
    if len(sizes) > 16 or math.prod(sizes) > MOST_NUMBERS_OF_AN_IMAGE:
        raise ValueError("its configuration holds an absurd shape")
