"""What the two models compute: terms of a loss, codes, images; how they differ, and what they refuse."""

import keras
import numpy as np
import pytest
from tiny import BOTH, PIXELS, TERMS, X, noise_of, tiny_autoencoder, tiny_networks, tiny_vae, to_numpy

import vae

EPSILON = np.random.default_rng(1).standard_normal((len(X), 2)).astype("float32")


@pytest.fixture(scope="module")
def model():
    """A VAE for tests that leave it as it is."""
    return tiny_vae()


@pytest.fixture(scope="module")
def autoencoder():
    return tiny_autoencoder()


# The loss


def test_a_vae_has_two_terms_of_one_number_an_image(model):
    terms = model.loss_terms(X)
    assert list(terms) == ["reconstruction_loss", "kl_loss"]
    assert [tuple(term.shape) for term in terms.values()] == [(16,), (16,)]


def test_an_autoencoder_has_the_first_alone(autoencoder):
    ((name, term),) = autoencoder.loss_terms(X).items()
    assert name == "reconstruction_loss"
    decoded = autoencoder.decode(autoencoder.encode(X))
    np.testing.assert_allclose(to_numpy(term), ((X - decoded) ** 2).sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
def test_the_loss_is_the_mean_of_vae_loss_over_the_batch(beta):
    one, twin = (tiny_vae(noise=3, beta=beta) for _ in range(2))  # so they draw the same z
    z_mean, z_log_sigma, z = one.encoder(X)
    by_hand = vae.vae_loss(X, one.decoder(z), z_mean, z_log_sigma, beta=beta)
    assert to_numpy(twin.compute_loss(X)) == pytest.approx(to_numpy(by_hand).mean(), rel=1e-5)


def test_vae_loss_and_the_model_take_the_kl_divergence_from_one_place(monkeypatch):
    def seven(z_mean, z_log_sigma):
        return keras.ops.sum(0.0 * z_mean, axis=1) + 7.0

    monkeypatch.setattr("vae.losses.kl_divergence", seven)
    zeros = np.zeros((1, 2), "float32")
    assert float(vae.vae_loss(X[:1], X[:1], zeros, zeros)[0]) == 7
    one, twin = (tiny_vae(noise=3, beta=10) for _ in range(2))
    reconstruction = np.mean(to_numpy(one.loss_terms(X)["reconstruction_loss"]))
    assert to_numpy(twin.compute_loss(X)) == pytest.approx(reconstruction + 70, rel=1e-5)


def test_an_autoencoders_loss_is_the_mean_of_its_term(autoencoder):
    (term,) = autoencoder.losses_per_image(X)
    assert to_numpy(autoencoder.compute_loss(X)) == pytest.approx(term.mean(), rel=1e-5)


@pytest.mark.parametrize("beta", [0.1, 0.3, 1e-3, 2.5, 1 / 4, 0])
def test_beta_is_the_number_that_was_given(model, beta):
    given = vae.VAE(model.encoder, model.decoder, beta=beta)
    assert given.beta == beta
    given.beta = 7.7
    assert given.beta == 7.7


@pytest.mark.parametrize("beta", ["large", -1, float("nan"), float("inf"), None])
def test_a_bad_beta_is_refused_and_the_one_before_kept(model, beta):
    with pytest.raises(ValueError, match="beta must be"):
        model.beta = beta
    assert model.beta == 1
    with pytest.raises(ValueError, match="beta must be"):
        vae.VAE(model.encoder, model.decoder, beta=beta)


def test_uint8_is_divided_by_255(model):
    x = np.random.default_rng(0).integers(0, 256, (5, 6, 6), dtype=np.uint8)
    epsilon = np.zeros((5, 2))
    for ours, theirs in zip(
        model.losses_per_image(x, epsilon), model.losses_per_image(x / 255, epsilon), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(model.reconstruct(x), model.reconstruct(x / 255), atol=1e-6)


# The loss of each image


def test_losses_per_image_with_given_noise_are_deterministic_and_right(model):
    reconstruction, kl = model.losses_per_image(X, EPSILON)
    z_mean, z_log_sigma = model.encode(X)
    decoded = model.decode(z_mean + np.exp(z_log_sigma) * EPSILON)
    np.testing.assert_allclose(reconstruction, ((X - decoded) ** 2).sum(axis=1), rtol=1e-4)
    expected_kl = 0.5 * (z_mean**2 + np.exp(2 * z_log_sigma) - 1 - 2 * z_log_sigma).sum(axis=1)
    np.testing.assert_allclose(kl, expected_kl, rtol=1e-3, atol=1e-5)
    order = np.arange(16)[::-1]
    again, _ = model.losses_per_image(X[order], EPSILON[order])
    np.testing.assert_allclose(again, reconstruction[order], rtol=1e-5)


def test_losses_per_image_without_noise_draw_it(model):
    (first, kl), (second, same_kl) = (model.losses_per_image(X) for _ in range(2))
    assert np.all(first != second)
    np.testing.assert_array_equal(kl, same_kl)


def test_losses_per_image_with_given_noise_leave_the_generators_as_they_were(model):
    before = noise_of(model)
    model.losses_per_image(X, EPSILON)
    np.testing.assert_array_equal(noise_of(model), before)
    model.losses_per_image(X)
    assert np.any(np.not_equal(noise_of(model), before))


def test_an_autoencoders_losses_per_image_are_a_tuple_of_one(autoencoder):
    (reconstruction,) = autoencoder.losses_per_image(X)
    assert (reconstruction.shape, reconstruction.dtype) == ((16,), np.float32)
    expected = ((X - autoencoder.reconstruct(X)) ** 2).sum(axis=1)
    np.testing.assert_allclose(reconstruction, expected, rtol=1e-4)


# Codes and images


def test_encode_is_deterministic_and_leaves_the_noise_alone(model):
    state = noise_of(model)
    first, second = (model.encode(X) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert a.shape == (16, 2)
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)
    model.reconstruct(X)
    np.testing.assert_array_equal(state, noise_of(model))


@pytest.mark.parametrize("n", [1, 3, 1025])
def test_encode_in_batches_is_encode_at_once(model, n):
    x = np.random.default_rng(0).random((n, PIXELS), dtype="float32")
    z_mean, z_log_sigma, _ = (to_numpy(part) for part in model.encoder(x))
    np.testing.assert_allclose(model.encode(x)[0], z_mean, atol=1e-5)
    np.testing.assert_allclose(model.encode(x)[1], z_log_sigma, atol=1e-5)


def test_an_autoencoder_encodes_to_codes(autoencoder):
    first, second = (autoencoder.encode(X) for _ in range(2))
    assert (first.shape, first.dtype) == ((16, 2), np.float32)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, to_numpy(autoencoder.encoder(X)), atol=1e-5)


@pytest.mark.parametrize("make", BOTH)
def test_decode_gives_the_decoders_shape(make):
    images = make().decode([[0.0, 0.0], [1.0, -1.0]])
    assert (images.shape, images.dtype) == ((2, PIXELS), np.float32)


def test_reconstruct_decodes_the_mean_of_a_vae_and_the_code_of_an_autoencoder(model, autoencoder):
    np.testing.assert_allclose(model.reconstruct(X), model.decode(model.encode(X)[0]), atol=1e-5)
    np.testing.assert_allclose(
        autoencoder.reconstruct(X), autoencoder.decode(autoencoder.encode(X)), atol=1e-5
    )


@pytest.mark.parametrize("make", BOTH)
def test_calling_a_model_reconstructs(make):
    model = make()
    np.testing.assert_allclose(to_numpy(model(X)), model.reconstruct(X), atol=1e-5)


def test_mixed_precision_gives_float32():
    before = keras.mixed_precision.dtype_policy()
    for policy in ("mixed_bfloat16", "mixed_float16"):
        keras.mixed_precision.set_dtype_policy(policy)
        try:
            model = tiny_vae()
            arrays = [*model.encode(X), model.generate(2), model.reconstruct(X)]
            arrays += model.losses_per_image(X, np.zeros((16, 2)))
        finally:
            keras.mixed_precision.set_dtype_policy(before)
        assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays)


# New images


def test_generate_gives_the_decoders_shape(model):
    images = model.generate(3)
    assert (images.shape, images.dtype) == ((3, PIXELS), np.float32)


def test_generate_repeats_with_a_seed_and_differs_without(model):
    np.testing.assert_array_equal(model.generate(4, seed=1), model.generate(4, seed=1))
    assert not np.allclose(model.generate(4, seed=1), model.generate(4, seed=2))
    assert not np.allclose(model.generate(4), model.generate(4))


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_generate_writes_into_an_array(model, tmp_path, monkeypatch, dtype):
    monkeypatch.setattr("vae.model.GENERATED_AT_A_TIME", 16)
    shape = (50, *model.decoder.output_shape[1:])
    out = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", dtype, shape)
    assert model.generate(50, seed=3, out=out) is out
    images = model.generate(50, seed=3)
    wanted = np.rint(255 * images) if dtype == "uint8" else images
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), wanted)
    assert len(np.unique(images, axis=0)) == 50  # no block repeats another
    np.testing.assert_array_equal(images[:16], model.generate(16, seed=3))


def test_generate_refuses_arrays_that_do_not_fit(model):
    shape = (5, *model.decoder.output_shape[1:])
    read_only = np.zeros(shape)
    read_only.flags.writeable = False
    for out in (np.zeros((4, *shape[1:])), np.zeros(shape, int), read_only, [[0.0]]):
        with pytest.raises(ValueError, match=r"^out must "):
            model.generate(5, out=out)


# The two side by side


def names_defined_by(kind):
    return {name for name in vars(kind) if not name.startswith("__") or name == "__init__"}


def test_the_two_classes_differ_in_what_the_lesson_says_and_in_nothing_else():
    common = {"__init__", "call", "loss_terms", "encode"}
    assert names_defined_by(vae.Autoencoder) == common
    of_the_vae_alone = {"beta", "term_weights", "losses_per_image", "generate", "get_config"}
    assert names_defined_by(vae.VAE) == common | of_the_vae_alone
    assert vae.VAE.__bases__ == vae.Autoencoder.__bases__


def test_they_are_named_for_what_they_are(model, autoencoder):
    assert (model.name, autoencoder.name) == ("VAE-Model", "Autoencoder-Model")


def test_metrics_are_the_loss_and_its_terms(model, autoencoder):
    assert [metric.name for metric in model.metrics] == TERMS
    assert [metric.name for metric in autoencoder.metrics] == TERMS[:2]


def test_an_autoencoder_has_no_prior_to_generate_from(autoencoder):
    assert not hasattr(autoencoder, "generate")
    assert not hasattr(autoencoder, "beta")


# What is refused


def test_networks_that_do_not_fit_are_refused_with_both_sizes():
    with pytest.raises(ValueError, match=r"one latent size.*\(None, 3\).*\(None, 2\)"):
        vae.VAE(vae.build_encoder(latent_dim=3), vae.build_decoder(latent_dim=2))
    with pytest.raises(ValueError, match=r"one image size.*\(None, 784\).*\(None, 100\)"):
        vae.VAE(vae.build_encoder(), vae.build_decoder(output_dim=100))
    with pytest.raises(TypeError, match=r"encoder must be a keras\.Model; got str"):
        vae.VAE("encoder", vae.build_decoder())


def test_an_encoder_of_the_other_model_is_refused(model, autoencoder):
    with pytest.raises(ValueError, match=r"three outputs \[z_mean, z_log_sigma, z\]"):
        vae.VAE(autoencoder.encoder, autoencoder.decoder)
    with pytest.raises(ValueError, match=r"encoder must have one output \[code\]"):
        vae.Autoencoder(model.encoder, model.decoder)


@pytest.mark.parametrize("kind", [vae.VAE, vae.Autoencoder])
def test_networks_that_are_not_built_are_refused(kind):
    unbuilt, (encoder, decoder) = keras.Sequential([keras.layers.Dense(3)]), tiny_networks()
    with pytest.raises(ValueError, match="encoder must be built"):
        kind(unbuilt, decoder)
    with pytest.raises(ValueError, match="decoder must be built"):
        kind(encoder, unbuilt)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.decode(np.zeros((2, 3))), r"z must have shape \(n, 2\)"),
        (lambda model: model.decode([0.0, 0.0]), r"z must have shape \(n, 2\)"),
        (lambda model: model.decode([[np.nan, 0.0]]), "z must hold finite"),
        (lambda model: model.generate(0), "n must be a positive whole number"),
        (lambda model: model.generate(2.5), "n must be a positive whole number"),
        (lambda model: model.generate(2, seed=-1), "seed must be a whole number"),
        (lambda model: model.losses_per_image(X[:2], np.zeros((3, 2))), "epsilon must have 2"),
        (lambda model: model.losses_per_image(X[:2], np.zeros((2, 3))), "epsilon must have shape"),
        (lambda model: model.losses_per_image(X[:2], [[0, np.inf]] * 2), "epsilon must hold finite"),
    ],
)
def test_bad_points_and_counts_are_refused(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


# Networks that no image fits


def encoder_of(*inputs):
    x = (
        keras.layers.Concatenate()([keras.layers.Flatten()(x) for x in inputs])
        if len(inputs) > 1
        else inputs[0]
    )
    hidden = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling3D()(x) if len(x.shape) == 5 else x)
    return keras.Model(list(inputs) if len(inputs) > 1 else x, [hidden, hidden, hidden])


def test_networks_of_two_inputs_are_refused_with_a_way():
    encoder = encoder_of(keras.Input((4,)), keras.Input((3,)))
    with pytest.raises(ValueError, match=r"encoder must have one input; got 2.*joined"):
        vae.VAE(encoder, vae.build_decoder(output_dim=4))


def test_volumes_and_images_of_open_size_are_refused_at_once():
    volumes = encoder_of(keras.Input((4, 4, 4, 1)))
    with pytest.raises(ValueError, match=r"encoder must take images.*got \(None, 4, 4, 4, 1\)"):
        vae.VAE(volumes, vae.build_decoder(output_dim=4))
    x = keras.Input((None, None, 1))
    code = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x))
    with pytest.raises(ValueError, match=r"of known sizes; got \(None, None, None, 1\)"):
        vae.VAE(keras.Model(x, [code, code, code]), vae.build_decoder(output_dim=4))
