"""What may be handed to a model: arrays in many forms, what yields batches; and what may not."""

import math

import keras
import numpy as np
import pytest
from tiny import BOTH, PIXELS, X, fit, tiny_vae

import vae

# Arrays


@pytest.fixture(scope="module")
def first_loss():
    return fit(tiny_vae(), shuffle=False)["loss"][0]


@pytest.mark.parametrize(
    "data",
    [
        lambda x: {"x": x, "y": x},
        lambda x: {"x": x, "y": x.copy()},
        lambda x: {"x": x, "validation_data": x},
        lambda x: {"x": x, "validation_data": (x, x)},
        lambda x: {"x": x, "validation_data": (x,)},
        lambda x: {"x": x.reshape(-1, 6, 6)},
        lambda x: {"x": x.astype("float64")},
        lambda x: {"x": x.tolist()},
    ],
)
def test_every_way_to_hand_in_images_trains_the_same(data, first_loss):
    assert fit(tiny_vae(), **data(X), shuffle=False)["loss"][0] == pytest.approx(first_loss, rel=1e-5)


@pytest.fixture(scope="module", params=BOTH)
def model(request):
    """A VAE, then an autoencoder, for tests that only ask what it takes."""
    return request.param()


@pytest.mark.parametrize(
    "method", ["fit", "evaluate", "predict", "encode", "reconstruct", "losses_per_image"]
)
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.full((2, PIXELS), 255.0), ValueError, r"got values from 255 to 255\. .* divide by 255"),
        (np.full((2, PIXELS), -0.1), ValueError, "must hold floats in"),
        (np.full((2, PIXELS), np.nan), ValueError, "got NaN or infinity"),
        (np.full((2, PIXELS), np.inf), ValueError, "got NaN or infinity"),
        (np.zeros((0, PIXELS)), ValueError, "at least one image"),
        (np.zeros(PIXELS), ValueError, r"must have shape \(n, pixels\).*got shape \(36,\)"),
        (np.zeros((1, 1, 1, 6, 6)), ValueError, "must have shape"),
        (np.zeros((2, 100)), ValueError, "images of 36 values.*got 100 an image"),
        (np.zeros((2, PIXELS), object), TypeError, "dtype object"),
        (np.zeros((2, PIXELS), "int64"), TypeError, r"dtype int64.*astype\(\"uint8\"\)"),
        (np.zeros((2, PIXELS), complex), TypeError, "dtype complex"),
    ],
)
def test_bad_images_are_refused(model, method, x, error, message):
    with pytest.raises(error, match=message):
        getattr(model, method)(x)


def test_bad_validation_images_are_named(model):
    with pytest.raises(ValueError, match="validation_data must hold floats"):
        fit(model, validation_data=255 * X)
    with pytest.raises(ValueError, match="validation_data must be x or"):
        fit(model, validation_data=(X, X, np.ones(16)))
    with pytest.raises(ValueError, match="y must be validation_data itself"):
        fit(model, validation_data=(X, 1 - X))


def test_other_targets_and_weights_are_refused(model):
    with pytest.raises(ValueError, match="y must be x itself"):
        model.fit(X, 1 - X)
    with pytest.raises(ValueError, match="y must be x itself"):
        model.fit(X, np.zeros(16))
    for name in ("sample_weight", "class_weight"):
        with pytest.raises(ValueError, match=f"{name} is not supported"):
            model.fit(X, **{name: np.ones(16)})
    with pytest.raises(ValueError, match="sample_weight is not supported"):
        model.evaluate(X, sample_weight=np.ones(16))
    with pytest.raises(ValueError, match="y must be x itself"):
        model.evaluate(X, np.zeros(16))


@pytest.mark.parametrize("x", [None, "images", {"x": 1}, 3.0])
def test_what_holds_no_images_is_a_type_error(model, x):
    for method in (model.fit, model.evaluate, model.predict):
        with pytest.raises(TypeError, match="x must be images, or yield batches of them"):
            method(x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a positive"),
        ({"batch_size": 2.5}, "batch_size must be a positive"),
        ({"epochs": 0}, "epochs must be a positive"),
        ({"validation_split": 1.5}, "validation_split must"),
        ({"validation_split": -0.1}, "validation_split must"),
        ({"verbose": 3}, "verbose must be"),
    ],
)
def test_runs_that_make_no_sense_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.fit(X, **options)


@pytest.mark.parametrize(("n", "share"), [(1, 0.5), (3, 0.999)])
def test_a_share_must_leave_images_on_both_sides(model, n, share):
    with pytest.raises(ValueError, match="validation_split must leave images on both sides"):
        model.fit(X[:n], validation_split=share)


# What yields batches


def batches_of(*arrays, size=4):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(arrays if len(arrays) > 1 else arrays[0]).batch(size)


@pytest.mark.parametrize("arrays", [(X,), (X, X), (X.reshape(-1, 6, 6),)])
@pytest.mark.parametrize("make", BOTH)
def test_datasets_train_too(make, arrays):
    batches = batches_of(*arrays, size=5)
    assert math.isfinite(make().fit(batches, verbose=0, validation_data=batches).history["val_loss"][0])


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # of unknown length, too
@pytest.mark.parametrize("shape", [(None, None), None])
def test_datasets_of_open_shapes_train(shape):
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_generator(
        lambda: iter([X[:8], X[8:]]), output_signature=tf.TensorSpec(shape, tf.float32)
    )
    assert len(tiny_vae().fit(data, verbose=0).history["loss"]) == 1


def test_datasets_with_labels_or_wrong_sizes_are_refused(model):
    with pytest.raises(ValueError, match="y must be x itself"):
        model.fit(batches_of(X, np.zeros(16)), verbose=0)
    with pytest.raises(ValueError, match="x must hold images of 36 values"):
        model.fit(batches_of(np.zeros((4, 2 * PIXELS), "float32")), verbose=0)
    with pytest.raises(TypeError, match="x must be uint8"):
        model.fit(batches_of(np.zeros((4, PIXELS), "int32")), verbose=0)


def test_no_share_can_be_taken_of_what_yields_batches(model):
    with pytest.raises(ValueError, match="validation_split needs images in an array"):
        model.fit(batches_of(X), validation_split=0.5)


class Pairs(keras.utils.PyDataset):
    """Two batches of images and something else."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X[:4], 1 - X[:4]


def test_batches_that_come_from_elsewhere_are_checked_too(model):
    for data in (batches_of(X, 1 - X), Pairs()):
        with pytest.raises(ValueError, match="y must be x itself"):
            model.fit(data, verbose=0)
    with pytest.raises(ValueError, match="divide by 255"):
        model.fit(batches_of(255 * X), verbose=0)


def test_single_batches_are_checked_and_stepped_over(model):
    for step in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="y must be x itself"):
            step(X, 1 - X)
        with pytest.raises(ValueError, match="divide by 255"):
            step(255 * X)
        assert np.isfinite(step(X)).all()


# The shape: as the encoder's, but for a last axis of 1, or flat

TALL = (6, 4, 3)
OTHERS = [(3, 6, 4), (4, 6, 3), (6, 3, 4), (24, 3), (2, 12, 3)]


@pytest.fixture(scope="module")
def tall():
    model = tiny_vae(shape=TALL)
    model.compile(jit_compile=False)
    return model


def uses(model, x):
    """Every way to hand images to a model."""
    labels = np.arange(len(x)) % 2
    tf_batches = [lambda: model.fit(batches_of(x), verbose=0)] if x.ndim > 1 else []
    return [
        lambda: model.fit(x, verbose=0),
        lambda: model.fit(model_images(model), validation_data=x, verbose=0),
        lambda: model.evaluate(x, verbose=0),
        lambda: model.predict(x, verbose=0),
        lambda: model.encode(x),
        lambda: model.reconstruct(x),
        lambda: model.losses_per_image(x),
        lambda: model(x),
        lambda: model.train_on_batch(x),
        lambda: model.test_on_batch(x),
        lambda: vae.elbo(model, x),
        lambda: vae.log_likelihood(model, x, 2),
        lambda: vae.interpolate(model, x[0], x[1], n=2),
        lambda: vae.class_center(model, x, labels, 0),
        lambda: vae.plot_reconstructions(model, x, image_shape=TALL),
        *tf_batches,
    ]


def model_images(model):
    return np.random.default_rng(0).random((4, *model.encoder.input_shape[1:]), np.float32)


@pytest.mark.parametrize("shape", OTHERS)
def test_as_many_pixels_in_another_shape_are_refused_everywhere(tall, shape):
    x = np.random.default_rng(0).random((4, *shape), np.float32)
    for use in uses(tall, x):
        with pytest.raises(ValueError, match=r"\(None, 6, 4, 3\).*got .*" + ", ".join(map(str, shape))):
            use()


def test_flat_images_and_a_last_axis_of_one_are_taken_everywhere(tall):
    for use in uses(tall, model_images(tall).reshape(4, -1)):
        use()
    grey = tiny_vae(shape=(6, 4, 1))
    grey.compile(jit_compile=False)
    for shape in ((6, 4), (6, 4, 1), (24,)):
        assert grey.predict(model_images(grey).reshape(4, *shape), verbose=0).shape == (4, *shape)
        fit(grey, model_images(grey).reshape(4, *shape))
    with pytest.raises(ValueError, match=r"\(None, 6, 4, 1\).*\(4, 4, 6\)"):
        grey.encode(model_images(grey).reshape(4, 4, 6))


def test_a_flat_model_takes_images_of_any_shape(model):
    for shape in ((6, 6), (6, 6, 1), (4, 9), (3, 4, 3)):
        assert model.reconstruct(X.reshape(-1, *shape)).shape == (16, *shape)


# Images of 0 and 1


ZEROS_AND_ONES = (X > 0.5).astype("uint8")


def advice_in(warned):
    """Return the warnings that are this package's; on PyTorch, Keras has some of its own."""
    return [warning for warning in warned if "holds no value above 1" in str(warning.message)]


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "encode", "reconstruct"])
def test_images_of_0_and_1_as_uint8_are_warned_of_once(model, method):
    with pytest.warns(UserWarning, match=r'x holds no value above 1.*x\.astype\("float32"\)') as warned:
        getattr(model, method)(ZEROS_AND_ONES)
    assert len(advice_in(warned)) == 1
    assert warned[0].filename == __file__


@pytest.mark.parametrize("x", [np.zeros((3, PIXELS), "uint8"), 2 * ZEROS_AND_ONES, 255 * ZEROS_AND_ONES])
def test_black_and_other_images_are_not(model, x, recwarn):
    model.encode(x)
    model.encode(np.concatenate([np.zeros((3, PIXELS), "uint8"), 2 * ZEROS_AND_ONES]))
    assert not advice_in(recwarn.list)


def test_figures_and_flatten_warn_too():
    for use in (vae.flatten, vae.plot_digits):
        with pytest.warns(UserWarning, match="images holds no value above 1"):
            use(ZEROS_AND_ONES)


@pytest.mark.parametrize(
    ("x", "error", "advice"),
    [
        (X > 0.5, TypeError, r'dtype bool.*images of 0 and 1 with x\.astype\("float32"\)'),
        (ZEROS_AND_ONES.astype("int64"), TypeError, r'int64.*images of 0 and 1 with x\.astype\("float32"\)'),
        (255 * ZEROS_AND_ONES.astype("int64"), TypeError, r'0 to 255 with x\.astype\("uint8"\)'),
        (2 * X - 1, ValueError, r"For images from -1 to 1, pass \(x \+ 1\) / 2"),
        (255 * X, ValueError, "For images of 0 to 255, divide by 255"),
    ],
)
def test_the_advice_is_right_for_what_came(model, x, error, advice):
    for method in (model.fit, model.encode):
        with pytest.raises(error, match=advice):
            method(x)


def test_a_dataset_object_is_told_its_images(model, digits):
    with pytest.raises(TypeError, match=r"got a vae\.Dataset: pass its x_train"):
        model.fit(digits)


def test_who_wants_to_denoise_is_told_how(model):
    with pytest.raises(ValueError, match="GaussianNoise layer"):
        model.fit(np.clip(X + 0.1, 0, 1), X)
