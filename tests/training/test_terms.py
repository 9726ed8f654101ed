"""A reconstruction term of one's own, and a loss of one's own: three terms, said in one place."""

import keras
import numpy as np
import pytest
from keras import ops
from tiny import BOTH, PIXELS, TERMS, X, fit, noise_of, tiny_vae

import vae
from vae.losses import vae_loss_terms

# VAE(reconstruction=function)


def absolute_error(x, reconstruction):
    return ops.sum(ops.abs(x - reconstruction), axis=1)  # (batch,)


@pytest.mark.parametrize("make", BOTH)
def test_a_function_of_ones_own_trains(make):
    history = fit(make(reconstruction=absolute_error), epochs=2, validation_data=X)
    assert np.isfinite(history["loss"]).all()
    assert history["reconstruction_loss"][0] != fit(make())["reconstruction_loss"][0]


def test_it_is_what_the_model_lowers_and_reports():
    model = tiny_vae(reconstruction=absolute_error)
    reconstruction, _ = model.losses_per_image(X, np.zeros((16, 2)))
    np.testing.assert_allclose(reconstruction, np.abs(X - model.reconstruct(X)).sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize("make", BOTH)
def test_the_functions_of_this_package_are_those_of_the_names(make):
    for name, function in [("mse", vae.reconstruction_loss), ("bernoulli", vae.bernoulli_loss)]:
        assert fit(make(reconstruction=function), epochs=2) == fit(make(reconstruction=name), epochs=2)


def test_a_lambda_trains():
    model = tiny_vae(reconstruction=lambda x, y: ops.sum((x - y) ** 2, axis=-1))
    assert fit(model)["loss"] == pytest.approx(fit(tiny_vae())["loss"], rel=1e-5)


def test_a_function_of_images_gets_them_in_the_encoders_shape():
    shapes = []

    def note(x, reconstruction):
        shapes.append((tuple(x.shape[1:]), tuple(reconstruction.shape[1:])))
        return ops.mean(ops.square(x - reconstruction), axis=(1, 2, 3))

    fit(tiny_vae(shape=(6, 6, 1), reconstruction=note))
    assert set(shapes) == {((6, 6, 1), (6, 6, 1))}


def fails(x, reconstruction):
    raise RuntimeError("no such thing")


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda x, y: ops.mean(ops.square(x - y)), r"returns \(\)"),
        (lambda x, y: ops.sum(ops.square(x - y), axis=1, keepdims=True), r"returns \(None, 1\)"),
        (lambda x, y: ops.square(x - y), r"returns \(None, 36\)"),
        (lambda x, y: None, "(returns None|fails: )"),  # some backends hand on nothing but tensors
        (lambda x, y: "loss", "(returns loss|fails: )"),
        (lambda x: x, "fails: "),
        (fails, "fails: "),
    ],
)
def test_a_function_that_gives_no_number_an_image_is_refused_at_once(make, function, got):
    with pytest.raises(ValueError, match=rf"reconstruction must .*returns \(batch,\); got one that {got}"):
        make(reconstruction=function)


def test_the_reason_why_a_function_fails_is_given():
    with pytest.raises(ValueError, match=r"got one that fails: .*no such thing"):
        tiny_vae(reconstruction=fails)


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("reconstruction", ["mae", None, 3, ["mse"]])
def test_what_is_neither_a_name_nor_a_function_is_refused(make, reconstruction):
    with pytest.raises(ValueError, match=r"reconstruction must be 'mse'.*; got"):
        make(reconstruction=reconstruction)


# VAE(reconstruction="gaussian"): a spread that is learned

HALF = np.sqrt(0.5)  # where sigma starts


def log_density(x, mean, sigma):
    return (-0.5 * ((x - mean) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)).sum(axis=1)


@pytest.mark.parametrize("sigma", [HALF, 0.2, 3.0])
def test_the_gaussian_is_a_density_with_all_its_constants(sigma):
    model = tiny_vae(reconstruction="gaussian")
    assert model.reconstruction_loss.sigma == pytest.approx(HALF)
    model.reconstruction_loss.log_sigma.assign(np.log(sigma))
    reconstruction, _ = model.losses_per_image(X, np.zeros((16, 2)))
    np.testing.assert_allclose(reconstruction, -log_density(X, model.reconstruct(X), sigma), rtol=1e-5)


def test_the_gaussian_starts_as_the_squared_error_and_its_constant():
    noise = np.random.default_rng(0).standard_normal((16, 2)).astype("float32")
    start, plain = (
        tiny_vae(reconstruction=name).losses_per_image(X, noise)[0] for name in ("gaussian", "mse")
    )
    np.testing.assert_allclose(start, plain + PIXELS / 2 * np.log(np.pi), rtol=1e-5)


@pytest.mark.parametrize("make", BOTH)
def test_the_spread_ends_at_the_error_that_is_left(make):
    model = make(reconstruction="gaussian")
    model.encoder.trainable = model.decoder.trainable = False
    head = "Z-Log-Sigma" if make is tiny_vae else "Z-Code"
    head = model.encoder.get_layer(head)
    head.set_weights([np.zeros((8, 2)), np.full(2, -15.0 if make is tiny_vae else 0.0)])  # no noise
    model.compile(keras.optimizers.Adam(0.05))
    history = fit(model, epochs=60)
    error = np.sqrt(np.mean((X - model.reconstruct(X)) ** 2))
    assert model.reconstruction_loss.sigma == pytest.approx(error, rel=0.02)
    assert history["loss"][-1] < history["loss"][0]


@pytest.fixture(params=["float32", "mixed_float16"])
def _policy(request):
    keras.config.set_dtype_policy(request.param)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("_policy")
def test_the_spread_is_trained_saved_and_loaded(tmp_path):
    model = tiny_vae(reconstruction="gaussian")
    fit(model, epochs=15)  # in float16, Keras leaves out the first steps, until it has found a scale
    assert model.reconstruction_loss.sigma != pytest.approx(HALF, rel=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = vae.load_model(tmp_path / "model.keras")
    assert loaded.reconstruction_loss.sigma == model.reconstruction_loss.sigma
    noise = np.zeros((16, 2), "float32")
    for one, other in zip(loaded.losses_per_image(X, noise), model.losses_per_image(X, noise), strict=True):
        np.testing.assert_array_equal(one, other)
    fit(loaded)


# A third term


class WithLengths(vae.VAE):
    """A VAE that draws every z to the origin, too."""

    def loss_terms(self, x, training=False):
        z_mean, z_log_sigma, z = self.encoder(x, training=training)
        terms = vae_loss_terms(x, self.decoder(z, training=training), z_mean, z_log_sigma)
        return {**terms, "length_loss": ops.sum(ops.square(z), axis=-1)}


class Weighed(WithLengths):
    """The same, with a weight of its own."""

    def term_weights(self):
        return {**super().term_weights(), "length_loss": 0.25}


NAMES = [*TERMS, "length_loss"]


def total(result, prefix="", beta=1.0, weight=1.0):
    reconstruction, kl, length = (result[f"{prefix}{name}"] for name in NAMES[1:])
    return reconstruction + beta * kl + weight * length


@pytest.mark.parametrize(("kind", "weight"), [(WithLengths, 1), (Weighed, 0.25)])
def test_a_third_term_is_said_in_one_place_and_seen_everywhere(kind, weight):
    model = tiny_vae(kind=kind, beta=2)
    history = {
        name: values[-1] for name, values in fit(model, epochs=2, batch_size=5, validation_data=X).items()
    }
    assert sorted(history) == sorted([*NAMES, *(f"val_{name}" for name in NAMES)])
    evaluated = model.evaluate(X, verbose=0, return_dict=True)
    assert sorted(evaluated) == sorted(NAMES)
    assert history["loss"] == pytest.approx(total(history, "", 2, weight), rel=1e-5)
    assert history["val_loss"] == pytest.approx(total(history, "val_", 2, weight), rel=1e-5)
    assert evaluated["loss"] == pytest.approx(total(evaluated, "", 2, weight), rel=1e-5)
    assert [part.shape for part in model.losses_per_image(X)] == [(16,)] * 3


def test_a_third_term_is_lowered():
    def lengths_after_training(kind):
        model = tiny_vae(kind=kind, beta=0)
        model.compile(keras.optimizers.Adam(0.01))
        fit(model, epochs=30)
        return np.square(model.encode(X)[0]).sum()

    assert lengths_after_training(WithLengths) < 0.5 * lengths_after_training(vae.VAE)


def test_a_third_term_is_listed_once_however_often_the_model_is_compiled():
    model = tiny_vae(kind=WithLengths)
    model.compile("sgd")
    fit(model)
    model.compile()
    assert [metric.name for metric in model.metrics] == NAMES
    assert sorted(fit(model)) == sorted(NAMES)


def test_a_third_term_may_be_monitored():
    stop = keras.callbacks.EarlyStopping("length_loss", patience=9)
    with pytest.raises(ValueError, match=r'monitor="length_loss"\) must be given mode="min"'):
        fit(tiny_vae(kind=WithLengths), callbacks=[stop])


@pytest.mark.parametrize(
    "terms",
    [
        lambda x: ops.sum(x, axis=1),
        lambda x: [ops.sum(x, axis=1)],
        lambda x: {"loss_of_all": ops.mean(x)},
        lambda x: {"loss_of_each": x},
    ],
)
def test_terms_that_are_no_numbers_of_images_are_refused_when_the_model_is_compiled(terms):
    class Wrong(vae.VAE):
        def loss_terms(self, x, training=False):
            return terms(x)

    with pytest.raises(
        ValueError, match=r"loss_terms must return a dictionary of tensors of shape \(batch,\)"
    ):
        tiny_vae(kind=Wrong)


def test_to_ask_for_the_names_of_the_terms_draws_no_noise():
    model = tiny_vae(noise=4)
    before = noise_of(model)
    model.compile()
    np.testing.assert_array_equal(noise_of(model), before)


# Cross-entropy wants probabilities


def decoder_of(*layers):
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(PIXELS, "sigmoid"), *layers])


def nested():
    z = keras.Input((2,))
    return keras.Model(
        z, keras.layers.Reshape((PIXELS,))(vae.build_decoder(2, (), PIXELS, output_activation="tanh")(z))
    )


def called_twice():
    z, reshape = keras.Input((2,)), keras.layers.Reshape((PIXELS,))
    x = reshape(keras.layers.Dense(PIXELS, "sigmoid")(z))
    return keras.Model(z, reshape(keras.layers.Dense(PIXELS)(x)))


L = keras.layers
LEAVING = {
    "linear": lambda: decoder_of(L.Dense(PIXELS)),
    "relu": lambda: decoder_of(L.Dense(PIXELS, "relu")),
    "tanh": lambda: decoder_of(L.Activation("tanh")),
    "LeakyReLU": lambda: decoder_of(L.LeakyReLU()),
    "ReLU": lambda: decoder_of(L.ReLU()),
    "a Reshape behind": lambda: decoder_of(L.Dense(PIXELS), L.Reshape((6, 6)), L.Flatten()),
    "nested": nested,
    "a Reshape called twice": called_twice,
}


@pytest.mark.parametrize("make", LEAVING.values(), ids=LEAVING)
@pytest.mark.parametrize("reconstruction", ["bernoulli", vae.bernoulli_loss])
def test_a_decoder_that_gives_no_probabilities_is_refused(make, reconstruction):
    with pytest.raises(ValueError, match=r"decoder must give probabilities.*has the activation '\w+'\."):
        vae.VAE(vae.build_encoder(PIXELS), make(), reconstruction=reconstruction)
    vae.VAE(vae.build_encoder(PIXELS), make(), reconstruction="mse")


@keras.saving.register_keras_serializable()
class Half(keras.layers.Layer):
    """Of its own, so that nobody knows what it gives."""

    def call(self, x):
        return 0.5 * x


@pytest.mark.parametrize(
    "make",
    [
        lambda: decoder_of(),
        lambda: decoder_of(L.Dense(PIXELS, "hard_sigmoid")),
        lambda: decoder_of(L.ReLU(max_value=1.0)),
        lambda: decoder_of(L.Dense(PIXELS, lambda x: ops.sigmoid(x))),
        lambda: decoder_of(Half()),
        lambda: decoder_of(L.Reshape((6, 6)), L.Flatten()),
    ],
)
def test_what_stays_in_the_range_or_cannot_be_told_passes(make):
    vae.VAE(vae.build_encoder(PIXELS), make(), reconstruction="bernoulli")


@pytest.mark.parametrize("load", [vae.load_model, keras.saving.load_model])
def test_a_file_of_before_is_warned_of(load, tmp_path, monkeypatch):
    networks = vae.build_encoder(PIXELS), vae.build_decoder(output_dim=PIXELS, output_activation="linear")
    with monkeypatch.context() as before:
        before.setattr("vae.training.image_model.check_probabilities", lambda decoder: None)
        vae.VAE(*networks, reconstruction="bernoulli").save(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match="decoder must give probabilities"):
        assert load(tmp_path / "model.keras").reconstruction == "bernoulli"
