"""Pictures of digits: what is drawn, where, from which point, and what is refused."""

from statistics import NormalDist

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from tiny import shared_vae

import vae
from vae._keras import keras
from vae.figures.rows import plot_rows
from vae.figures.shared import to_pictures


def plain_decoder(latent_dim=2, shape=(4, 4)):
    """A decoder of which every pixel tells z: pixel i is (z[i % latent_dim] + 4) / 8."""
    z, pixels = keras.Input((latent_dim,)), int(np.prod(shape))
    x = keras.layers.Dense(pixels, bias_initializer=keras.initializers.Constant(0.5))(z)
    decoder = keras.Model(z, keras.layers.Reshape(shape)(x))
    kernel = np.zeros((latent_dim, pixels))
    kernel[np.arange(pixels) % latent_dim, np.arange(pixels)] = 1 / 8
    decoder.layers[1].kernel.assign(kernel)
    return decoder


def encoder_for(decoder, outputs):
    x = keras.Input(decoder.output_shape[1:])
    z = keras.layers.Dense(decoder.input_shape[1])(keras.layers.Flatten()(x))
    return keras.Model(x, [z] * outputs if outputs > 1 else z)


def plain_vae(**kwargs):
    decoder = plain_decoder(**kwargs)
    return vae.VAE(encoder_for(decoder, outputs=3), decoder)


def plain_autoencoder(**kwargs):
    decoder = plain_decoder(**kwargs)
    return vae.Autoencoder(encoder_for(decoder, outputs=1), decoder)


def negative(pixels, model=vae.VAE):
    """A model whose reconstruction is the negative: every pixel is a latent dimension."""
    x, z = keras.Input((pixels,)), keras.Input((pixels,))
    code = keras.layers.Identity()(x)
    encoder = keras.Model(x, [code] * 3 if model is vae.VAE else code)
    return model(encoder, keras.Model(z, 1 - z))


def spoilt(model, weight):
    """The model, every weight of its decoder set to one number."""
    for variable in model.decoder.weights:
        variable.assign(np.full(variable.shape, weight))
    return model


@pytest.fixture(autouse=True)
def leaves_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []


def mosaic_cell(figure, n, column, row_from_below):
    mosaic = figure.axes[0].images[0].get_array()
    height, width = mosaic.shape[0] // n, mosaic.shape[1] // n
    top = (n - 1 - row_from_below) * height
    return mosaic[top : top + height, column * width : (column + 1) * width]


def decoded_z(pixels):
    return np.asarray(pixels, float).ravel()[:2] * 8 - 4


def tick_values(axis):
    return [float(label.get_text()) for label in axis.get_ticklabels()]


# plot_digits


def test_digits_draws_the_first_n_under_their_labels(digits):
    figure = vae.plot_digits(digits.x_train, digits.y_train, n=12)
    assert len(figure.axes) == 12
    assert [ax.get_title() for ax in figure.axes] == [str(label) for label in digits.y_train[:12]]
    for i, ax in enumerate(figure.axes):
        (drawn,) = ax.images
        np.testing.assert_allclose(drawn.get_array(), digits.x_train[i] / 255, atol=1e-6)
        assert drawn.get_clim() == (0, 1)
        assert drawn.get_cmap().name == "gray"
        assert drawn.get_interpolation() == "nearest"


def test_digits_wraps_at_ten_a_row_in_reading_order():
    figure = vae.plot_digits(np.zeros((12, 4, 4)), n=12)
    figure.draw_without_rendering()
    corners = [ax.get_position() for ax in figure.axes]
    assert len({round(corner.y0, 3) for corner in corners}) == 2
    assert corners[0].x0 == pytest.approx(corners[10].x0)
    assert corners[10].y0 < corners[0].y0
    assert corners[9].x0 > corners[0].x0


@pytest.mark.parametrize(
    ("n", "labels", "words"),
    [
        (3, [7, 2, 1], "3 images in a row, labelled 7, 2, 1."),
        (3, None, "3 images in a row."),
        (1, ["$"], "One image, labelled $."),
        (12, None, "12 images in rows of 10."),
        (25, [4] * 25, f"25 images in rows of 10, labelled {20 * '4, '}...."),
    ],
)
def test_digits_say_what_they_show(n, labels, words):
    assert vae.plot_digits(np.zeros((n, 4, 4)), labels, n=n).alt == words
    all_but_one = np.zeros((n + 1, 4, 4))
    assert vae.plot_digits(all_but_one, labels and [*labels, 9], n=n).alt == words


def test_digits_draws_fewer_where_there_are_fewer_and_no_titles_without_labels():
    figure = vae.plot_digits(np.zeros((3, 16)), n=10)
    assert [ax.get_title() for ax in figure.axes] == ["", "", ""]


@pytest.mark.parametrize("bytes_", [True, False])
def test_digits_draws_bytes_and_floats_alike(bytes_):
    images = np.full((1, 16), 51, "uint8") if bytes_ else np.full((1, 16), 0.2)
    np.testing.assert_allclose(vae.plot_digits(images).axes[0].images[0].get_array(), 0.2, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "image_shape", "drawn"),
    [
        ((2, 16), None, (4, 4)),
        ((2, 12), (3, 4), (3, 4)),
        ((2, 12), [4, 3], (4, 3)),
        ((2, 27), (3, 3, 3), (3, 3, 3)),
        ((2, 9), (3, 3, 1), (3, 3)),
        ((2, 3, 5), None, (3, 5)),
        ((2, 3, 5, 1), None, (3, 5)),
        ((2, 3, 5, 3), None, (3, 5, 3)),
    ],
)
def test_shapes(shape, image_shape, drawn):
    images = np.random.default_rng(0).random(shape)
    array = vae.plot_digits(images, image_shape=image_shape).axes[0].images[0].get_array()
    assert array.shape == drawn
    np.testing.assert_allclose(np.ravel(array), images[0].ravel(), atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "image_shape"),
    [
        ((2, 12), None),
        ((2, 12), (3, 5)),
        ((2, 12), (12,)),
        ((2, 12), 12),
        ((2, 12), (-3, -4)),
        ((2, 12), (3.0, 4.0)),
        ((2, 12), (3, 2, 2)),
        ((2, 3, 4, 2), None),
        ((2, 3, 4), (5, 5)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shape, image_shape):
    with pytest.raises(ValueError, match="image_shape"):
        vae.plot_digits(np.zeros(shape), image_shape=image_shape)


def test_flat_images_that_are_no_square_ask_for_a_shape():
    with pytest.raises(ValueError, match=r"image_shape must be given.*12 pixels"):
        to_pictures("images", np.zeros((1, 12)))


@pytest.mark.parametrize(
    ("images", "options"),
    [
        (np.zeros((0, 16)), {}),
        (np.zeros(16), {}),
        (np.full((2, 16), np.nan), {}),
        (np.full((2, 16), 255.0), {}),
        (np.zeros((2, 16)), {"labels": [1]}),
        (np.zeros((2, 16)), {"n": 0}),
        (np.zeros((2, 16)), {"n": 1.5}),
    ],
)
def test_digits_refuses(images, options):
    with pytest.raises(ValueError, match=r"(images|labels|n) must "):
        vae.plot_digits(images, **options)


# plot_digit


@pytest.mark.parametrize("z", [[0.5, -1.2], [[0.5, -1.2]], np.array([0.5, -1.2])])
@pytest.mark.parametrize("make", [plain_vae, plain_autoencoder, plain_decoder])
def test_digit_draws_the_point_and_names_it(make, z):
    (ax,) = vae.plot_digit(make(), z).axes
    assert ax.get_title() == "z = (0.50, -1.20)"
    np.testing.assert_allclose(decoded_z(ax.images[0].get_array()), [0.5, -1.2], atol=1e-5)
    assert ax.figure.alt == "One image, decoded from z = (0.50, -1.20)."


def test_digit_writes_no_minus_before_zero_and_cuts_long_points_short():
    assert vae.plot_digit(plain_vae(), [-0.001, 0.0]).axes[0].get_title() == "z = (0.00, 0.00)"
    title = vae.plot_digit(plain_vae(latent_dim=20), np.arange(20) / 10).axes[0].get_title()
    assert title == "z = (0.00, 0.10, 0.20, 0.30, ...)"


@pytest.mark.parametrize("z", [[0.5], [0.5, 1.0, 2.0], [[0, 0], [1, 1]], [0.5, np.nan], [[[0, 0]]], []])
def test_digit_refuses(z):
    with pytest.raises(ValueError, match="z must"):
        vae.plot_digit(plain_vae(), z)


def test_a_model_that_is_none_is_refused():
    for call in (lambda: vae.plot_digit(object(), [0, 0]), lambda: vae.plot_digit_grid("model")):
        with pytest.raises(
            TypeError, match=r"model must be a vae.VAE, a vae.Autoencoder or a built Keras decoder"
        ):
            call()
    for model in (object(), plain_decoder()):
        with pytest.raises(TypeError, match=r"model must be a vae.VAE or vae.Autoencoder; got"):
            vae.plot_reconstructions(model, np.zeros((2, 16)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: vae.build_encoder(16, (4,)),
        lambda: vae.build_conv_encoder((4, 4, 1), (2,)),
        lambda: keras.Sequential([keras.layers.Dense(16)]),
    ],
    ids=["a VAE's encoder", "a convolutional one", "not built"],
)
def test_a_network_that_does_not_decode_points_is_refused(make):
    with pytest.raises(TypeError, match=r"model must be .* or a built Keras decoder; got"):
        vae.plot_digit(make(), [0, 0])


@pytest.mark.parametrize("part", [lambda model: model, lambda model: model.decoder])
def test_what_a_diverged_decoder_makes_is_refused(part):
    with pytest.raises(ValueError, match=r"decoded images.*NaN"):
        vae.plot_digit(part(spoilt(plain_vae(), np.nan)), [0, 0])


@pytest.mark.parametrize("part", [lambda model: model, lambda model: model.decoder])
def test_what_a_linear_decoder_oversteps_is_clipped(part):
    model = spoilt(plain_vae(), 1.25)
    assert (model.decode([[0, 0]]) == 1.25).all()
    assert (vae.plot_digit(part(model), [0, 0]).axes[0].images[0].get_array() == 1).all()


# plot_digit_grid


@pytest.mark.parametrize("make", [plain_vae, plain_autoencoder, plain_decoder])
def test_grid_decodes_each_cell_at_the_point_on_its_ticks_in_one_call(make, monkeypatch):
    model, calls = make(), []
    name = "predict" if make is plain_decoder else "decode"
    compute = getattr(model, name)
    monkeypatch.setattr(model, name, lambda z, **options: calls.append(len(z)) or compute(z, **options))
    figure = vae.plot_digit_grid(model, n=5, limits=(-2, 2))
    assert calls == [25]
    (ax,) = figure.axes
    assert tick_values(ax.xaxis) == tick_values(ax.yaxis) == [-2, -1, 0, 1, 2]
    assert list(ax.get_xticks()) == list(ax.get_yticks()) == [0, 1, 2, 3, 4]
    assert ax.get_ylim() == (-0.5, 4.5)  # z[1] grows upwards
    assert ax.get_xlim() == (-0.5, 4.5)
    for column, x in enumerate([-2, -1, 0, 1, 2]):
        for row, y in enumerate([-2, -1, 0, 1, 2]):
            np.testing.assert_allclose(decoded_z(mosaic_cell(figure, 5, column, row)), [x, y], atol=1e-5)


def test_on_the_screen_the_top_left_cell_is_low_in_z0_and_high_in_z1():
    figure = vae.plot_digit_grid(plain_decoder(shape=(2, 2)), n=2, limits=(-4, 4))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    screen = np.asarray(canvas.buffer_rgba())[::-1, :, 0]  # rows from below, as matplotlib counts
    values = {}
    for name, point in {"left": (-0.25, 1), "right": (0.25, 1)}.items():  # its two columns of pixels
        x, y = figure.axes[0].transData.transform(point).astype(int)
        values[name] = screen[y, x]
    assert values == {"left": 0, "right": 255}  # z[0] = -4 is black, z[1] = 4 is white


def test_grid_has_900_images_by_default_and_few_even_ticks():
    model = plain_vae()
    figure = vae.plot_digit_grid(model)
    ax = figure.axes[0]
    assert ax.images[0].get_array().shape == (120, 120)
    assert tick_values(ax.xaxis) == tick_values(ax.yaxis) == [-2, -1, 0, 1, 2]
    # A tick stands where its coordinate lies between the centres of the cells, numbered from 0 to 29.
    np.testing.assert_allclose(ax.get_xticks(), [29 * (value + 2.5) / 5 for value in (-2, -1, 0, 1, 2)])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z[0]", "z[1]")
    assert figure.alt == (
        "A grid of 30 x 30 decoded images; z[0] from -2.5 to 2.5 across, in even steps, z[1] likewise up."
    )


def test_grid_by_quantiles_of_the_prior():
    figure = vae.plot_digit_grid(plain_vae(), n=7, spacing="quantiles")
    wanted = [NormalDist().inv_cdf(p) for p in np.linspace(0.05, 0.95, 7)]
    np.testing.assert_allclose(tick_values(figure.axes[0].yaxis), wanted, atol=0.006)
    for i, value in enumerate(wanted):
        np.testing.assert_allclose(decoded_z(mosaic_cell(figure, 7, i, 6 - i)), [value, -value], atol=1e-5)
    assert "quantiles" in figure.axes[0].get_title()
    assert "z[0] from -1.64 to 1.64 across, in quantiles of the prior N(0, 1), z[1] likewise" in figure.alt


def test_grid_of_one_image_shows_the_middle():
    assert tick_values(vae.plot_digit_grid(plain_vae(), n=1).axes[0].xaxis) == [0]
    assert tick_values(vae.plot_digit_grid(plain_vae(), n=1, spacing="quantiles").axes[0].xaxis) == [0]


def test_grid_over_two_of_many_dimensions_says_that_the_rest_is_0():
    model = plain_vae(latent_dim=8)
    figure = vae.plot_digit_grid(model, n=3, limits=(-1, 1), axes=(5, 2))
    ax = figure.axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z[5]; the other 6 are 0", "z[2]")
    assert "z[5] from -1 to 1 across" in figure.alt
    assert figure.alt.endswith(", z[2] likewise up; the other 6 are 0.")
    z = np.ravel(mosaic_cell(figure, 3, 2, 0))[:8] * 8 - 4
    np.testing.assert_allclose(z, [0, 0, -1, 0, 0, 1, 0, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "drawn"), [((6, 4), (18, 12)), ((6, 4, 3), (18, 12, 3)), ((4, 6, 1), (12, 18))]
)
def test_grid_of_images_that_are_not_square_or_in_colour(shape, drawn):
    flat = (int(np.prod(shape)),)
    for model, image_shape in ((plain_vae(shape=shape), None), (plain_vae(shape=flat), shape)):
        figure = vae.plot_digit_grid(model, n=3, limits=(-1, 1), image_shape=image_shape)
        ax = figure.axes[0]
        assert ax.images[0].get_array().shape == drawn
        assert ax.get_aspect() == pytest.approx(shape[0] / shape[1])
        np.testing.assert_allclose(decoded_z(mosaic_cell(figure, 3, 2, 0)), [1, -1], atol=1e-5)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (plain_vae(), {"n": 0}, "n must"),
        (plain_vae(), {"n": -3}, "n must"),
        (plain_vae(), {"n": 2.5}, "n must"),
        (plain_vae(latent_dim=1), {}, "at least 2 latent dimensions"),
        (plain_vae(), {"spacing": "odd"}, "spacing must"),
        (plain_vae(), {"limits": (1, -1)}, "limits must"),
        (plain_vae(), {"limits": (-1, np.inf)}, "limits must"),
        (plain_vae(), {"limits": (np.nan, 1)}, "limits must"),
        (plain_vae(), {"limits": 3}, "limits must"),
        (plain_vae(), {"axes": (0, 0)}, "axes must"),
        (plain_vae(), {"axes": (0, 2)}, "axes must"),
        (plain_vae(), {"axes": (-1, 0)}, "axes must"),
        (plain_vae(), {"axes": 1}, "axes must"),
        (plain_vae(shape=(12,)), {}, "image_shape must"),
        (plain_vae(), {"image_shape": (5, 5)}, "image_shape must"),
    ],
)
def test_grid_refuses(model, options, message):
    with pytest.raises(ValueError, match=message):
        vae.plot_digit_grid(model, **{"n": 3, **options})


# plot_reconstructions


def test_reconstructions_stand_below_their_images(digits):
    figure = vae.plot_reconstructions(negative(784), digits.x_test, digits.y_test, n=4)
    above, below = figure.axes[:4], figure.axes[4:]
    assert len(below) == 4
    assert [ax.get_title() for ax in above] == [str(label) for label in digits.y_test[:4]]
    assert above[0].get_ylabel() == "image"
    assert below[0].get_ylabel() == "reconstruction\nfrom z_mean"
    listed = ", ".join(map(str, digits.y_test[:4]))
    assert figure.alt == f"4 images ({listed}) and below each its reconstruction from z_mean."
    figure.draw_without_rendering()
    for i in range(4):
        image, reconstruction = (ax.images[0].get_array() for ax in (above[i], below[i]))
        np.testing.assert_allclose(image, digits.x_test[i] / 255, atol=1e-6)
        np.testing.assert_allclose(reconstruction, 1 - image, atol=1e-6)
        assert above[i].get_position().x0 == pytest.approx(below[i].get_position().x0)
        assert above[i].get_position().y0 > below[i].get_position().y0


def test_reconstructions_of_an_autoencoder_say_nothing_of_z_mean():
    model = negative(12, vae.Autoencoder)
    figure = vae.plot_reconstructions(model, np.full((5, 3, 4), 51, "uint8"), n=2)
    assert len(figure.axes) == 4
    assert figure.axes[2].get_ylabel() == "reconstruction"
    assert figure.alt == "2 images and below each its reconstruction."
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), np.full((3, 4), 0.2), atol=1e-6)
    np.testing.assert_allclose(figure.axes[3].images[0].get_array(), np.full((3, 4), 0.8), atol=1e-6)


def test_reconstructions_in_colour_and_not_square():
    figure = vae.plot_reconstructions(negative(60), np.zeros((3, 60)), image_shape=(4, 5, 3))
    assert {ax.images[0].get_array().shape for ax in figure.axes} == {(4, 5, 3)}


def test_reconstructions_refuse():
    with pytest.raises(ValueError, match=r"reconstructions.*NaN"):
        vae.plot_reconstructions(spoilt(plain_vae(), np.nan), np.zeros((3, 16)))
    with pytest.raises(ValueError, match="images must hold images of 16 values"):
        vae.plot_reconstructions(plain_vae(), np.zeros((3, 25)))
    for images, options in (
        (np.zeros((0, 16)), {}),
        (np.zeros((2, 12)), {}),
        (np.zeros((2, 16)), {"n": 0}),
        (np.zeros((2, 16)), {"labels": [1, 2, 3]}),
        (np.full((2, 16), np.nan), {}),
    ):
        with pytest.raises(ValueError, match=" must "):
            vae.plot_reconstructions(plain_vae(), images, **options)


# plot_rows


ROWS = {
    "image": np.zeros((3, 16)),
    "autoencoder": np.full((3, 16), 51, "uint8"),
    "VAE, $\\beta$ 20": np.ones((3, 16)),
}


def test_rows_stand_one_above_another_beside_their_names():
    figure = plot_rows(ROWS, titles=[7, 2, 1])
    figure.draw_without_rendering()
    assert [ax.get_title() for ax in figure.axes] == ["7", "2", "1"] + 6 * [""]
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == ["image", "autoencoder", r"VAE, \$\beta\$ 20"]
    assert not any(ax.get_ylabel() for i, ax in enumerate(figure.axes) if i % 3)
    corners = [ax.get_position() for ax in figure.axes]
    for row, value in enumerate([0, 0.2, 1]):
        for column in range(3):
            i = 3 * row + column
            np.testing.assert_allclose(
                figure.axes[i].images[0].get_array(), np.full((4, 4), value), atol=1e-6
            )
            assert corners[i].x0 == pytest.approx(corners[column].x0)
            assert corners[i].y0 == pytest.approx(corners[3 * row].y0)
    assert corners[0].y0 > corners[3].y0 > corners[6].y0
    assert figure.alt == (r"3 rows of 3 images (7, 2, 1), from the top: image; autoencoder; VAE, $\beta$ 20.")


@pytest.mark.parametrize("columns", [1, 2, 10])
@pytest.mark.parametrize(
    "name", ["VAE, beta 20", "a name as long as nobody would write it", "two\nlines", ""]
)
@pytest.mark.parametrize("shape", [(4, 4), (9, 4), (4, 9)])
def test_names_of_rows_are_not_cut_off(columns, name, shape):
    figure = plot_rows({"image": np.zeros((columns, *shape)), name: np.zeros((columns, *shape))})
    FigureCanvasAgg(figure).draw()
    for ax in figure.axes[::columns]:
        box, picture = ax.yaxis.label.get_window_extent(), ax.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= picture.x0
        assert 0 <= box.y0 <= box.y1 <= figure.bbox.y1
    assert figure.axes[0].get_window_extent().width > 60 * shape[1] / max(shape)  # of 100


def test_a_single_row_and_other_shapes():
    figure = plot_rows({"image": np.zeros((1, 4, 5, 3))})
    assert figure.axes[0].images[0].get_array().shape == (4, 5, 3)
    assert figure.alt == "1 row of one image, from the top: image."
    flat = {"a": np.zeros((2, 20)), "b": np.zeros((2, 4, 5))}
    assert len(plot_rows(flat, image_shape=(4, 5)).axes) == 4
    squares = {"a": np.zeros((16, 16))}
    with pytest.raises(ValueError, match=r"rows\['a'\] must tell whether they are one or many"):
        plot_rows(squares)
    assert len(plot_rows(squares, image_shape=(4, 4)).axes) == 16


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ({}, {}, "rows must hold at least one row"),
        ({"a": np.zeros((2, 16)), "b": np.zeros((3, 16))}, {}, "all of as many images of one shape"),
        ({"a": np.zeros((2, 16)), "b": np.zeros((2, 25))}, {}, "all of as many images of one shape"),
        ({"a": np.zeros((0, 16))}, {}, r"rows\['a'\] must"),
        ({"a": np.full((2, 16), np.nan)}, {}, r"rows\['a'\] must .*NaN"),
        ({"a": np.zeros((2, 12))}, {}, "image_shape must"),
        (ROWS, {"titles": ["a"]}, "titles must"),
        (ROWS, {"titles": "abc"}, "titles must"),
        (ROWS, {"image_shape": (5, 5)}, "image_shape must"),
    ],
)
def test_rows_refuse(rows, options, message):
    with pytest.raises(ValueError, match=message):
        plot_rows(rows, **options)


@pytest.mark.parametrize("rows", [[np.zeros((2, 16))], np.zeros((2, 16)), None, {1: np.zeros((2, 16))}])
def test_rows_without_names_are_refused(rows):
    with pytest.raises(TypeError, match="rows must be a mapping from names to images; got"):
        plot_rows(rows)


# One image, or many?


@pytest.mark.parametrize(
    ("shape", "ways"),
    [
        ((16, 16), r"pass images\[None\]; for 16 flat ones, image_shape=\(4, 4\)"),
        ((64, 64), r"pass images\[None\]; for 64 flat ones, image_shape=\(8, 8\)"),
        ((28, 28), r"pass images\[None\]; for 28 flat ones, image_shape=\(height, width\)"),
        ((24, 32), r"32 pixels make no square. For one image, pass images\[None\]"),
        ((20, 16, 3), r"must have an axis for their number; .*pass images\[None\]"),
        ((784,), r"got shape \(784,\). For one image, pass images\[None\]"),
    ],
)
def test_one_image_is_not_taken_for_many(shape, ways):
    images = np.zeros(shape)
    with pytest.raises(ValueError, match=ways):
        vae.plot_digits(images)
    if len(shape) > 1:
        assert len(vae.plot_digits(images[None]).axes) == 1


def test_as_many_flat_images_as_pixels_are_drawn_where_that_is_said():
    images = np.zeros((16, 16))
    for figure in (vae.plot_digits(images, image_shape=(4, 4)), vae.plot_digits(images, range(16))):
        assert len(figure.axes) == 10
        assert figure.axes[0].images[0].get_array().shape == (4, 4)


@pytest.mark.parametrize("shape", [None, (6, 4, 3)])
def test_one_image_of_the_models_shape_is_an_error_that_names_the_way(shape):
    model = shared_vae(shape=shape)
    x = np.zeros((5, *(shape or (6, 6))))
    for use in (vae.plot_reconstructions, vae.VAE.encode, vae.VAE.reconstruct):
        with pytest.raises(ValueError, match=r"For one image, pass (images|x)\[None\]"):
            use(model, x[0])
    assert len(vae.plot_reconstructions(model, x[0][None]).axes) == 2
    flat = vae.plot_reconstructions(model, x.reshape(5, -1))
    assert flat.axes[0].images[0].get_array().shape == x.shape[1:]
