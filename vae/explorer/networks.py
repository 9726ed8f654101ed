"""A model's networks as the latent-space page carries them, for `networks.js` to run.

A network is a list of layers; each says which result it takes: 0 is the network's input, 1 the first layer's
output. The page works on flat arrays, row by row, channels last, so `Reshape` and `Flatten` change nothing
there and are left out, as are layers that act in training alone. All weights of a network are one text:
base64 of IEEE half floats where these do, which every browser can be told to read. Never bfloat16: with 8
bits a weight MNIST's digits come out visibly wrong.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from vae._keras import Tensor, keras, origin
from vae.data import to_float32
from vae.figures.shared import to_base64
from vae.layers import clip_log_sigma
from vae.model import VAE, Autoencoder

_NAMES = ["linear", "relu", "leaky_relu", "elu", "selu", "silu", "gelu", "tanh", "sigmoid", "softplus"]
_ACTIVATIONS = {name: getattr(keras.activations, name) for name in _NAMES} | {
    "clip_log_sigma": clip_log_sigma
}
_LEFT_OUT = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.Dropout, keras.layers.GaussianNoise)
_RUN = (keras.layers.Dense, keras.layers.Conv2D, keras.layers.UpSampling2D, keras.layers.Cropping2D)
_SIGMAS = 0.05  # of its own sigma, that half floats may move a z_mean
_PIXEL = 0.01  # that they may move a pixel

Layer = Any  # of Keras


def write_networks(
    name: str, model: Autoencoder | VAE, images: np.ndarray, points: np.ndarray
) -> dict[str, Any]:
    """Return a model's encoder and decoder for the page; half floats are tried on images and latent points.

    Raises:
        ValueError: A layer that the page cannot run, or a network that gives NaN; `name` is what the error
            calls the model.
    """
    encoder = keras.Model(model.encoder.input, model.encoder.outputs[:2])
    pixels = to_float32(model.shape_images("images", images))

    def allowed_of_codes(z_mean: np.ndarray, z_log_sigma: np.ndarray | None = None) -> np.ndarray:
        return _SIGMAS * (np.std(z_mean, axis=0) + 1e-7 if z_log_sigma is None else np.exp(z_log_sigma))

    return {
        "encoder": _write(f"{name}'s encoder", encoder, pixels, allowed_of_codes),
        "decoder": _write(f"{name}'s decoder", model.decoder, points, lambda pixels: _PIXEL),
    }


def _write(
    name: str, network: keras.Model, inputs: np.ndarray, allowed: Callable[..., Any]
) -> dict[str, Any]:
    """Return a network for the page: in half floats, unless these move its first output more than allowed."""
    layers: dict[int, dict[str, Any]] = {}
    results = [_collect(name, output, layers) for output in network.outputs]
    exact, half = (_run(network, inputs, dtype) for dtype in (np.float32, np.float16))
    if not all(np.isfinite(result).all() for result in exact):
        raise ValueError(f"{name} must give finite values; got NaN or infinity.")
    bits = 16 if np.all(np.abs(half[0] - exact[0]) < allowed(*exact)) else 32  # NaN is not below
    weights = np.concatenate([np.zeros(0), *(layer.pop("weights") for layer in layers.values())])
    return {
        "layers": list(layers.values()),
        "results": results,
        "bits": bits,
        "weights": to_base64(weights.astype(f"<f{bits // 8}").tobytes()),
    }


def _run(network: keras.Model, inputs: np.ndarray, dtype: type) -> list[np.ndarray]:
    """Return what a network would give for inputs if its weights were of `dtype`; it stays as it is."""
    kinds = network.trainable_variables, network.non_trainable_variables
    with np.errstate(over="ignore"):  # a weight that half floats cannot hold becomes infinite, and is noticed
        rounded = [[_array(variable).astype(dtype).astype(np.float32) for variable in kind] for kind in kinds]
    results, _ = network.stateless_call(*rounded, keras.ops.convert_to_tensor(inputs), training=False)
    return [_array(result) for result in (results if isinstance(results, list) else [results])]


def _array(tensor: Tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor)).astype(np.float32)


def _collect(name: str, tensor: Tensor, layers: dict[int, dict[str, Any]]) -> int:
    """Add to layers, by their outputs, those that lead to a tensor; return which result it is."""
    layer, _, inputs = origin(tensor)
    if isinstance(layer, keras.layers.InputLayer):
        return 0
    if not _is_known(layer, inputs):
        activation = getattr(getattr(layer, "activation", None), "__name__", None)
        raise ValueError(
            f"{name} must be of the builders' layers and activations to be explored, which the page can "
            f"run; got {getattr(layer, 'name', layer)!r}, a {type(layer).__name__}"
            f"{f' with the activation {activation!r}' if activation else ''}."
        )
    takes = _collect(name, inputs[0], layers)
    if isinstance(layer, _LEFT_OUT):
        return takes
    layers.setdefault(id(tensor), {"takes": takes} | _describe(layer, inputs[0], tensor))
    return list(layers).index(id(tensor)) + 1


def _is_known(layer: Layer, inputs: list[Tensor]) -> bool:
    """Tell whether the page can run a layer, with all of its settings."""
    activation = getattr(layer, "activation", keras.activations.linear)
    return (
        type(layer) in (*_RUN, *_LEFT_OUT)
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and getattr(layer, "interpolation", "nearest") == "nearest"
        and set(getattr(layer, "dilation_rate", [1])) == {1}
        and getattr(layer, "groups", 1) == 1
        and not (type(layer) is keras.layers.Dense and len(inputs[0].shape) != 2)
        and _ACTIVATIONS.get(getattr(activation, "__name__", "")) is activation
    )


def _describe(layer: Layer, before: Tensor, after: Tensor) -> dict[str, Any]:
    """Return what the page is told of a layer between two tensors; its weights as one row of numbers."""
    kind, into, out = type(layer).__name__, list(before.shape[1:]), list(after.shape[1:])
    told: dict[str, Any] = {"kind": kind, "input": into, "output": out, "weights": np.zeros(0)}
    if kind in ("Dense", "Conv2D"):
        kernel = _array(layer.kernel)
        bias = _array(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1])
        told |= {"activation": layer.activation.__name__, "weights": np.concatenate([kernel.ravel(), bias])}
    if kind == "Conv2D":
        told |= {"size": list(layer.kernel_size), "strides": list(layer.strides)}
        # As TensorFlow pads: an odd pixel comes behind, so that with stride 2 little may come before.
        each = zip(into, out, layer.kernel_size, layer.strides, strict=False)
        needed = [(rows - 1) * stride + size - given for given, rows, size, stride in each]
        told["before"] = [max(n, 0) // 2 if layer.padding == "same" else 0 for n in needed]
    if kind == "UpSampling2D":
        told["size"] = list(layer.size)
    if kind == "Cropping2D":
        told["before"] = [layer.cropping[0][0], layer.cropping[1][0]]
    return told
