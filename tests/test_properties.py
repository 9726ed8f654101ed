"""What must hold for every input: laws of the formulas, round trips, figures of any valid numbers.

Each property is tried on 50 inputs, always the same ones; `pytest -m slow` tries 2,000 new ones.
"""

import io
import itertools
from functools import cache

import keras
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.figure import Figure
from strategies import (
    SLOWER,
    SQUARES,
    codes,
    for_all,
    images,
    report,  # noqa: F401
)
from tiny import LATENT, PIXELS, shared_autoencoder, shared_vae, tiny_vae, to_numpy

import vae
from vae.data import to_float32, to_uint8

# Formulas


@SLOWER
def test_kl_is_never_negative_and_zero_at_the_prior_only(times):
    @for_all(times, codes(-40, 40))
    def holds(pair):
        z_mean, z_log_sigma = pair
        kl = to_numpy(vae.kl_divergence(z_mean, z_log_sigma))
        assert kl.shape == (len(z_mean),)
        assert np.isfinite(kl).all()
        assert (kl >= 0).all()
        far = (np.maximum(abs(z_mean), abs(z_log_sigma)) > 1e-3).any(axis=1)
        assert (kl[far] > 0).all()
        assert (kl[~z_mean.any(axis=1) & ~z_log_sigma.any(axis=1)] == 0).all()


@SLOWER
def test_vae_loss_is_the_sum_of_its_terms(times):
    @for_all(times, codes(-5, 5), st.floats(0, 100), st.integers(0, 2**32))
    def holds(pair, beta, seed):
        x, reconstruction = np.random.default_rng(seed).random((2, len(pair[0]), 5), dtype=np.float32)
        terms = vae.reconstruction_loss(x, reconstruction), vae.kl_divergence(*pair)
        whole = to_numpy(vae.vae_loss(x, reconstruction, *pair, beta=beta))
        np.testing.assert_allclose(whole, to_numpy(terms[0]) + beta * to_numpy(terms[1]), rtol=1e-5)
        assert (to_numpy(terms[0]) >= 0).all()
        assert (to_numpy(vae.bernoulli_loss(x, reconstruction)) >= 0).all()


@SLOWER
def test_reparameterize_moves_and_stretches_the_noise(times):
    @for_all(times, codes(-5, 5), st.integers(0, 2**32))
    def holds(pair, seed):
        epsilon = np.random.default_rng(seed).standard_normal(pair[0].shape).astype(np.float32)
        z = to_numpy(vae.reparameterize(*pair, epsilon))
        np.testing.assert_allclose(z, pair[0] + np.exp(pair[1]) * epsilon, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(to_numpy(vae.reparameterize(*pair, 0 * epsilon)), pair[0])


@SLOWER
def test_sampling_keeps_the_shape(times):
    sampling = vae.Sampling(seed=0)

    @for_all(times, codes(-15, 15))
    def holds(pair):
        z = to_numpy(sampling(list(pair)))
        assert z.shape == pair[0].shape
        assert np.isfinite(z).all()
        still = to_numpy(sampling([pair[0], np.full_like(pair[0], -15)]))  # sigma = 3e-7
        np.testing.assert_allclose(still, pair[0], atol=1e-5)


# Images


@SLOWER
def test_flatten_keeps_the_values(times):
    @for_all(times, images())
    def holds(x):
        flat = vae.flatten(x)
        assert flat.shape == (len(x), x[0].size)
        assert flat.dtype == np.float32
        assert flat.flags.c_contiguous
        wanted = x.reshape(len(x), -1).astype(np.float64) / (255 if x.dtype == np.uint8 else 1)
        np.testing.assert_allclose(flat, wanted, atol=1e-7)


@SLOWER
def test_to_float32_and_to_uint8_undo_each_other(times):
    @for_all(times, hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=8)))
    def holds(x):
        np.testing.assert_array_equal(to_uint8(to_float32(x)), x)


# The model


@SLOWER
def test_reconstructions_keep_the_shape(times):
    @for_all(times, images(), st.sampled_from([None, (6, 6, 1)]))
    def holds(x, shape):
        x = x if shape is None or x.shape[1:] in SQUARES else x.reshape(len(x), -1)
        result = shared_vae(shape=shape).reconstruct(x)
        assert result.shape == x.shape
        assert result.dtype == np.float32
        assert np.isfinite(result).all()


@SLOWER
def test_codes_of_an_autoencoder_decode_to_its_reconstructions(times):
    @for_all(times, images(shapes=SQUARES))
    def holds(x):
        model = shared_autoencoder()
        code = model.encode(x)
        assert (code.shape, code.dtype) == ((len(x), LATENT), np.float32)
        images = model.decode(code)
        np.testing.assert_allclose(images, model.reconstruct(x).reshape(len(x), PIXELS), atol=1e-5)
        expected = ((vae.flatten(x) - images) ** 2).sum(axis=1)
        np.testing.assert_allclose(model.losses_per_image(x)[0], expected, rtol=1e-4, atol=1e-5)


@SLOWER
def test_losses_depend_on_neither_order_nor_batches(times):
    @for_all(times, images(), st.sampled_from(["mse", "bernoulli"]), st.randoms(use_true_random=False))
    def holds(x, kind, random):
        model, n = shared_vae(kind), len(x)
        epsilon = np.random.default_rng(random.randrange(2**32)).standard_normal((n, LATENT))
        whole = np.array(model.losses_per_image(x, epsilon))
        order = random.sample(range(n), n)
        shuffled = np.array(model.losses_per_image(x[order], epsilon[order]))
        np.testing.assert_allclose(shuffled, whole[:, order], rtol=1e-4, atol=1e-5)
        cut = random.randint(1, n)
        parts = [slice(0, cut), slice(cut, n)][: 2 if cut < n else 1]
        pieces = np.concatenate([model.losses_per_image(x[part], epsilon[part]) for part in parts], axis=1)
        np.testing.assert_allclose(pieces, whole, rtol=1e-4, atol=1e-5)


@SLOWER
def test_interpolation_begins_and_ends_at_the_reconstructions(times):
    @for_all(times, images(n=2), st.integers(2, 6), st.sampled_from(["line", "sphere"]))
    def holds(x, n, path):
        model = shared_vae()
        try:
            way = vae.interpolate(model, x[0], x[1], n=n, path=path)
        except ValueError as error:
            assume("path='sphere'" not in str(error))
            raise
        assert way.shape == (n, PIXELS)
        ends = model.reconstruct(x).reshape(2, -1)
        np.testing.assert_allclose(way[[0, -1]], ends, atol=1e-5)


@cache
def _trainer(steps):
    model = tiny_vae((3,), noise=0)
    model.compile(keras.optimizers.SGD(1e-3), steps_per_execution=steps, jit_compile=False)
    return model, model.get_weights()


@SLOWER
def test_training_in_chunks_changes_nothing(times):
    sizes = st.tuples(st.integers(1, 9), st.sampled_from([1, 2, 3]), st.sampled_from([2, 3, 5]))

    @for_all(times, sizes, st.integers(0, 2**32 - 1), st.integers(1, 2), quick=10)
    def holds(sizes, seed, epochs):
        n, batch_size, steps = sizes
        x = np.random.default_rng(seed).random((n, PIXELS), dtype=np.float32)
        records = []
        for model, _ in (_trainer(k) for k in (1, steps)):
            keras.utils.set_random_seed(seed)
            model.set_weights(_trainer(1)[1])
            _rewind(model)
            history = model.fit(x, batch_size=batch_size, epochs=epochs, verbose=0)
            records.append((history.history, model.get_weights()))
        for name in records[0][0]:
            np.testing.assert_allclose(records[1][0][name], records[0][0][name], rtol=1e-5)
        for one, other in zip(records[0][1], records[1][1], strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-7)


def _rewind(model):
    """Set the noise of the sampling layer back to its start."""
    generator = model.encoder.get_layer("Z-Sampling-Layer").seed_generator
    generator.state.assign(keras.random.SeedGenerator(0).state)


@SLOWER
def test_loaded_models_encode_alike(times, tmp_path):
    loaded = {}
    for kind, shape in itertools.product(("mse", "bernoulli"), (None, (6, 6, 1))):
        path = tmp_path / f"{kind}-{shape is None}.keras"
        shared_vae(kind, shape).save(path)
        loaded[kind, shape] = vae.load_model(path)

    @for_all(times, images(), st.sampled_from(list(loaded)))
    def holds(x, key):
        x = x if key[1] is None or x.shape[1:] in SQUARES else x.reshape(len(x), -1)
        for one, other in zip(shared_vae(*key).encode(x), loaded[key].encode(x), strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-6)


# Figures: every valid input is drawn


def labels(n):
    """One label an image, of any kind, or none."""
    kinds = [
        st.integers(-3, 3),
        st.integers(0, 10**6),
        st.booleans(),
        st.floats(),
        st.text("abcXYZ 0123$\\_^{}<>&%'\"\n", max_size=5),
        st.sampled_from(["$", "$x$", r"\frac", "_", "<b>", "a\nb", "%{x}"]),
        st.binary(max_size=3),
        st.none(),
    ]
    return st.one_of(st.none(), *(st.lists(kind, min_size=n, max_size=n) for kind in kinds))


def check_figure(figure, roll):
    """Render one figure in ten: it takes long."""
    if isinstance(figure, Figure):
        assert figure.axes
        if roll == 0:
            figure.savefig(io.BytesIO(), format="png", dpi=30)
    else:
        assert figure.to_json()


ROLL = st.integers(0, 9)


@SLOWER
def test_digits_are_drawn(times):
    @for_all(times, images(n=3), labels(3), st.integers(1, 4), ROLL, quick=15)
    def holds(x, names, n, roll):
        figure = vae.plot_digits(x, names, n=n)
        assert len(figure.axes) == min(n, 3)
        check_figure(figure, roll)


@SLOWER
def test_reconstructions_are_drawn(times):
    models = [shared_vae(), shared_vae(shape=(6, 6, 1)), shared_autoencoder()]

    @for_all(times, st.sampled_from(models), images(3, SQUARES), labels(3), st.integers(1, 4), ROLL, quick=15)
    def holds(model, x, names, n, roll):
        figure = vae.plot_reconstructions(model, x, names, n=n)
        assert len(figure.axes) == 2 * min(n, 3)
        check_figure(figure, roll)


@SLOWER
def test_decoded_points_are_drawn(times):
    point = hnp.arrays(np.float32, LATENT, elements=st.floats(-(2.0**90), 2.0**90, width=32))
    limits = st.tuples(st.floats(-100, 100), st.floats(0.01, 100)).map(lambda pair: (pair[0], sum(pair)))

    @for_all(
        times,
        point,
        st.integers(1, 5),
        st.sampled_from(["even", "quantiles"]),
        limits,
        st.booleans(),
        ROLL,
        quick=15,
    )
    def holds(z, n, spacing, limits, swapped, roll):
        check_figure(vae.plot_digit(shared_vae(), z), roll)
        axes = (1, 0) if swapped else (0, 1)
        grid = vae.plot_digit_grid(shared_vae(), n, spacing=spacing, limits=limits, axes=axes)
        check_figure(grid, roll)


@SLOWER
def test_latent_spaces_are_drawn(times):
    number = st.one_of(
        st.floats(-10, 10, width=32), st.floats(width=32, allow_nan=False, allow_infinity=False)
    )
    points = st.integers(2, 4).flatmap(lambda size: hnp.arrays(np.float32, (4, size), elements=number))

    @for_all(
        times,
        points,
        labels(4),
        st.booleans(),
        st.one_of(st.none(), st.text("ab $\\_<>&%\n", max_size=9)),
        ROLL,
    )
    def holds(z_mean, names, static, title, roll):
        assume(z_mean.shape[1] == 2 or np.ptp(z_mean.astype(float), axis=0).any())
        wide = np.abs(z_mean).max() > 1e6  # what matplotlib cannot lay out, it cannot render
        check_figure(vae.plot_latent_space(z_mean, names, static=static, title=title), roll or wide)


@SLOWER
def test_latent_intuition_is_drawn(times):
    @for_all(times, images(n=4), labels(4), st.integers(1, 5), ROLL, quick=15)
    def holds(x, names, n, roll):
        names = [1, 2, 3, 4] if names is None else names
        check_figure(vae.plot_latent_intuition(shared_autoencoder(), shared_vae(), x, names, n=n), roll)


@SLOWER
def test_losses_are_drawn(times):
    series = st.integers(1, 6).flatmap(
        lambda n: st.fixed_dictionaries(
            {"loss": st.lists(st.floats(0, 1e6), min_size=n, max_size=n)},
            optional={
                name: st.lists(st.one_of(st.floats(0, 1e6), st.just(np.nan)), min_size=n, max_size=n)
                for name in ("val_loss", "reconstruction_loss", "kl_loss", "val_kl_loss", "other")
            },
        )
    )

    @for_all(times, series, ROLL, quick=15)
    def holds(history, roll):
        check_figure(vae.plot_loss(history), roll)


@SLOWER
def test_films_are_shown(times):
    @for_all(
        times, images(n=3), labels(3), st.integers(1, 4), st.floats(0.01, 100), st.booleans(), ROLL, quick=15
    )
    def holds(x, names, n, limit, static, roll):
        film = vae.TrainingFilm(x, names, n=n, limit=limit)
        film.set_model(shared_vae())
        film.on_train_begin()
        film.on_epoch_end(0, {"loss": 1.0})
        check_figure(vae.plot_training_film(film, static=static), roll)


@SLOWER
def test_diagrams_are_drawn(times):
    units = st.lists(st.integers(1, 9), max_size=3)

    @for_all(times, units, st.integers(1, 3), st.booleans(), st.integers(20, 90), quick=5)
    def holds(units, latent_dim, whole, dpi):
        model = (
            vae.build_autoencoder(PIXELS, units, latent_dim) if whole else vae.build_encoder(PIXELS, units)
        )
        assert vae.plot_model(model, dpi=dpi).png.startswith(b"\x89PNG")


@SLOWER
def test_architectures_are_drawn(times):
    picture = st.one_of(st.none(), images(1, [(6, 6)]).map(lambda x: x[0]))

    @for_all(times, picture, picture, ROLL, quick=15)
    def holds(image, reconstruction, roll):
        check_figure(vae.plot_architecture(image, reconstruction), roll)
