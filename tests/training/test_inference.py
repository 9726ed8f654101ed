"""Networks compiled for inference: what they compute, whatever the number of rows."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny import X, fit, tiny_autoencoder, tiny_networks, tiny_vae, to_numpy

import vae
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


CALLS = {
    "encode": lambda model: model.encode(X)[0],
    "decode": lambda model: model.decode(np.ones((3, 2))),
    "reconstruct": lambda model: model.reconstruct(X),
    "predict": lambda model: model.predict(X, verbose=0),
    "call": lambda model: to_numpy(model(X)),
    "generate": lambda model: model.generate(3, seed=0),
    "elbo": lambda model: vae.elbo(model, X, seed=0),
    "anomaly_score": lambda model: vae.anomaly_score(model, X, seed=0),
    "losses_per_image": lambda model: model.losses_per_image(X, np.zeros((16, 2)))[0],
    "plot_digit_grid": lambda model: len(vae.plot_digit_grid(model, n=2).axes),
}


@pytest.mark.parametrize("name", CALLS)
def test_eight_threads_compute_what_one_does(name):
    model, call = tiny_vae(), CALLS[name]
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: call(model), range(40)))
    for result in results:
        np.testing.assert_allclose(result, call(model), atol=1e-5)
    assert np.isfinite(fit(model)["loss"]).all()


def test_threads_may_share_an_autoencoder_and_evaluate_too():
    model = tiny_autoencoder()
    with ThreadPoolExecutor(8) as threads:
        images = list(threads.map(lambda _: model.reconstruct(X), range(16)))
        losses = list(threads.map(lambda _: model.evaluate(X, verbose=0), range(16)))
    np.testing.assert_allclose(images[-1], model.reconstruct(X), atol=1e-6)
    assert np.isfinite(losses).all()
