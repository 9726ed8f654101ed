"""Whatever it is handed, every public function works or raises an error that its docstring names.

The types are read from the `Raises:` sections, so that these and the code cannot drift apart, and a
`ValueError` or `TypeError` must say which argument is meant. One or two arguments of each call are
arbitrary, the others valid.
"""

import builtins
import datetime
import decimal
import fractions
import inspect
import pathlib
import re
import tempfile
import warnings
from functools import cache

import keras
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import (
    SLOWER,
    SQUARES,
    for_all,
    images,
    report,  # noqa: F401
)
from tiny import LATENT, PIXELS, shared_autoencoder, shared_vae

import vae
from vae.training.image_model import ImageModel

# Anything. Whole numbers are small, or so large that no size can be meant: what lies between asks
# honestly for memory or time.

INTS = st.one_of(st.integers(-3, 12), st.sampled_from([2**31, 2**32, 2**63, 10**30, 10**400, -(10**400)]))
TEXTS = st.one_of(
    st.text(max_size=6), st.sampled_from(["line", "mse", "auto", "a\0b", "~\0", "\ud800", "x.png"])
)
NUMPY_SCALARS = st.sampled_from(
    [
        np.int8(3),
        np.uint64(2),
        np.int64(-1),
        np.float16(0.5),
        np.float64("nan"),
        np.longdouble(2),
        np.bool_(True),
        np.str_("line"),
        np.datetime64("2020-01-01"),
        np.complex64(1),
        np.array(2),
        np.ma.masked,
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    INTS,
    st.floats(),
    st.complex_numbers(),
    TEXTS,
    st.binary(max_size=4),
    NUMPY_SCALARS,
    st.sampled_from([fractions.Fraction(1, 3), decimal.Decimal("0.5"), datetime.date(2020, 1, 1)]),
)
OBJECTS = st.one_of(
    st.sampled_from([object(), object, len, np.zeros, range(3), pathlib.Path("x"), Ellipsis, slice(3)]),
    st.builds(lambda: (i for i in range(3))),
    st.builds(iter, st.just([np.zeros((2, PIXELS))])),
    st.builds(keras.ops.zeros, st.sampled_from([(2, PIXELS), (2, 2), ()])),
    st.builds(shared_autoencoder),
)
NESTED = st.recursive(
    st.one_of(SCALARS, OBJECTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=3), inner, max_size=2),
        st.sets(st.integers(-2, 9), max_size=3),
    ),
    max_leaves=6,
)
DTYPES = st.one_of(
    hnp.scalar_dtypes(),
    hnp.floating_dtypes(),
    st.sampled_from(["u1", "longdouble", "clongdouble", "O", "S2", "U2"]).map(np.dtype),
    hnp.array_dtypes(max_size=2),
)
SHAPES = st.one_of(
    hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=3),
    st.sampled_from(
        [(3,), (3, PIXELS), (3, 6, 6), (3, 6, 6, 1), (1, PIXELS), (PIXELS,), (3, 2), (1, 2), (2,)]
    ),
)


def _array(dtype, shape):
    if dtype.hasobject and dtype.names is None and dtype.subdtype is None:
        return hnp.arrays(dtype, shape, elements=SCALARS, fill=st.none())
    return hnp.arrays(dtype, shape)


def _memmap(array):
    if array.size == 0 or array.dtype.hasobject:
        return array
    with tempfile.NamedTemporaryFile() as file:
        mapped = np.memmap(file, array.dtype, "w+", shape=array.shape)
        mapped[...] = array
    return mapped


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS = st.sampled_from(
    [
        lambda a: a,
        lambda a: a[::-1] if a.ndim else a,
        lambda a: a.T,
        lambda a: a[..., ::2] if a.ndim else a,
        np.asfortranarray,
        _read_only,
        lambda a: a if a.dtype.names else np.ma.array(a),
        lambda a: a if a.dtype.names else np.ma.array(a, mask=True),
        lambda a: a.tolist(),
        lambda a: np.asmatrix(a) if a.ndim == 2 else a,
        _memmap,
    ]
)
ARRAYS = st.builds(
    lambda layout, array: layout(array),
    LAYOUTS,
    st.builds(_array, DTYPES, SHAPES).flatmap(lambda arrays: arrays),
)
ANYTHING = st.one_of(ARRAYS, NESTED)
UNCALLABLE = ANYTHING.filter(lambda value: not callable(value))  # functions are used as they are

# Valid arguments

SIZES, FLAGS, SEEDS = st.integers(1, 3), st.booleans(), st.one_of(st.none(), st.integers(0, 9))
UNITS = st.lists(SIZES, max_size=2)
IMAGES = images(3, SQUARES)
LABELS = st.sampled_from([[1, 2, 1], ["a", "b", "b"], np.array([0.5, 1, 2]), None])
GIVEN_LABELS = LABELS.filter(lambda labels: labels is not None)
POINTS = st.sampled_from([np.zeros((3, LATENT)), np.eye(3, LATENT), [[0, 1], [2, 3], [1, 1]]])
FLOATS = st.sampled_from([np.zeros((3, 4), np.float32), np.full((3, 4), 0.5)])
ONE = images(1, SQUARES).map(lambda x: x[0])
ONE_2D = images(1, [(6, 6)]).map(lambda x: x[0])
SQUARE = st.sampled_from([None, (6, 6), (6, 6, 1)])
NAMES, BETAS = st.sampled_from(["Model", "m"]), st.floats(0, 9)
ACTIVATIONS, INITIALIZERS = st.sampled_from(["relu", None]), st.sampled_from(["zeros", "he_normal"])
MODELS = st.builds(shared_vae)
EITHER_MODELS = st.one_of(MODELS, st.builds(shared_autoencoder))
ANY_MODELS = st.one_of(
    EITHER_MODELS, st.sampled_from(["encoder", "decoder"]).map(lambda part: getattr(shared_vae(), part))
)
RECONSTRUCTIONS = st.sampled_from(["mse", "bernoulli", "gaussian", vae.bernoulli_loss])


pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning:hypothesis")  # casts of what it draws


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for what is written under relative names
    for make in (shared_vae, shared_autoencoder, shared_quality):
        make()  # not while hypothesis draws: they take random weights
    (tmp_path / "images").mkdir()
    from PIL import Image

    for name in "ab":
        Image.new("L", (3, 3)).save(tmp_path / "images" / f"{name}.png")


@cache
def shared_quality():
    return vae.SampleQuality(np.eye(3, PIXELS), [1, 2, 1], epochs=1)


def _film():
    film = vae.TrainingFilm(np.zeros((3, PIXELS)), n=2)
    film.set_model(shared_vae())
    film.on_train_begin()
    return film


DENSE = {"activation": ACTIVATIONS, "kernel_initializer": INITIALIZERS, "name": NAMES}
RUN = {"x": IMAGES, "y": st.none(), "batch_size": st.sampled_from([None, 2]), "verbose": st.just(0)}
PICTURES = {"images": IMAGES, "labels": LABELS, "n": SIZES, "image_shape": SQUARE}
SHAPE = st.sampled_from([(6, 6, 1), [2, 3, 1]])
CHEAP = {  # function: valid arguments
    "flatten": {"images": IMAGES},
    "kl_divergence": {"z_mean": FLOATS, "z_log_sigma": FLOATS},
    "reconstruction_loss": {"x": FLOATS, "reconstruction": FLOATS},
    "bernoulli_loss": {"x": FLOATS, "reconstruction": FLOATS},
    "reparameterize": dict.fromkeys(["z_mean", "z_log_sigma", "epsilon"], FLOATS),
    "vae_loss": {**dict.fromkeys(["x", "reconstruction", "z_mean", "z_log_sigma"], FLOATS), "beta": BETAS},
    "Sampling": {"seed": SEEDS},
    "BetaWarmUp": {"epochs": SIZES, "beta": BETAS},
    "TrainingFilm": {"x": IMAGES, "labels": LABELS, "n": SIZES, "limit": st.just(2.0), "every": SIZES},
    "EpochLog": {},
    "active_units": {"z_mean": POINTS, "threshold": BETAS},
    "nearest_neighbor_accuracy": {"z": POINTS, "labels": GIVEN_LABELS},
    "frechet_distance": {"a": POINTS, "b": POINTS},
    "load_mnist": {"path": st.just("nowhere")},
    "load_dataset": {"name": st.just("digits")},
    "load_model": {"path": st.just("nowhere.keras")},
    "load_images": {
        "folder": st.just("images"),
        "size": st.just((2, 3)),
        "color": st.sampled_from(["grayscale", "rgb"]),
        "test_share": st.floats(0, 0.9),
        "seed": SEEDS,
    },
    "class_center": {"model": MODELS, "x": IMAGES, "labels": st.just([1, 2, 1]), "label": st.just(1)},
    "interpolate": {
        "model": MODELS,
        "start": ONE,
        "end": ONE,
        "n": st.integers(2, 4),
        "path": st.just("line"),
    },
    "VAE.encode": {"x": IMAGES},
    "Autoencoder.encode": {"x": IMAGES},
    "Autoencoder.losses_per_image": {"x": IMAGES},
    "VAE.decode": {"z": POINTS},
    "VAE.generate": {"n": SIZES, "seed": SEEDS, "out": st.none()},
    "VAE.losses_per_image": {"x": IMAGES, "epsilon": st.one_of(st.none(), POINTS)},
    "plot_digits": PICTURES,
    "plot_rows": {
        "rows": st.fixed_dictionaries({"a": IMAGES, "b": IMAGES}),
        "titles": st.just(()),
        "image_shape": SQUARE,
    },
    "plot_digit": {"model": ANY_MODELS, "z": st.just([0.0, 1.0]), "image_shape": SQUARE},
    "plot_digit_grid": {
        "model": ANY_MODELS,
        "n": SIZES,
        "spacing": st.sampled_from(["even", "quantiles"]),
        "limits": st.just((-1, 1)),
        "axes": st.just((0, 1)),
        "image_shape": SQUARE,
    },
    "plot_latent_space": {
        "z_mean": POINTS,
        "labels": LABELS,
        "static": FLAGS,
        "title": st.sampled_from([None, "title"]),
        "name": st.sampled_from(["z_mean", "code"]),
    },
    "plot_loss": {"history": st.just({"loss": [1.0, 2.0]})},
    "plot_training_film": {"film": st.builds(_film), "static": FLAGS, "image_shape": SQUARE},
    "plot_architecture": {"image": ONE_2D, "reconstruction": ONE_2D},
    "plot_algorithms": {"static": FLAGS},
    "describe_device": {"require_gpu": st.just(False)},
}
COSTLY = {
    "VAE.save": {"filepath": st.just("model.keras"), "overwrite": FLAGS},
    "SampleQuality.classify": {"images": IMAGES},
    "SampleQuality.__call__": {"generated": IMAGES, "real": IMAGES},
    "build_encoder": {"input_dim": SIZES, "hidden_units": UNITS, "latent_dim": SIZES, "seed": SEEDS, **DENSE},
    "build_decoder": {
        "latent_dim": SIZES,
        "hidden_units": UNITS,
        "output_dim": SIZES,
        "output_activation": ACTIVATIONS,
        **DENSE,
    },
    "build_conv_encoder": {
        "image_shape": SHAPE,
        "filters": UNITS,
        "latent_dim": SIZES,
        "hidden_units": UNITS,
        "seed": SEEDS,
        **DENSE,
    },
    "build_conv_decoder": {
        "latent_dim": SIZES,
        "filters": UNITS,
        "image_shape": SHAPE,
        "hidden_units": UNITS,
        "output_activation": ACTIVATIONS,
        **DENSE,
    },
    "build_autoencoder": {
        "input_dim": SIZES,
        "hidden_units": UNITS,
        "latent_dim": SIZES,
        "output_activation": ACTIVATIONS,
        **DENSE,
    },
    "VAE": {
        "encoder": st.builds(lambda: shared_vae().encoder),
        "decoder": st.builds(lambda: shared_vae().decoder),
        "beta": BETAS,
        "reconstruction": RECONSTRUCTIONS,
    },
    "Autoencoder": {
        "encoder": st.builds(lambda: shared_autoencoder().encoder),
        "decoder": st.builds(lambda: shared_autoencoder().decoder),
        "reconstruction": RECONSTRUCTIONS,
    },
    "VAE.reconstruct": {"x": IMAGES},
    "VAE.predict": {name: RUN[name] for name in ("x", "batch_size", "verbose")},
    "VAE.evaluate": RUN,
    "VAE.fit": {
        **RUN,
        "epochs": st.just(1),
        "callbacks": st.sampled_from([None, [vae.EpochLog()]]),
        "validation_split": st.sampled_from([0.0, 0.4]),
        "validation_data": st.one_of(st.none(), IMAGES),
        "checkpoint": st.none(),
    },
    "VAE.train_on_batch": {"x": IMAGES, "y": st.none()},
    "VAE.test_on_batch": {"x": IMAGES, "y": st.none()},
    "anomaly_score": {"model": MODELS, "x": IMAGES, "n_samples": SIZES, "seed": SEEDS},
    "elbo": {"model": MODELS, "x": IMAGES, "n_samples": SIZES, "seed": SEEDS},
    "log_likelihood": {"model": MODELS, "x": IMAGES, "n_samples": SIZES, "seed": SEEDS},
    "SampleQuality": {
        "images": IMAGES,
        "labels": GIVEN_LABELS,
        "epochs": st.just(1),
        "seed": st.integers(0, 9),
    },
    "plot_reconstructions": {"model": EITHER_MODELS, **PICTURES},
    "plot_latent_intuition": {
        "autoencoder": st.builds(shared_autoencoder),
        "model": MODELS,
        "images": IMAGES,
        "labels": GIVEN_LABELS,
        "n": SIZES,
    },
    "plot_comparison": {
        "models": st.builds(lambda: {"a": shared_vae(), "b": shared_vae()}),
        "images": IMAGES,
        "labels": LABELS,
        "n": SIZES,
        "image_shape": SQUARE,
    },
    "plot_model": {
        "model": ANY_MODELS,
        "to_file": st.none(),
        "dpi": st.just(30),
        "rankdir": st.sampled_from(["TB", "LR"]),
    },
    "explore": {
        "model": MODELS,
        "images": IMAGES,
        "labels": LABELS,
        "autoencoder": st.one_of(st.none(), st.builds(shared_autoencoder)),
        "path": st.just("latent.html"),
        "image_shape": SQUARE,
        "title": st.sampled_from([None, "title"]),
    },
    "show": {"plot": st.just(vae.plot_algorithms), "html": st.none()},
}


def test_every_public_function_is_tried():
    others = {
        "Dataset",
        "DatasetIntegrityError",
        "DatasetUnavailableError",
        "ModelFileError",
        "builders",
        "evaluation",
        "exact_log_likelihood",  # a call takes seconds: test_exact.py tries what it refuses
        "layers",
        "load_digits",
        "losses",
        "show_code",  # takes any number of functions: test_code.py tries it
    }
    tried = {name.partition(".")[0] for name in [*CHEAP, *COSTLY]}
    assert tried == set(vae.__all__) - others


def documented_errors(function):
    """Return the types in a docstring's section `Raises:`; for methods of models, also those of the class."""
    docs = [inspect.getdoc(function)]
    if isinstance(getattr(function, "__self__", None), ImageModel):
        docs.append(inspect.getdoc(ImageModel))
    sections = [doc.partition("\nRaises:\n")[2].partition("\n\n")[0] for doc in docs]
    names = re.findall(r"^    (\w+): ", "\n".join(sections), re.MULTILINE)
    return tuple(getattr(builtins, name, None) or getattr(vae, name) for name in dict.fromkeys(names))


def call(name, arguments):
    """Call a function; its documented errors, if they name an argument, are as good as a result."""
    owner, _, method = name.rpartition(".")
    owners = {
        "": vae,
        "VAE": shared_vae(),
        "Autoencoder": shared_autoencoder(),
        "SampleQuality": shared_quality(),
    }
    function = getattr(owners[owner], method)
    allowed, error = documented_errors(function), None
    try:
        with warnings.catch_warnings():
            if name == "load_images":  # documented: one warning gives the number of skipped files
                warnings.simplefilter("ignore", UserWarning)
            function(**arguments)
    except allowed as caught:
        error = caught
    if error is None or isinstance(error, vae.DatasetIntegrityError):
        return
    assert type(error) in allowed, f"{name} raises {type(error).__name__}, which its docs do not name"
    if isinstance(error, ValueError | TypeError):
        parameters = "|".join(inspect.signature(function).parameters)
        assert re.search(rf"\b({parameters})\b", str(error)), f"no argument is named: {error}"


def with_victims(valid):
    """Draw valid arguments, of which one or two are replaced by anything."""
    victims = st.sets(st.sampled_from(sorted(valid)), min_size=1, max_size=2) if valid else st.just(set())
    return victims.flatmap(
        lambda names: st.fixed_dictionaries(
            {
                k: v if k not in names else ANYTHING if v not in (ACTIVATIONS, INITIALIZERS) else UNCALLABLE
                for k, v in valid.items()
            }
        )
    )


@SLOWER
@pytest.mark.parametrize("name", CHEAP)
def test_errors_are_documented(times, name):
    @for_all(times, with_victims(CHEAP[name]))
    def holds(arguments):
        call(name, arguments)


@SLOWER
@pytest.mark.parametrize("name", COSTLY)
def test_errors_of_costly_functions_are_documented(times, name):
    @for_all(times if times == 1 else times // 4, with_victims(COSTLY[name]))
    def holds(arguments):
        call(name, arguments)
