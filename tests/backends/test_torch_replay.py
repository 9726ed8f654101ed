"""PyTorch: a replayed step is Keras's own, to the bit, or Keras makes it."""

import gc

import keras
import numpy as np
import pytest
from tiny import PIXELS, tiny_autoencoder, tiny_vae

import vae

if keras.backend.backend() != "torch":
    pytest.skip("of PyTorch alone", allow_module_level=True)

import torch

from vae.backends.torch_replay import CannotRecordError, record

IMAGES = np.random.default_rng(1).random((100, PIXELS), np.float32)  # batches of 16 and a rest of 4
SAYS = "Each step of Autoencoder-Model goes through Keras"


def autoencoder_with(*makes):
    keras.utils.set_random_seed(0)
    layers = [make() for make in makes]
    x = image = keras.Input((PIXELS,))
    for layer in (*layers, keras.layers.Dense(2)):
        x = layer(x)
    return vae.Autoencoder(keras.Model(image, x), vae.build_decoder(2, (8,), PIXELS))


def values_of(model):
    return [keras.ops.convert_to_numpy(v) for v in (*model.variables, *model.optimizer.variables)]


def trained(model, steps, **options):
    """Train in chunks of so many steps; 0 is Keras's own step each time, which nobody records."""
    model.compile(options.pop("optimizer", None), steps_per_execution=steps or 1, run_eagerly=not steps)
    fit = {"batch_size": 16, "epochs": 2, "verbose": 0, "validation_data": IMAGES[:40], **options}
    keras.utils.set_random_seed(7)
    return model.fit(IMAGES, **fit).history


MODELS = {
    "VAE": tiny_vae,
    "convolutions": lambda: tiny_vae(shape=(6, 6, 1)),
    "dropout and batch statistics": lambda: autoencoder_with(
        lambda: keras.layers.Dropout(0.3),
        lambda: keras.layers.Dropout(0.3, seed=3),
        keras.layers.BatchNormalization,
    ),
    "noise of the layer's own": lambda: autoencoder_with(lambda: keras.layers.GaussianNoise(0.1)),
    "a shuffled gamma, which Keras seeds by itself": lambda: autoencoder_with(Gamma),
}
OPTIMIZERS = [None, "sgd", "adamw", "rmsprop", "lion"]


class Gamma(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.noise = keras.random.SeedGenerator(2)

    def call(self, x):
        return x * keras.random.gamma(keras.ops.shape(x), 1.0, seed=self.noise)


def assert_same_training(make, **options):
    one, other = make(), make()
    histories = [trained(model, steps, **dict(options)) for model, steps in ((one, 0), (other, 5))]
    for a, b in zip(values_of(one), values_of(other), strict=True):
        np.testing.assert_array_equal(a, b)
    for name, numbers in histories[0].items():
        np.testing.assert_allclose(histories[1][name], numbers, rtol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_replayed_steps_are_single_steps_to_the_bit(model):
    assert_same_training(MODELS[model])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_with_every_optimizer(optimizer):
    assert_same_training(tiny_vae, optimizer=optimizer)


def test_it_is_replayed_and_says_nothing(capsys):
    calls = []

    class Counting(keras.layers.Layer):
        def call(self, x):
            calls.append(len(x))
            return x

    model = autoencoder_with(Counting)
    model.compile(steps_per_execution=3)
    calls.clear()
    model.fit(IMAGES[:96], batch_size=16, epochs=3, verbose=0)
    assert calls.count(16) == 2  # one step, in which Keras's own calls the network twice
    assert capsys.readouterr().out == ""


class Reading(keras.layers.Layer):
    """What nobody can write down: it looks at the numbers."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def call(self, x):
        if x.device.type == "meta":
            return x
        return x * (2.0 if self.how(x.detach()) > 0 else 0.5)


READS = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x.sum()),
    "bool": lambda x: bool(x.sum() > 0),
    "numpy": lambda x: x.numpy().sum(),
    "asarray": lambda x: np.asarray(x).sum(),
    "tolist": lambda x: sum(x.sum(0).tolist()),
    "the number of what is found": lambda x: len(torch.nonzero(x > 0.5)) - x.shape[0] * x.shape[1] / 2,
}


@pytest.mark.parametrize("how", READS)
def test_what_depends_on_numbers_trains_through_keras_and_says_so_once(how, capsys):
    assert_same_training(lambda: autoencoder_with(lambda: Reading(READS[how])))
    (said,) = capsys.readouterr().out.splitlines()  # of training and evaluation, each in two sizes
    assert SAYS in said
    assert said.endswith("asks for numbers that a tensor holds.")


def test_an_error_of_the_step_itself_is_raised_and_changes_nothing():
    class Failing(keras.layers.Layer):
        def call(self, x):
            if x.device.type != "meta" and self.trainable:
                raise RuntimeError("of my own")
            return x

    model = autoencoder_with(Failing)
    model.compile(steps_per_execution=5)
    before = values_of(model)
    with pytest.raises(RuntimeError, match="of my own"):
        model.fit(IMAGES, batch_size=16, verbose=0)
    for a, b in zip(before, values_of(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_recording_that_fails_puts_everything_back():
    weight, state = torch.ones(3), torch.get_rng_state()

    def step(x):
        weight.add_(x)
        weight.mul_(torch.randn(3))
        return {"loss": weight.sum() * weight.sum().item()}

    with pytest.raises(CannotRecordError, match="asks for numbers"):
        record(step, torch.ones(3))
    assert weight.tolist() == [1, 1, 1]
    assert torch.equal(state, torch.get_rng_state())


def test_a_step_that_catches_the_refusal_is_refused_all_the_same():
    weight = torch.ones(3)

    def step(x):
        weight.add_(x)
        try:
            return {"loss": weight * float(x.sum())}
        except Exception:
            return {"loss": weight}

    with pytest.raises(CannotRecordError, match="asks for numbers"):
        record(step, torch.ones(3))
    assert weight.tolist() == [1, 1, 1]


def test_a_generator_of_the_users_own_moves_on_with_every_step():
    def steps(again):
        own = torch.Generator().manual_seed(1)

        def step(x):
            torch.randn(3, generator=own)  # used by nobody, but the next draw comes after it
            return {"noise": x * torch.randn(3, generator=own)}

        if not again:
            return [step(torch.ones(3))["noise"] for _ in range(3)]
        replay, first = record(step, torch.ones(3))
        return [first["noise"], *(replay(torch.ones(3))["noise"] for _ in range(2))]

    for one, other in zip(steps(False), steps(True), strict=True):
        assert torch.equal(one, other)


def test_an_interrupted_recording_puts_everything_back():
    weight = torch.ones(3)

    def step(x):
        weight.add_(x)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(step, torch.ones(3))
    assert weight.tolist() == [1, 1, 1]


def test_layers_frozen_between_runs_stay_as_they_are():
    model = tiny_autoencoder()
    trained(model, 5)
    model.decoder.trainable = False
    frozen = [np.array(weight) for weight in model.decoder.get_weights()]
    moving = model.encoder.get_weights()
    model.fit(IMAGES, batch_size=16, epochs=1, verbose=0)
    for a, b in zip(frozen, model.decoder.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(moving, model.encoder.get_weights(), strict=True))


def test_weights_moved_between_runs_are_trained_where_they_are_now():
    def twice(steps):
        model = tiny_vae()
        trained(model, steps)
        for variable in model.trainable_variables:
            variable.value.data = variable.value.data.clone()  # as `model.to(device)` does
        model.fit(IMAGES, batch_size=16, epochs=2, verbose=0)
        return values_of(model)

    for replayed, single in zip(twice(4), twice(0), strict=True):
        np.testing.assert_array_equal(replayed, single)


def test_views_of_weights_are_made_once_and_show_what_the_weights_hold_now():
    weights = torch.arange(6.0).reshape(2, 3)

    def step(x):
        weights.t()[1].add_(x)
        return {"sum": (weights.t().reshape(-1)[1:] * x).sum(), "row": weights[0]}

    replay, first = record(step, torch.tensor(1.0))
    again = {key: value.clone() for key, value in replay(torch.tensor(2.0)).items()}
    weights -= 2  # by 2 in one column, in the whole: as before the second step
    weights[:, [0, 2]] += 2
    for key, value in step(torch.tensor(2.0)).items():
        torch.testing.assert_close(again[key], value, rtol=0, atol=0)
    assert float(first["sum"]) < float(again["sum"])


def test_copies_of_weights_are_made_anew():
    weights = torch.arange(6.0).reshape(2, 3)

    def step(x):
        return {"sum": (weights.t().contiguous() * x).sum()}

    with torch.inference_mode():  # outside it PyTorch tells of a `clone` instead
        replay, _ = record(step, torch.tensor(1.0))
        weights *= 2
        assert float(replay(torch.tensor(1.0))["sum"]) == float(step(torch.tensor(1.0))["sum"]) == 30


def test_evaluation_in_inference_mode_follows_the_weights():
    def losses(steps):
        model = tiny_vae(shape=(6, 6, 1))
        trained(model, steps)
        with torch.inference_mode():
            before = model.evaluate(IMAGES, batch_size=16, verbose=0)
            for weights in model.encoder.trainable_variables:
                weights.assign(weights * 3)
            return before, model.evaluate(IMAGES, batch_size=16, verbose=0)

    replayed, single = losses(4), losses(0)
    assert replayed == single
    assert replayed[0] != replayed[1]


def test_what_was_written_down_goes_with_the_model():
    from vae.backends import backend

    gc.collect()
    before = len(backend._replays)
    model = tiny_vae()
    trained(model, 5)
    assert len(backend._replays) == before + 2
    del model
    gc.collect()
    assert len(backend._replays) <= before


def test_gradients_do_not_stay_in_memory():
    model = tiny_vae()
    trained(model, 5)
    assert all(variable.value.grad is None for variable in model.trainable_variables)
