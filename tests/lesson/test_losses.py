import numpy as np
import pytest
from tiny import to_numpy

import vae


def kl_by_integration(mean, log_sigma):
    """KL(N(mean, sigma^2) || N(0, 1)) as a sum over a fine grid, in float64."""
    sigma = np.exp(log_sigma)
    z = np.linspace(mean - 12 * sigma, mean + 12 * sigma, 200_001)
    log_q = -0.5 * ((z - mean) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    log_p = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    return np.trapezoid(np.exp(log_q) * (log_q - log_p), z) if hasattr(np, "trapezoid") else np.nan


@pytest.mark.skipif(not hasattr(np, "trapezoid"), reason="np.trapezoid came with NumPy 2")
@pytest.mark.parametrize("mean", [-3.0, -0.5, 0.0, 0.01, 2.0])
@pytest.mark.parametrize("log_sigma", [-4.0, -1.0, -0.01, 0.0, 0.3, 1.5])
def test_kl_agrees_with_numerical_integration(mean, log_sigma):
    kl = float(to_numpy(vae.kl_divergence(np.float32([[mean]]), np.float32([[log_sigma]])))[0])
    assert kl == pytest.approx(kl_by_integration(mean, log_sigma), rel=1e-4, abs=1e-4)


def test_kl_agrees_with_a_monte_carlo_estimate():
    rng = np.random.default_rng(0)
    mean, log_sigma = np.array([0.7, -1.2, 0.1]), np.array([-0.5, 0.2, -2.0])
    z = mean + np.exp(log_sigma) * rng.standard_normal((400_000, 3))
    log_q = (-0.5 * ((z - mean) / np.exp(log_sigma)) ** 2 - log_sigma).sum(axis=1)
    log_p = (-0.5 * z**2).sum(axis=1)
    kl = float(to_numpy(vae.kl_divergence(mean[None], log_sigma[None]))[0])
    assert kl == pytest.approx((log_q - log_p).mean(), rel=0.01)


def test_kl_is_zero_at_the_prior_and_a_half_at_one_standard_deviation():
    kl = to_numpy(vae.kl_divergence(np.float32([[0, 0, 0], [1, 0, 0]]), np.zeros((2, 3), "float32")))
    np.testing.assert_allclose(kl, [0, 0.5])


def test_kl_keeps_its_sign_near_the_prior():
    rng = np.random.default_rng(0)
    near = [(scale * rng.standard_normal((20_000, 2))).astype("float32") for scale in (1e-3, 1e-3)]
    assert to_numpy(vae.kl_divergence(*near)).min() >= 0
    tiny = [(10.0 ** rng.uniform(-9, -1, (20_000, 2))).astype("float32") for _ in range(2)]
    assert to_numpy(vae.kl_divergence(*tiny)).min() >= 0


def test_log_sigma_is_the_log_of_the_standard_deviation_not_of_the_variance():
    log_sigma = np.log(2.0)
    expected = 0.5 * (2.0**2 - 1 - np.log(2.0**2))
    assert float(to_numpy(vae.kl_divergence([[0.0]], [[log_sigma]]))[0]) == pytest.approx(expected, rel=1e-6)


def test_reconstruction_is_summed_over_pixels_and_not_over_images():
    x, reconstruction = np.zeros((2, 28, 28), "float32"), np.full((2, 28, 28), 0.5, "float32")
    loss = to_numpy(vae.reconstruction_loss(x, reconstruction))
    np.testing.assert_allclose(loss, [784 * 0.25] * 2)
    mse = ((x - reconstruction) ** 2).mean(axis=(1, 2))
    np.testing.assert_allclose(loss, 784 * mse)


def test_reconstruction_is_a_gaussian_log_likelihood():
    rng = np.random.default_rng(0)
    x, mean = rng.random((3, 50)), rng.random((3, 50))
    variance = 0.5
    log_likelihood = (-0.5 * (x - mean) ** 2 / variance - 0.5 * np.log(2 * np.pi * variance)).sum(axis=1)
    constant = 50 / 2 * np.log(np.pi)
    np.testing.assert_allclose(
        to_numpy(vae.reconstruction_loss(x, mean)), -log_likelihood - constant, rtol=1e-5
    )


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_the_loss_is_the_weighted_sum(beta):
    rng = np.random.default_rng(0)
    x, reconstruction = rng.random((4, 9), "float32"), rng.random((4, 9), "float32")
    z_mean, z_log_sigma = rng.normal(size=(2, 4, 3)).astype("float32")
    expected = to_numpy(vae.reconstruction_loss(x, reconstruction)) + beta * to_numpy(
        vae.kl_divergence(z_mean, z_log_sigma)
    )
    loss = to_numpy(vae.vae_loss(x, reconstruction, z_mean, z_log_sigma, beta=beta))
    assert loss.shape == (4,)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


@pytest.mark.parametrize("beta", [-1, float("nan"), float("inf"), "1", None])
def test_a_bad_beta_is_refused(beta):
    with pytest.raises(ValueError, match="beta must be a finite number, 0 or more"):
        vae.vae_loss(np.zeros((1, 4)), np.zeros((1, 4)), np.zeros((1, 2)), np.zeros((1, 2)), beta=beta)


def test_shapes_that_differ_are_refused_and_not_broadcast():
    with pytest.raises(ValueError, match="x and reconstruction must have one shape"):
        vae.reconstruction_loss(np.zeros((4, 784)), np.zeros((1, 784)))
    with pytest.raises(ValueError, match="z_mean and z_log_sigma must have one shape"):
        vae.kl_divergence(np.zeros((4, 2)), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="z_mean must have shape"):
        vae.kl_divergence(np.zeros(4), np.zeros(4))


def test_integers_are_refused():
    with pytest.raises(TypeError, match="x must hold floats"):
        vae.reconstruction_loss(np.zeros((1, 4), "uint8"), np.zeros((1, 4)))


def test_terms_of_different_numbers_of_images_are_refused():
    x = np.zeros((4, 9), "float32")
    with pytest.raises(ValueError, match="must have one shape"):
        vae.vae_loss(x, x, np.zeros((1, 2)), np.zeros((1, 2)))


@pytest.mark.parametrize("value", [None, "x", [[1.0], [1.0, 2.0]]])
def test_what_is_no_tensor_is_a_type_error(value):
    with pytest.raises((TypeError, ValueError), match="z_mean must"):
        vae.kl_divergence(value, value)


# Bernoulli


def test_the_bernoulli_loss_is_the_cross_entropy_summed_over_pixels():
    x = np.array([[0.0, 1.0, 0.3], [1.0, 1.0, 0.0]], "float32")
    p = np.array([[0.1, 0.8, 0.3], [0.5, 0.9, 0.2]], "float32")
    expected = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1)
    np.testing.assert_allclose(to_numpy(vae.bernoulli_loss(x, p)), expected, rtol=1e-5)


def test_the_bernoulli_loss_stays_finite_where_the_decoder_is_sure_and_wrong():
    worst = float(vae.bernoulli_loss([[1.0]], [[0.0]])[0])
    assert worst == pytest.approx(-np.log(1e-7), rel=1e-3)
    assert float(vae.bernoulli_loss([[0.0]], [[0.0]])[0]) == pytest.approx(0, abs=1e-6)


def test_the_bernoulli_loss_checks_as_the_other_does():
    with pytest.raises(ValueError, match="must have one shape"):
        vae.bernoulli_loss(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(TypeError, match="x must hold floats"):
        vae.bernoulli_loss(np.zeros((2, 3), "uint8"), np.zeros((2, 3)))
