"""A model's networks as the latent-space page carries them, for `networks.js` to run.

A network is a chain of layers, the trunk, and the heads that follow it: of a VAE's encoder z_mean and
z_log_sigma. The page works on flat arrays, row by row, channels last, so `Reshape` and `Flatten` change
nothing there and are left out. All weights of a network are one text: base64 of IEEE half floats, which
every browser can be told to read. Never bfloat16: with 8 bits a weight MNIST's digits come out visibly wrong.
"""

import itertools
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
_SIGMAS = 0.05  # of its own sigma, that half floats may move a z_mean
_PIXEL = 0.01  # that they may move a pixel
_AT_A_TIME = 256  # images; a convolution of all would take gigabytes

Layer = Any  # of Keras


def write_networks(
    name: str, model: Autoencoder | VAE, images: np.ndarray, points: np.ndarray
) -> dict[str, Any]:
    """Return a model's encoder and decoder for the page; half floats are tried on images and latent points.

    Raises:
        ValueError: A layer that the page cannot run; `name` is what the error calls the model.
    """
    outputs = model.encoder.outputs[:2] if isinstance(model, VAE) else model.encoder.outputs
    encoder = keras.Model(model.encoder.input, outputs)
    pixels = to_float32(model.shape_images("images", images))

    def moves_codes(exact: list[np.ndarray], half: list[np.ndarray]) -> Any:
        sigma = np.exp(exact[1]) if len(exact) > 1 else np.std(exact[0], axis=0) + 1e-7
        return np.abs(half[0] - exact[0]) / sigma / _SIGMAS

    def moves_pixels(exact: list[np.ndarray], half: list[np.ndarray]) -> Any:
        return np.abs(half[0] - exact[0]) / _PIXEL

    return {
        "encoder": _write(f"{name}'s encoder", encoder, outputs, pixels, moves_codes),
        "decoder": _write(f"{name}'s decoder", model.decoder, model.decoder.outputs, points, moves_pixels),
    }


def _write(
    name: str, network: keras.Model, outputs: list[Tensor], inputs: np.ndarray, moves: Callable[..., Any]
) -> dict[str, Any]:
    """Return a network for the page: in half floats, unless these move its outputs by 1 or more."""
    chains = [_chain(name, output) for output in outputs]
    shared = len(list(itertools.takewhile(lambda same: len(set(same)) == 1, zip(*chains, strict=False))))
    trunk, heads = (chains[0], []) if len(chains) == 1 else (chains[0][:shared], [c[shared:] for c in chains])
    weights = [_weights_of(layer) for layer in (*trunk, *itertools.chain(*heads))]
    half = _run(network, inputs, np.float16)
    bits = 16 if np.max(moves(_run(network, inputs, np.float32), half)) < 1 else 32  # NaN is not below 1
    everything = np.concatenate([np.zeros(0), *weights]).astype(f"<f{bits // 8}")
    return {
        "trunk": [_describe(layer) for layer in trunk if _computes(layer)],
        "heads": [[_describe(layer) for layer in head if _computes(layer)] for head in heads or [[]]],
        "bits": bits,
        "weights": to_base64(everything.tobytes()),
    }


def _run(network: keras.Model, inputs: np.ndarray, dtype: type) -> list[np.ndarray]:
    """Return what a network would give for inputs if its weights were of `dtype`; it stays as it is."""
    kinds = network.trainable_variables, network.non_trainable_variables
    with np.errstate(over="ignore"):  # a weight that half floats cannot hold becomes infinite, and is noticed
        rounded = [[_array(variable).astype(dtype).astype(np.float32) for variable in kind] for kind in kinds]
    parts = []
    for start in range(0, len(inputs), _AT_A_TIME):
        batch = keras.ops.convert_to_tensor(inputs[start : start + _AT_A_TIME])
        results, _ = network.stateless_call(*rounded, batch, training=False)
        parts.append([_array(result) for result in (results if isinstance(results, list) else [results])])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _array(tensor: Tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor)).astype(np.float32)


def _chain(name: str, tensor: Tensor) -> list[Layer]:
    """Return the layers that lead to a tensor, first to last."""
    layers: list[Layer] = []
    layer, _ = origin(tensor)
    while not isinstance(layer, keras.layers.InputLayer):
        if not _is_known(layer):
            raise ValueError(
                f"{name} must be of the builders' layers and activations to be explored, which the page can "
                f"run; got {getattr(layer, 'name', layer)!r}, a {type(layer).__name__}"
                f"{_activation_of(layer)}."
            )
        layers.insert(0, layer)
        layer, _ = origin(layer.input)
    return layers


def _activation_of(layer: Layer) -> str:
    activation = getattr(layer, "activation", None)
    return f" with the activation {getattr(activation, '__name__', activation)!r}" if activation else ""


def _is_known(layer: Layer) -> bool:
    """Tell whether the page can run a layer, with all of its settings."""
    if getattr(layer, "data_format", None) not in (None, "channels_last"):
        return False
    if type(layer) is keras.layers.UpSampling2D:
        return bool(layer.interpolation == "nearest")
    if type(layer) in (keras.layers.Reshape, keras.layers.Flatten, keras.layers.Cropping2D):
        return True
    if type(layer) is keras.layers.Dense and len(layer.input.shape) != 2:
        return False
    if type(layer) is keras.layers.Conv2D and (set(layer.dilation_rate) != {1} or layer.groups != 1):
        return False
    return type(layer) in (keras.layers.Dense, keras.layers.Conv2D) and (
        _ACTIVATIONS.get(getattr(layer.activation, "__name__", "")) is layer.activation
    )


def _computes(layer: Layer) -> bool:
    return not isinstance(layer, keras.layers.Reshape | keras.layers.Flatten)


def _weights_of(layer: Layer) -> np.ndarray:
    """Return kernel and bias, as one row of numbers."""
    if not isinstance(layer, keras.layers.Dense | keras.layers.Conv2D):
        return np.zeros(0)
    kernel = _array(layer.kernel)
    bias = _array(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1])
    return np.concatenate([kernel.ravel(), bias])


def _describe(layer: Layer) -> dict[str, Any]:
    """Return what the page is told of a layer."""
    kind, before, after = type(layer).__name__, list(layer.input.shape[1:]), list(layer.output.shape[1:])
    told: dict[str, Any] = {"kind": kind, "input": before, "output": after}
    if kind in ("Dense", "Conv2D"):
        told["activation"] = layer.activation.__name__
    if kind == "Conv2D":
        told |= {"size": list(layer.kernel_size), "strides": list(layer.strides)}
        # As TensorFlow pads: an odd pixel comes behind, so that with stride 2 little may come before.
        each = zip(before, after, layer.kernel_size, layer.strides, strict=False)
        needed = [(out - 1) * stride + kernel - into for into, out, kernel, stride in each]
        told["before"] = [max(n, 0) // 2 if layer.padding == "same" else 0 for n in needed]
    if kind == "UpSampling2D":
        told["size"] = list(layer.size)
    if kind == "Cropping2D":
        told["before"] = [layer.cropping[0][0], layer.cropping[1][0]]
    return told
