"""What yields batches: each read once, none left out, and refused in the words that arrays are refused in."""

import itertools

import keras
import numpy as np
import pytest
from tiny import PIXELS, X, tiny_vae

N = 40
IMAGES = np.random.default_rng(0).random((N, PIXELS), np.float32)


class InBatches(keras.utils.PyDataset):
    """Batches of four."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays, self.read = arrays, 0

    def __len__(self):
        return len(self.arrays[0]) // 4

    def __getitem__(self, index):
        self.read += 4
        parts = tuple(array[4 * index : 4 * index + 4] for array in self.arrays)
        return parts if len(parts) > 1 else parts[0]


def generator(*arrays):
    return iter(InBatches(*arrays)[i] for i in range(len(arrays[0]) // 4))


def dataset(*arrays):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(4)


def loader(*arrays):
    torch = pytest.importorskip("torch")
    tensors = torch.utils.data.TensorDataset(*map(torch.from_numpy, arrays))
    return torch.utils.data.DataLoader(tensors, batch_size=4)


SOURCES = [InBatches, generator, dataset, loader]


@pytest.fixture(scope="module")
def model():
    model = tiny_vae()
    model.compile(jit_compile=False)
    return model


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ([255 * IMAGES], ValueError, r"x must hold floats in \[0, 1\]; got .* divide by 255"),
        ([2 * IMAGES - 1], ValueError, r"For images from -1 to 1, pass \(x \+ 1\) / 2"),
        ([np.full_like(IMAGES, np.nan)], ValueError, "got NaN or infinity"),
        ([IMAGES, 1 - IMAGES], ValueError, "y must be x itself.*GaussianNoise"),
        ([IMAGES, np.zeros(N, "float32")], ValueError, "y must be x itself"),
        ([IMAGES.astype("int32")], TypeError, "x must be uint8"),
        ([IMAGES[:, :-1]], ValueError, "x must hold images of 36 values.*got 35 an image"),
    ],
)
def test_batches_are_refused_in_one_line(model, source, arrays, error, message):
    for method, options in ((model.fit, {"epochs": 1}), (model.evaluate, {})):
        with pytest.raises(error, match=message) as refused:
            method(source(*arrays), verbose=0, **options)
        assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("source", [generator, InBatches])
def test_a_later_batch_of_another_kind_is_refused(model, source):
    def with_one_other(other):
        batches = [IMAGES[:4], IMAGES[4:8], other, IMAGES[8:12]]
        if source is generator:
            return iter(batches)
        return type("Other", (InBatches,), {"__getitem__": lambda self, i: batches[i]})(IMAGES[:16])

    for other, error in ((IMAGES[:4, :9], ValueError), (IMAGES[:4].astype("int64"), TypeError)):
        with pytest.raises(error, match="x must") as refused:
            model.fit(with_one_other(other), verbose=0)
        assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("source", SOURCES)
def test_validation_batches_are_refused_by_their_name(model, source):
    with pytest.raises(ValueError, match="validation_data must hold floats"):
        model.fit(X, validation_data=source(255 * IMAGES), verbose=0)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # of a generator nobody knows the length
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("twice", [False, True])
def test_sound_batches_train_evaluate_and_predict(model, source, twice):
    arrays = [IMAGES, IMAGES] if twice else [IMAGES]
    history = model.fit(source(*arrays), verbose=0, validation_data=source(*arrays)).history
    assert np.isfinite(history["loss"] + history["val_loss"]).all()
    assert np.isfinite(model.evaluate(source(*arrays), verbose=0, return_dict=True)["loss"])
    np.testing.assert_allclose(model.predict(source(IMAGES), verbose=0), model.reconstruct(IMAGES), atol=1e-5)


def test_loaders_and_datasets_are_read_anew_each_epoch(model):
    for source in (InBatches, dataset, loader):
        assert len(model.fit(source(IMAGES), epochs=3, verbose=0).history["loss"]) == 3


class Count(keras.callbacks.Callback):
    """Counts steps."""

    steps = 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_a_source_that_can_be_read_once_is_read_to_its_end(model):
    tf = pytest.importorskip("tensorflow")
    batches = iter(np.split(IMAGES, 10))
    data = tf.data.Dataset.from_generator(
        lambda: batches, output_signature=tf.TensorSpec((None, PIXELS), tf.float32)
    )
    count = Count()
    model.fit(data, verbose=0, callbacks=[count])
    assert count.steps == 10


def test_every_element_is_read_once_an_epoch(model):
    tf = pytest.importorskip("tensorflow")
    read = []

    def note(x):
        read.append(1)
        return x

    def counted(n):
        data = tf.data.Dataset.from_tensor_slices(IMAGES[:n]).map(
            lambda x: tf.ensure_shape(tf.numpy_function(note, [x], tf.float32), (PIXELS,))
        )
        return data.shuffle(n).batch(4)

    model.fit(counted(N), validation_data=counted(8), epochs=2, verbose=0)
    assert len(read) == 2 * (N + 8)


def test_generators_without_end_stop_at_the_steps(model):
    endless = itertools.cycle(np.split(IMAGES, 10))
    count = Count()
    model.fit(endless, steps_per_epoch=7, epochs=2, verbose=0, callbacks=[count])
    assert count.steps == 14


def test_the_epochs_of_a_dataset_of_ones_own_are_told_to_it(model):
    ended = []

    class Told(InBatches):
        def on_epoch_end(self):
            ended.append(1)

    data = Told(IMAGES)
    model.fit(data, epochs=2, verbose=0)
    assert len(ended) >= 2


# Where the batches, or a callback, break off


def breaks_off_after(n, error=OSError):
    yield from itertools.islice(generator(IMAGES), n)
    raise error("the disk is gone")


class NoDisk(InBatches):
    """The same, that can be asked for any batch."""

    def __getitem__(self, index):
        raise OSError("the disk is gone")


class BreaksOff(keras.callbacks.Callback):
    """Raises after a batch."""

    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt

    on_test_batch_end = on_train_batch_end


@pytest.mark.parametrize("run", ["fit", "evaluate"])
@pytest.mark.parametrize(
    ("make", "error", "callbacks"),
    [
        (lambda: breaks_off_after(0), OSError, None),
        (lambda: breaks_off_after(3), OSError, None),
        (lambda: NoDisk(IMAGES), OSError, None),
        (lambda: InBatches(4 * IMAGES), ValueError, None),
        (lambda: InBatches(IMAGES), KeyboardInterrupt, [BreaksOff()]),
    ],
)
def test_a_model_lives_on_where_a_run_breaks_off(model, run, make, error, callbacks):
    with pytest.raises(error) as raised:
        getattr(model, run)(make(), callbacks=callbacks, verbose=0)
    assert str(raised.value).count("\n") == 0
    assert np.isfinite(model.reconstruct(IMAGES)).all()
    assert np.isfinite(model.evaluate(IMAGES, verbose=0)).all()
    assert np.isfinite(model.fit(IMAGES, verbose=0).history["loss"]).all()
