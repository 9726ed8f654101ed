import numpy as np
import pytest
from tiny import X, shared_autoencoder

import vae


@pytest.fixture(scope="module")
def trained(digits):
    import keras

    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(seed=1), vae.build_decoder())
    model.compile()
    model.fit(digits.x_train, epochs=4, verbose=0)
    return model


def test_the_center_of_a_digit_is_among_its_images(trained, digits):
    z_mean, _ = trained.encode(digits.x_test)
    center = vae.class_center(trained, digits.x_test, digits.y_test, 0)
    assert center.shape == (1, 2)
    own = z_mean[digits.y_test == 0]
    np.testing.assert_allclose(center, np.median(own, axis=0, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("path", ["line", "sphere"])
def test_the_way_begins_and_ends_at_the_two_images(path, trained, digits):
    a, b = digits.x_test[:2]
    images = vae.interpolate(trained, a, b, n=7, path=path)
    assert images.shape == (7, 784)
    ends = trained.decode(trained.encode(digits.x_test[:2])[0])
    np.testing.assert_allclose(images[[0, -1]], ends, atol=1e-5)
    np.testing.assert_array_equal(images, vae.interpolate(trained, a[np.newaxis], b, n=7, path=path))


def test_on_the_sphere_lengths_change_evenly(monkeypatch, trained, digits):
    places = np.array([[0.0, 3.0], [2.0, 0.0]])
    ends = iter(places)
    seen = []
    monkeypatch.setattr(trained, "encode", lambda x: (next(ends)[np.newaxis], None))
    monkeypatch.setattr(trained, "decode", lambda z: seen.append(z))
    vae.interpolate(trained, digits.x_test[0], digits.x_test[1], n=5, path="sphere")
    np.testing.assert_allclose(np.linalg.norm(seen[0], axis=1), [3, 2.75, 2.5, 2.25, 2])
    np.testing.assert_allclose(np.degrees(np.arctan2(*seen[0].T[::-1])), [90, 67.5, 45, 22.5, 0], atol=1e-9)


@pytest.mark.parametrize("ends", [[[1.0, 1.0], [-2.0, -2.0]], [[0.0, 0.0], [1.0, 0.0]]])
def test_where_the_sphere_has_no_one_way_it_says_so(ends, monkeypatch, trained, digits):
    given = iter(np.array(ends))
    monkeypatch.setattr(trained, "encode", lambda x: (next(given)[np.newaxis], None))
    with pytest.raises(ValueError, match="start and end must not lie"):
        vae.interpolate(trained, digits.x_test[0], digits.x_test[1], path="sphere")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, d: vae.class_center(m, d.x_test, d.y_test, 11), "label must be one of"),
        (lambda m, d: vae.class_center(m, d.x_test, d.y_test[:3], 1), "labels must have one"),
        (lambda m, d: vae.interpolate(m, d.x_test[0], d.x_test[1], n=1), "n must be 2 or more"),
        (lambda m, d: vae.interpolate(m, d.x_test[0], d.x_test[1], path="arc"), "path must be 'line' or"),
        (lambda m, d: vae.interpolate(m, d.x_test[:2], d.x_test[1]), "start must be one image"),
    ],
)
def test_what_makes_no_sense_is_refused(call, message, trained, digits):
    with pytest.raises(ValueError, match=message):
        call(trained, digits)


def test_an_autoencoder_is_refused():
    with pytest.raises(TypeError, match=r"model must be a vae\.VAE; got Autoencoder"):
        vae.class_center(shared_autoencoder(), X, np.zeros(16), 0)
    with pytest.raises(TypeError, match=r"model must be a vae\.VAE; got Autoencoder"):
        vae.interpolate(shared_autoencoder(), X[0], X[1])
