"""Networks compiled for inference: what they compute, whatever the number of rows."""

import numpy as np
import pytest
from tiny import X, tiny_networks, to_numpy

from vae.training.inference import Inference


@pytest.mark.parametrize("n", [1, 5, 900, 1024, 2100])
def test_inference_of_any_number_is_what_the_network_gives(n):
    _, network = tiny_networks()
    z = np.random.default_rng(0).standard_normal((n, 2)).astype("float32")
    (images,) = Inference(network)(z)
    np.testing.assert_allclose(images, to_numpy(network(z)), atol=1e-5)


def test_inference_sees_new_weights():
    _, network = tiny_networks()
    compiled, z = Inference(network), np.ones((3, 2), "float32")
    before = compiled(z)[0]
    network.set_weights([weight + 0.1 for weight in network.get_weights()])
    assert not np.allclose(compiled(z)[0], before)


def test_uint8_is_scaled_on_the_way():
    encoder, _ = tiny_networks()
    compiled, x = Inference(encoder), np.rint(255 * X).astype(np.uint8)
    for one, other in zip(compiled(x)[:2], compiled(x / 255)[:2], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_what_comes_out_is_float32_and_may_be_written_to():
    _, network = tiny_networks()
    for n in (3, 1500):
        (images,) = Inference(network)(np.zeros((n, 2)))
        assert images.dtype == np.float32
        images[:] = 0
