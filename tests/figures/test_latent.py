"""Pictures of the latent space: the same points in both twins, named, coloured, and what is refused."""

import io

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from figures.clouds import cloud, dots
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Circle

import vae
from vae._keras import keras
from vae.figures.classes import choose_view
from vae.figures.shared import COLORS


@pytest.fixture(autouse=True)
def leaves_the_plotting_libraries_alone():
    before = dict(matplotlib.rcParams), pio.templates.default, pio.renderers.default
    yield
    assert (dict(matplotlib.rcParams), pio.templates.default, pio.renderers.default) == before
    assert plt.get_fignums() == []


def scatters(ax):
    return [
        (c.get_label(), np.asarray(c.get_offsets()), to_hex(c.get_facecolor()[0])) for c in ax.collections
    ]


def names_in(figure):
    """The traces of names."""
    return [trace for trace in figure.data if trace.mode == "lines+text"]


def test_interactive_has_one_trace_a_label_with_its_points():
    z_mean, labels = cloud()
    figure = vae.plot_latent_space(z_mean, labels)
    assert isinstance(figure, go.Figure)
    assert [trace.name for trace in dots(figure)] == [str(digit) for digit in range(10)]
    for digit, trace in enumerate(dots(figure)):
        assert trace.type == "scattergl"
        assert trace.mode == "markers"
        assert trace.x.dtype == trace.y.dtype == np.float32  # base64 in the notebook
        np.testing.assert_array_equal(np.stack([trace.x, trace.y], 1), z_mean[labels == digit])
        assert f"label {digit}" in trace.hovertemplate
        assert "%{x" in trace.hovertemplate
    assert [trace.marker.color for trace in dots(figure)] == list(COLORS)
    assert len(set(COLORS)) == 10


def test_interactive_layout():
    z_mean, labels = cloud()
    layout = vae.plot_latent_space(z_mean, labels).layout
    view = choose_view(z_mean)
    assert (layout.width, layout.height) == (800, int(180 + 600 * view.ratio))
    assert layout.yaxis.scaleanchor == "x"
    assert (layout.xaxis.range, layout.yaxis.range) == (view.x, view.y)  # does not jump as a class is hidden
    assert layout.xaxis.constrain == layout.yaxis.constrain == "domain"
    assert layout.legend.itemsizing == "constant"
    assert layout.showlegend is True
    assert layout.template == pio.templates["plotly_white"]
    assert layout.xaxis.title.text == "z_mean[0]"
    assert layout.yaxis.title.text == "z_mean[1]"
    assert layout.title.text == "Latent space of 300 images"
    assert "z_mean" in layout.title.subtitle.text
    assert vae.plot_latent_space(z_mean, labels, title="Mine").layout.title.text == "Mine"


def test_names_stand_at_the_medians_in_both_twins():
    z_mean, labels = cloud()
    z_mean[:, 0] += 9 * labels  # far apart
    wanted = {str(d): np.median(z_mean[labels == d], axis=0) for d in range(10)}
    notes = names_in(vae.plot_latent_space(z_mean, labels))
    assert [note.name for note in notes] == list(wanted)
    ax = vae.plot_latent_space(z_mean, labels, static=True).axes[0]
    texts = [text for text in ax.texts if text.get_text() in wanted]
    assert [text.get_text() for text in texts] == list(wanted)
    assert all(text.get_path_effects() for text in texts)
    for name, note, text in zip(wanted, notes, texts, strict=True):
        assert note.text == ("", name, name)  # the line begins without one
        assert note.textfont.color[1:] == ("white", "black")  # the black one over a larger white one
        assert note.textfont.size[1] > note.textfont.size[2]
        np.testing.assert_allclose([note.x, note.y], np.transpose(3 * [wanted[name]]), atol=1e-5)
        np.testing.assert_allclose(text.get_position(), wanted[name], atol=1e-5)


def test_a_name_that_made_room_has_a_line_from_its_median():
    z_mean, labels = np.random.default_rng(0).normal(size=(300, 2)), np.arange(300) % 5  # all in one place
    medians = [np.median(z_mean[labels == digit], axis=0) for digit in range(5)]
    notes = names_in(vae.plot_latent_space(z_mean, labels))
    lines = vae.plot_latent_space(z_mean, labels, static=True).axes[0].lines
    moved = [np.hypot(note.x[1] - note.x[0], note.y[1] - note.y[0]) for note in notes]
    assert max(moved) > 0.1
    for median, note, line in zip(medians, notes, lines, strict=True):
        np.testing.assert_allclose([note.x[0], note.y[0]], median, atol=1e-6)
        np.testing.assert_allclose(line.get_xydata(), np.transpose([note.x[1::-1], note.y[1::-1]]))


def test_a_name_hides_with_its_class():
    figure = vae.plot_latent_space(*cloud())
    groups = [trace.legendgroup for trace in figure.data]
    assert groups == 2 * [str(digit) for digit in range(10)]
    assert not any(trace.showlegend for trace in names_in(figure))
    assert all(trace.type == "scattergl" for trace in figure.data)  # or points would lie over the names


@pytest.mark.parametrize("latent_dim", [2, 5])
@pytest.mark.parametrize("classes", [1, 10, 25])
def test_the_static_twin_draws_the_same(latent_dim, classes):
    z_mean, labels = cloud(latent_dim=latent_dim, classes=classes)
    interactive, static = (vae.plot_latent_space(z_mean, labels, static=still) for still in (False, True))
    assert isinstance(static, Figure)
    ax = static.axes[0]
    drawn = scatters(ax)
    assert len(drawn) == len(dots(interactive)) == classes
    for trace, (name, points, color) in zip(dots(interactive), drawn, strict=True):
        assert (name, color) == (trace.name, trace.marker.color)
        np.testing.assert_allclose(points, np.stack([trace.x, trace.y], 1))
    assert sum(len(points) for _, points, _ in drawn) == 300
    assert all(collection.get_rasterized() for collection in ax.collections)
    assert ax.get_aspect() == 1
    assert ax.get_xlabel() == interactive.layout.xaxis.title.text
    assert ax.get_ylabel() == interactive.layout.yaxis.title.text
    assert ax.get_title() == interactive.layout.title.text
    assert interactive.layout.title.subtitle.text in [text.get_text() for text in ax.texts]
    assert [text.get_text() for text in static.legends[0].get_texts()] == [
        trace.name for trace in dots(interactive)
    ]


def test_many_labels_keep_distinct_colours_and_are_not_written_into_the_picture():
    z_mean, labels = cloud(classes=25)
    figure = vae.plot_latent_space(z_mean, labels)
    assert len({trace.marker.color for trace in figure.data}) == 25
    assert names_in(figure) == []
    static = vae.plot_latent_space(z_mean, labels, static=True)
    assert static.alt.endswith(" 25 labels, each in its colour.")
    z_mean, labels = cloud(classes=20)
    assert len(names_in(vae.plot_latent_space(z_mean, labels))) == 20


def test_labels_may_be_strings():
    z_mean, _ = cloud(n=3)
    figure = vae.plot_latent_space(z_mean, ["shoe", "bag", "shoe"])
    assert [(trace.name, len(trace.x)) for trace in dots(figure)] == [("bag", 1), ("shoe", 2)]


def test_a_single_label_still_has_a_legend():
    z_mean, _ = cloud(n=3)
    assert vae.plot_latent_space(z_mean, [7, 7, 7]).layout.showlegend is True


@pytest.mark.parametrize("labels", [["", "", ""], ["_a", "b", ""], ["$x$", "_", "_"]])
def test_every_label_is_in_the_legend(labels):
    static = vae.plot_latent_space(np.eye(3, 2), labels, static=True)
    names = [text.get_text() for text in static.legends[0].get_texts()]
    assert names == [name.replace("$", r"\$") for name in sorted(set(labels))]
    static.savefig(io.BytesIO())


def test_without_labels_there_is_one_colour_and_no_legend():
    z_mean, _ = cloud()
    figure = vae.plot_latent_space(z_mean)
    (trace,) = figure.data
    assert len(trace.x) == 300
    assert trace.marker.color == COLORS[0]
    assert figure.layout.showlegend is False
    assert "label" not in trace.hovertemplate
    static = vae.plot_latent_space(z_mean, static=True)
    assert static.legends == []
    assert len(static.axes[0].collections) == 1
    assert static.alt.startswith("300 images as points; z_mean[0] from ")
    assert "Medians" not in static.alt


def test_the_static_twin_says_what_it_shows():
    z_mean = [[0, 0], [0, 0.004], [8, -4], [10, -4]]
    static = vae.plot_latent_space(z_mean, [7, 7, 1, 1], static=True, class_names="abcdefg$")
    assert static.alt == (
        "4 images as points; z_mean[0] from -0.40 to 10.40 across, z_mean[1] from -4.16 to 0.16 up. "
        "Medians: b at (9.00, -4.00), $ at (0.00, 0.00)."
    )
    codes = vae.plot_latent_space(np.zeros((1, 2)), static=True, name="code")
    assert (
        codes.alt == "One image as a point; code[0] from -0.50 to 0.50 across, code[1] from -0.50 to 0.50 up."
    )


def test_more_dimensions_are_projected_on_principal_components():
    z_mean, labels = cloud(latent_dim=20)
    figure = vae.plot_latent_space(z_mean, labels)
    centred = z_mean.astype(float) - z_mean.mean(0)
    variances = np.linalg.svd(centred, compute_uv=False) ** 2
    shares = 100 * variances / variances.sum()
    for axis, i in ((figure.layout.xaxis, 0), (figure.layout.yaxis, 1)):
        wanted = f"principal component {i + 1} of 20 ({shares[i]:.0f} % of the variance)"
        assert axis.title.text == wanted
    drawn = np.concatenate([np.stack([trace.x, trace.y], 1) for trace in dots(figure)])
    np.testing.assert_allclose(drawn.var(0) * 300, variances[:2], rtol=1e-3)
    assert drawn.dtype == np.float32
    assert vae.plot_latent_space(z_mean, labels).to_json() == figure.to_json()


@pytest.mark.parametrize(
    ("z_mean", "labels", "message"),
    [
        (np.zeros((0, 2)), None, "z_mean must"),
        (np.zeros(5), None, "z_mean must"),
        (np.zeros((5, 1)), None, "at least 2 latent dimensions"),
        (np.full((5, 2), np.nan), None, "NaN"),
        (np.full((5, 2), np.inf), None, "infinity"),
        (np.zeros((2, 5, 2)), None, "z_mean must"),  # what encode returns, as a whole
        (np.zeros((5, 2)), [1, 2], "labels must"),
        (np.zeros((5, 2)), np.eye(5), "labels must"),
        (np.ones((5, 3)), None, "points that differ"),
        (np.ones((1, 3)), None, "points that differ"),
    ],
)
@pytest.mark.parametrize("static", [False, True])
def test_latent_space_refuses(z_mean, labels, message, static):
    with pytest.raises(ValueError, match=message):
        vae.plot_latent_space(z_mean, labels, static=static)


# plot_latent_intuition: the encoders read their codes from the first of 16 pixels


def plain_autoencoder(latent_dim=2):
    x = keras.Input((16,))
    encoder = keras.Model(x, 10 * x[:, :latent_dim])
    return vae.Autoencoder(encoder, vae.build_decoder(latent_dim, (), 16))


def plain_vae(latent_dim=2):
    x = keras.Input((16,))
    z_mean, sigma = x[:, :latent_dim], 0.05 + x[:, latent_dim : 2 * latent_dim]
    encoder = keras.Model(x, [z_mean, keras.ops.log(sigma), z_mean])
    return vae.VAE(encoder, vae.build_decoder(latent_dim, (), 16))


def noise(n=30):
    return np.random.default_rng(1).random((n, 4, 4)).astype("float32"), np.arange(n) % 10


def test_intuition_draws_points_left_and_gaussians_right():
    images, labels = noise()
    figure = vae.plot_latent_intuition(plain_autoencoder(), plain_vae(), images, labels)
    left, right = figure.axes
    assert left.get_title() == "Autoencoder: a point for each image"
    assert right.get_title() == "VAE: a Gaussian for each image"
    flat = images.reshape(30, 16)
    ellipses = [c for c in right.collections if isinstance(c, EllipseCollection)]
    assert len(left.collections) == len(ellipses) == 10
    for digit, (points, gaussians) in enumerate(zip(left.collections, ellipses, strict=True)):
        own = flat[labels == digit]
        np.testing.assert_allclose(points.get_offsets(), 10 * own[:, :2], rtol=1e-5)
        np.testing.assert_allclose(gaussians.get_offsets(), own[:, :2], rtol=1e-5)
        np.testing.assert_allclose(gaussians.get_widths(), 2 * (0.05 + own[:, 2]), rtol=1e-4)
        np.testing.assert_allclose(gaussians.get_heights(), 2 * (0.05 + own[:, 3]), rtol=1e-4)
        assert to_hex(gaussians.get_facecolor()[0]) == to_hex(points.get_facecolor()[0]) == COLORS[digit]
        assert 0 < gaussians.get_facecolor()[0][3] < 1
    assert left.get_aspect() == right.get_aspect() == 1


def test_an_ellipse_reaches_one_sigma_on_the_screen():
    images = np.zeros((1, 4, 4))
    images[0, 0] = [0.5, 0.25, 0.6, 0.3]  # z_mean, and sigma less 0.05
    figure = vae.plot_latent_intuition(plain_autoencoder(), plain_vae(), images, [3])
    canvas, right = FigureCanvasAgg(figure), figure.axes[1]
    canvas.draw()
    screen = np.asarray(canvas.buffer_rgba())[::-1].astype(int)  # rows from below, as matplotlib counts
    colored = screen[:, :, 2] - screen[:, :, 0] > 20
    colored[:, : int(right.bbox.x0)] = colored[: int(right.bbox.y0)] = False
    y, x = np.nonzero(colored)
    low, high = right.transData.inverted().transform([(x.min(), y.min()), (x.max(), y.max())])
    np.testing.assert_allclose([low, high], [[0.5 - 0.65, 0.25 - 0.35], [0.5 + 0.65, 0.25 + 0.35]], atol=0.03)


def test_intuition_shows_the_prior_whole_and_one_legend():
    images, labels = noise()
    figure = vae.plot_latent_intuition(plain_autoencoder(), plain_vae(), images, labels)
    right = figure.axes[1]
    circles = [patch for patch in right.patches if isinstance(patch, Circle)]
    assert [circle.get_radius() for circle in circles] == [1, 2]
    assert all(circle.get_linestyle() == "--" for circle in circles)
    words = [text for text in right.texts if text.get_text().startswith("prior")]
    assert [text.get_text() for text in words] == ["prior, 1 sigma", "prior, 2 sigma"]
    figure.draw_without_rendering()
    for text, circle in zip(words, circles, strict=True):
        top = right.transData.transform((0, circle.get_radius()))[1]
        assert text.get_window_extent().y0 > top  # not struck through by its circle
        assert text.get_path_effects()
        assert text.get_zorder() > max(collection.get_zorder() for collection in right.collections)
    left = figure.axes[0]
    assert (left.get_xlabel(), left.get_ylabel()) == ("code[0]", "code[1]")
    assert (right.get_xlabel(), right.get_ylabel()) == ("z_mean[0]", "z_mean[1]")
    assert right.get_xlim()[0] < -2
    assert right.get_ylim()[1] > 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [str(d) for d in range(10)]


def test_intuition_says_what_it_shows():
    images = np.zeros((4, 4, 4))
    images[:, 0] = [[0.5, 0.25, 0.6, 0.3], [0.7, 0.25, 0.6, 0.3], [0.1, 0.2, 0.2, 0.1], [0.1, 0.2, 0.2, 0.1]]
    figure = vae.plot_latent_intuition(plain_autoencoder(), plain_vae(), images, [3, 3, 8, 8])
    assert figure.alt == (
        "Left, 4 images as points, each at its code; code[0] from 0.76 to 7.24 across, code[1] from 0.95 to "
        "3.55 up. Medians: 3 at (6.00, 2.50), 8 at (1.00, 2.00). Right, the same images as Gaussians, "
        "ellipses around z_mean, with the prior's circles of 1 and 2 sigma; their median sigma is 0.45 "
        "across and 0.25 up. Medians: 3 at (0.60, 0.25), 8 at (0.10, 0.20)."
    )


def test_intuition_fills_both_planes():
    images, labels = noise(n=300)
    images[:, 0, 1] /= 3  # the codes are three times as wide as high
    figure = vae.plot_latent_intuition(plain_autoencoder(), plain_vae(), images, labels)
    figure.draw_without_rendering()
    left, right = (ax.get_position() for ax in figure.axes)
    assert left.height > 0.6 * right.height
    assert left.width > right.width
    codes = 10 * images.reshape(300, 16)[:, :2]
    assert figure.axes[0].get_xlim() == pytest.approx(choose_view(codes).x)


def test_intuition_takes_images_from_the_whole_set():
    images, labels = noise(n=1000)
    labels = np.sort(labels)
    figure = vae.plot_latent_intuition(plain_autoencoder(), plain_vae(), images, labels, n=100)
    sizes = [len(collection.get_offsets()) for collection in figure.axes[0].collections]
    assert sum(sizes) == 100
    assert min(sizes) >= 9
    assert len(sizes) == 10
    figure = vae.plot_latent_intuition(plain_autoencoder(), plain_vae(), images, labels)
    assert sum(len(collection.get_offsets()) for collection in figure.axes[0].collections) == 400


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"autoencoder": plain_autoencoder(3)}, "autoencoder must have 2 latent dimensions.*3"),
        ({"model": plain_vae(3)}, "model must have 2 latent dimensions.*3"),
        ({"model": plain_vae(1)}, "model must have 2 latent dimensions.*1"),
        ({"images": np.zeros((30, 3, 3))}, "autoencoder must take images of 9 values"),
        ({"images": np.zeros((0, 4, 4))}, "images must"),
        ({"images": np.full((30, 4, 4), np.nan)}, "NaN"),
        ({"labels": [1, 2]}, "labels must"),
        ({"n": 0}, "n must"),
    ],
)
def test_intuition_refuses(change, message):
    images, labels = noise()
    given = {"autoencoder": plain_autoencoder(), "model": plain_vae(), "images": images, "labels": labels}
    with pytest.raises(ValueError, match=message):
        vae.plot_latent_intuition(**{**given, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": plain_autoencoder()}, "model must be a vae.VAE; got Autoencoder"),
        ({"model": "model"}, "model must be a vae.VAE; got str"),
        ({"autoencoder": plain_vae()}, "autoencoder must be a vae.Autoencoder; got VAE"),
        ({"autoencoder": plain_vae().encoder}, "autoencoder must be a vae.Autoencoder; got Functional"),
    ],
)
def test_intuition_refuses_other_models(change, message):
    images, labels = noise()
    given = {"autoencoder": plain_autoencoder(), "model": plain_vae(), "images": images, "labels": labels}
    with pytest.raises(TypeError, match=message):
        vae.plot_latent_intuition(**{**given, **change})


def test_intuition_refuses_a_model_that_diverged():
    images, labels = noise()
    model = plain_vae()
    model.encode = lambda x: (np.full((len(x), 2), np.nan), np.zeros((len(x), 2)))
    with pytest.raises(ValueError, match="what model encodes must hold finite"):
        vae.plot_latent_intuition(plain_autoencoder(), model, images, labels)


def test_trained_models_fit_in(model, digits):
    autoencoder = vae.build_autoencoder()
    autoencoder.compile()
    autoencoder.fit(digits.x_train, verbose=0)
    figure = vae.plot_latent_intuition(autoencoder, model, digits.x_test, digits.y_test, n=20)
    assert sum(len(collection.get_offsets()) for collection in figure.axes[0].collections) == 20
