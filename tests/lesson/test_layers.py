import keras
import numpy as np
import pytest
from gradients import value_and_gradients
from tiny import PIXELS, X, tiny_vae, to_numpy

import vae
from vae.layers import clip_log_sigma


def test_sampling_is_a_lambda_layer():
    assert isinstance(vae.Sampling(), keras.layers.Lambda)


def test_draws_have_the_mean_and_spread_asked_for():
    n = 200_000
    z_mean = np.tile(np.float32([1.5, -2.0]), (n, 1))
    z_log_sigma = np.tile(np.log(np.float32([0.5, 3.0])), (n, 1))
    z = to_numpy(vae.Sampling(seed=3)([z_mean, z_log_sigma]))
    np.testing.assert_allclose(z.mean(axis=0), [1.5, -2.0], rtol=0.01)
    np.testing.assert_allclose(z.std(axis=0), [0.5, 3.0], rtol=0.01)
    assert abs(np.corrcoef(z.T)[0, 1]) < 0.01


def test_each_call_draws_anew():
    layer, zeros = vae.Sampling(seed=0), np.zeros((4, 2))
    first, second = (to_numpy(layer([zeros, zeros])) for _ in range(2))
    assert not np.allclose(first, second)


def test_the_same_seed_draws_the_same():
    zeros = np.zeros((4, 2))
    first, second = (to_numpy(vae.Sampling(seed=5)([zeros, zeros])) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_without_a_seed_it_follows_set_random_seed():
    zeros, draws = np.zeros((4, 2)), []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        draws.append(to_numpy(vae.Sampling()([zeros, zeros])))
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.allclose(draws[0], draws[2])


def test_config_holds_the_seed_and_no_code():
    layer = vae.Sampling(seed=7, name="Z")
    config = layer.get_config()
    assert config["seed"] == 7
    assert "function" not in config
    twin = vae.Sampling.from_config(config)
    assert (twin.name, twin.seed) == ("Z", 7)


def test_reparameterize_is_the_formula():
    z_mean, z_log_sigma, epsilon = arrays = np.random.default_rng(0).standard_normal((3, 4, 2))
    z = to_numpy(vae.reparameterize(*map(keras.ops.convert_to_tensor, arrays)))
    np.testing.assert_allclose(z, z_mean + np.exp(z_log_sigma) * epsilon, rtol=1e-6)
    assert float(vae.reparameterize(1.0, np.log(2.0), -0.5)) == pytest.approx(0, abs=1e-6)


def test_reparameterize_has_the_derivatives_that_training_needs():
    z_mean, z_log_sigma = (keras.Variable(value, dtype="float32") for value in (1.0, np.log(2.0)))
    z, gradients = value_and_gradients(
        lambda: vae.reparameterize(z_mean.value, z_log_sigma.value, -0.5), [z_mean, z_log_sigma]
    )
    assert to_numpy(z) == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose([to_numpy(gradient) for gradient in gradients], [1, 2.0 * -0.5], rtol=1e-6)


def test_log_sigma_is_clipped():
    clipped = to_numpy(clip_log_sigma(keras.ops.convert_to_tensor(np.float32([-99, -1.25, 99]))))
    np.testing.assert_array_equal(clipped, np.float32([-15, -1.25, 2]))


def test_the_gradient_reaches_both_heads():
    model = tiny_vae()
    heads = [model.encoder.get_layer(name).kernel for name in ("Z-Mean", "Z-Log-Sigma")]
    _, gradients = value_and_gradients(
        lambda: keras.ops.sum(keras.ops.square(model.decoder(model.encoder(X)[2]))), heads
    )
    for gradient in gradients:
        assert np.abs(to_numpy(gradient)).max() > 0


@pytest.mark.parametrize("seed", [-1, 1.5, "0", True])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="seed must be a whole number"):
        vae.Sampling(seed=seed)


@pytest.mark.parametrize(
    "inputs",
    [
        np.zeros((4, 2), "float32"),
        [np.zeros((4, 2), "float32")],
        [np.zeros((4, 2), "float32"), np.zeros((4, 3), "float32")],
    ],
)
def test_other_inputs_than_two_of_one_shape_are_refused(inputs):
    with pytest.raises(ValueError, match="z_mean, z_log_sigma"):
        vae.Sampling()(inputs)


def test_a_clipped_log_sigma_finds_its_way_back():
    z = keras.Input((1,))
    head = keras.Model(z, keras.layers.Dense(1, activation=clip_log_sigma, name="head")(z))
    head.get_layer("head").set_weights([np.zeros((1, 1)), np.full(1, 3.0)])
    head.compile(keras.optimizers.SGD(1.0), loss=lambda _, y: keras.ops.mean(y))
    head.fit(np.ones((4, 1)), np.ones((4, 1)), epochs=3, verbose=0)
    assert head.get_layer("head").get_weights()[1][0] < 2


def test_one_image_far_off_all_others_does_not_stop_the_encoder():
    losses = []
    for first in (np.zeros((0, PIXELS)), np.ones((1, PIXELS))):  # without and with a white image
        model = tiny_vae()
        model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
        hidden, head = map(model.encoder.get_layer, ("Encoder-Hidden-Layer-1", "Z-Log-Sigma"))
        # The white image alone switches unit 0 on, and that drives z_log_sigma far up.
        kernel, bias = hidden.get_weights()
        kernel[:, 0], bias[0] = 1.0, -24.0
        hidden.set_weights([kernel, bias])
        kernel, bias = head.get_weights()
        kernel[0] = 3.0
        head.set_weights([kernel, bias])
        x = 0.2 * X.repeat(4, axis=0)
        x[:, ::2] += np.linspace(0, 0.8, 64)[:, np.newaxis]  # dark to bright
        model.train_on_batch(np.concatenate([x[:7], first]))
        losses.append(model.fit(x, batch_size=8, epochs=28, verbose=0).history["loss"])
    without, after = losses
    assert after[-1] < 1.2 * without[-1] < 0.5 * without[0]
