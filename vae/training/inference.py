"""A network compiled to compute any number of images or points, in large batches."""

import numpy as np

from vae._keras import keras
from vae.backends import backend
from vae.data import to_float32

INFERENCE_BATCH = 1024


class Inference:
    """A compiled network.

    A plain object, so that Keras, which saves and counts every model that it finds in an attribute,
    does not save and count the network twice.

    Args:
        network: A built `keras.Model`.
    """

    def __init__(self, network: keras.Model) -> None:
        self.network = network
        self._compute = backend.compile_network(network)

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Return the network's outputs for all rows of its inputs, as float32 arrays.

        Rows are uint8, which is divided by 255, or floats.
        """
        starts = range(0, len(inputs[0]), INFERENCE_BATCH)
        batches = ([to_float32(x[start : start + INFERENCE_BATCH]) for x in inputs] for start in starts)
        outputs = [
            [_as_float32(output)[: len(batch[0])] for output in keras.tree.flatten(self._compute(*batch))]
            for batch in batches
        ]
        return [
            np.concatenate(parts) if len(parts) > 1 else np.require(parts[0], requirements="W")
            for parts in zip(*outputs, strict=True)
        ]


def _as_float32(tensor: object) -> np.ndarray:
    # A mixed-precision model computes in 16 bits; what leaves it is float32 all the same.
    return np.asarray(keras.ops.convert_to_numpy(tensor)).astype(np.float32, copy=False)
