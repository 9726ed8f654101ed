import math

import keras
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from sklearn.metrics import roc_auc_score
from tiny import PIXELS, X, shared_autoencoder, shared_vae, tiny_vae

import vae


@pytest.fixture(scope="module")
def linear():
    """A linear-Gaussian model with a posterior that is known, an encoder that is off, and its images.

    x = W z + b + noise of variance 1/2, with columns of W that are not orthogonal. q(z|x) is diagonal,
    shifted by one posterior standard deviation and too narrow.
    """
    rng = np.random.default_rng(0)
    pixels, weights = 12, rng.normal(0, 1, (12, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]])
    bias = np.full(pixels, 0.5)
    posterior = np.linalg.inv(np.eye(2) + 2 * weights.T @ weights)
    sigma = np.sqrt(np.diag(posterior))

    inputs = keras.Input((pixels,))
    z_mean, z_log_sigma = keras.layers.Dense(2, name="mean")(inputs), keras.layers.Dense(2, name="s")(inputs)
    z = vae.Sampling(seed=0)([z_mean, z_log_sigma])
    encoder = keras.Model(inputs, [z_mean, z_log_sigma, z])
    decoder = vae.build_decoder(2, (), pixels, output_activation="linear")
    model = vae.VAE(encoder, decoder)
    model.decoder.layers[-1].set_weights([weights.T, bias])
    to_mean = 2 * weights @ posterior
    model.encoder.get_layer("mean").set_weights([to_mean, sigma - bias @ to_mean])
    model.encoder.get_layer("s").set_weights([np.zeros((pixels, 2)), np.log(0.7 * sigma)])

    x = rng.uniform(0, 1, (200, pixels)).astype("float32")
    covariance = weights @ weights.T + 0.5 * np.eye(pixels)
    away = x - bias
    exact = -0.5 * (
        np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away)
        + np.linalg.slogdet(2 * math.pi * covariance)[1]
    )
    return model, x, exact


def test_many_draws_reach_the_exact_likelihood_and_one_does_not(linear):
    model, x, exact = linear
    assert abs(np.mean(vae.log_likelihood(model, x, 5000, seed=0) - exact)) < 0.05
    assert np.mean(exact - vae.log_likelihood(model, x, 1, seed=0)) > 0.5


def test_the_bound_rises_with_the_draws(linear):
    model, x, exact = linear
    means = [
        np.mean([vae.log_likelihood(model, x[:20], n, seed=seed).mean() for seed in range(30)])
        for n in (1, 10, 100)
    ]
    assert means[0] < means[1] < means[2] < exact[:20].mean() + 0.05


def test_the_elbo_is_the_bound_of_one_draw_on_average(linear):
    model, x, exact = linear
    elbo = vae.elbo(model, x, n_samples=2000, seed=0)
    single = np.mean([vae.log_likelihood(model, x, 1, seed=seed).mean() for seed in range(40)])
    assert elbo.mean() == pytest.approx(single, abs=0.1)
    assert np.all(elbo < exact + 0.05)


@pytest.mark.parametrize("reconstruction", ["mse", "bernoulli", "gaussian"])
def test_the_elbo_is_the_loss_of_the_model(reconstruction):
    model = tiny_vae(reconstruction=reconstruction)
    model.encoder.get_layer("Z-Log-Sigma").set_weights([np.zeros((8, 2)), np.full(2, -15.0)])
    terms = model.losses_per_image(X, np.zeros((16, 2)))
    constant = PIXELS / 2 * math.log(math.pi) if reconstruction == "mse" else 0
    np.testing.assert_allclose(vae.elbo(model, X), -terms[0] - terms[1] - constant, rtol=1e-5)


def test_the_elbo_takes_a_function_of_ones_own_for_a_negative_log_likelihood():
    model, twin = tiny_vae(reconstruction=vae.bernoulli_loss), tiny_vae(reconstruction="bernoulli")
    np.testing.assert_array_equal(vae.elbo(model, X, seed=0), vae.elbo(twin, X, seed=0))


def test_the_learned_gaussian_has_the_likelihood_of_the_fixed_one_where_it_starts(linear):
    model, x, _ = linear
    twin = vae.VAE(model.encoder, model.decoder, reconstruction="gaussian")
    for bound in (vae.elbo, vae.log_likelihood):
        np.testing.assert_allclose(bound(twin, x, 50, seed=0), bound(model, x, 50, seed=0), rtol=1e-5)
    twin.reconstruction_loss.log_sigma.assign(np.log(2.0))
    assert not np.allclose(vae.elbo(twin, x, 50, seed=0), vae.elbo(model, x, 50, seed=0), rtol=0.01)


def letters():
    """The alphabet, as large and as bright as the digits."""
    pictures = []
    for letter in "ABCDEFGHJKLMNPQRTUVWXYZ":
        picture = Image.new("L", (28, 28))
        ImageDraw.Draw(picture).text((14, 14), letter, 255, ImageFont.load_default(26), anchor="mm")
        pictures.append(np.asarray(picture))
    return np.stack(pictures)


def test_strange_images_have_a_higher_anomaly_score(digits):
    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(hidden_units=(64,)), vae.build_decoder(hidden_units=(64,)))
    model.compile()
    model.fit(digits.x_train, epochs=60, verbose=0)
    clean = vae.anomaly_score(model, digits.x_test, seed=0)
    np.testing.assert_allclose(clean, -vae.elbo(model, digits.x_test, 16, seed=0))
    noise = np.random.default_rng(0).integers(0, 256, (100, 28, 28), dtype=np.uint8)
    for strange, least in ((noise, 0.999), (letters(), 0.95)):
        scores = vae.anomaly_score(model, strange, seed=0)
        kinds = np.repeat([0, 1], [len(clean), len(strange)])
        assert roc_auc_score(kinds, np.concatenate([clean, scores])) > least
    threshold = np.quantile(vae.anomaly_score(model, digits.x_train, seed=0), 0.99)
    assert np.mean(clean > threshold) < 0.1


def test_likelihoods_repeat_with_a_seed_whatever_the_blocks(monkeypatch):
    model = tiny_vae()
    one = vae.log_likelihood(model, X, 30, seed=1)
    np.testing.assert_array_equal(one, vae.log_likelihood(model, X, 30, seed=1))
    assert np.any(one != vae.log_likelihood(model, X, 30, seed=2))
    keras.utils.set_random_seed(3)
    drawn = vae.elbo(model, X)
    keras.utils.set_random_seed(3)
    np.testing.assert_array_equal(drawn, vae.elbo(model, X))
    monkeypatch.setattr("vae.evaluation.likelihoods._DRAWS", 7)
    assert vae.log_likelihood(model, X, 30, seed=1).shape == (16,)


def test_convolutional_models_have_likelihoods_too():
    model = tiny_vae(shape=(9, 7, 1))
    x = np.random.default_rng(0).integers(0, 256, (5, 9, 7), dtype=np.uint8)
    assert np.isfinite(vae.log_likelihood(model, x, 10)).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: vae.elbo("model", X), TypeError, "model must be a vae.VAE"),
        (lambda m: vae.elbo(m, np.zeros((2, 70))), ValueError, "x must hold images of 36"),
        (lambda m: vae.log_likelihood(m, X, 0), ValueError, "n_samples must be a positive"),
        (lambda m: vae.log_likelihood(m, X, seed=-1), ValueError, "seed must be"),
        (lambda m: vae.nearest_neighbor_accuracy([[0.0, 1.0]], [1]), ValueError, "at least 2 points"),
        (lambda m: vae.nearest_neighbor_accuracy([[0.0], [1.0]], [1]), ValueError, "labels must have one"),
        (lambda m: vae.frechet_distance([[0.0]], [[1.0], [2.0]]), ValueError, "at least 2 rows"),
        (lambda m: vae.frechet_distance([[0.0], [1.0]], [[1.0, 2.0]]), ValueError, "b must have shape"),
        (lambda m: vae.SampleQuality(np.zeros((3, PIXELS)), [1, 2]), ValueError, "labels must have one"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(shared_vae())


def test_an_autoencoder_has_no_likelihood():
    for function in (vae.elbo, vae.log_likelihood):
        with pytest.raises(TypeError, match=r"model must be a vae\.VAE; got Autoencoder"):
            function(shared_autoencoder(), X)


def test_nearest_neighbors_count_others_only():
    points = [[0.0, 0.0], [0.0, 0.0], [9.0, 9.0], [9.0, 9.1]]
    assert vae.nearest_neighbor_accuracy(points, ["a", "a", "b", "b"]) == 1.0
    assert vae.nearest_neighbor_accuracy(points, ["a", "b", "b", "b"]) == 0.5


def test_active_units_are_those_that_vary():
    z_mean = np.random.default_rng(0).normal(0, [1.0, 0.05, 0.5], (1000, 3))
    assert vae.active_units(z_mean) == 2
    assert vae.active_units(z_mean, threshold=1e-4) == 3


def test_the_frechet_distance_of_known_gaussians():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (200_000, 2)), rng.normal([3, 0], [2, 1], (200_000, 2))
    assert vae.frechet_distance(a, b) == pytest.approx(9 + 1, rel=0.02)
    assert vae.frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_sample_quality_sees_missing_classes_and_strange_images(digits):
    quality = vae.SampleQuality(digits.x_train, digits.y_train)
    assert np.mean(quality.classify(digits.x_test) == digits.y_test) > 0.9
    good = quality(digits.x_test, digits.x_train)
    one = quality(digits.x_test[digits.y_test == 3], digits.x_train)
    noise = quality(np.random.default_rng(0).random((300, 784)), digits.x_train)
    assert good.class_entropy > 3.2
    assert one.class_entropy < 1
    assert good.frechet_distance * 3 < min(one.frechet_distance, noise.frechet_distance)
