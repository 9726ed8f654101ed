"""Pictures of the latent space: the same points in both twins, named, coloured, and what is refused."""

import io
from itertools import combinations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle

import vae
from vae._keras import keras
from vae.figures.shared import COLORS


@pytest.fixture(autouse=True)
def leaves_the_plotting_libraries_alone():
    before = dict(matplotlib.rcParams), pio.templates.default, pio.renderers.default
    yield
    assert (dict(matplotlib.rcParams), pio.templates.default, pio.renderers.default) == before
    assert plt.get_fignums() == []


def cloud(n=300, latent_dim=2, classes=10):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % classes
    scale = np.linspace(3, 1, latent_dim)
    return (rng.normal(size=(n, latent_dim)) * scale + labels[:, None]).astype("float32"), labels


def scatters(ax):
    return [
        (c.get_label(), np.asarray(c.get_offsets()), to_hex(c.get_facecolor()[0])) for c in ax.collections
    ]


def test_interactive_has_one_trace_a_label_with_its_points():
    z_mean, labels = cloud()
    figure = vae.plot_latent_space(z_mean, labels)
    assert isinstance(figure, go.Figure)
    assert [trace.name for trace in figure.data] == [str(digit) for digit in range(10)]
    for digit, trace in enumerate(figure.data):
        assert trace.type == "scattergl"
        assert trace.mode == "markers"
        assert trace.x.dtype == trace.y.dtype == np.float32  # base64 in the notebook
        np.testing.assert_array_equal(np.stack([trace.x, trace.y], 1), z_mean[labels == digit])
        assert f"label {digit}" in trace.hovertemplate
        assert "%{x" in trace.hovertemplate
    assert len({trace.marker.color for trace in figure.data}) == 10
    assert [trace.marker.color for trace in figure.data] == list(COLORS)


def test_interactive_layout():
    z_mean, labels = cloud()
    layout = vae.plot_latent_space(z_mean, labels).layout
    assert (layout.width, layout.height) == (800, 700)
    assert layout.yaxis.scaleanchor == "x"
    assert layout.legend.itemsizing == "constant"
    assert layout.showlegend is True
    assert layout.template == pio.templates["plotly_white"]
    assert layout.xaxis.title.text == "z_mean, dimension 1"
    assert layout.yaxis.title.text == "z_mean, dimension 2"
    assert layout.title.text == "Latent space of 300 images"
    assert "z_mean" in layout.title.subtitle.text
    assert vae.plot_latent_space(z_mean, labels, title="Mine").layout.title.text == "Mine"


def test_names_stand_at_the_medians_in_both_twins():
    z_mean, labels = cloud()
    wanted = {str(d): np.median(z_mean[labels == d], axis=0) for d in range(10)}
    notes = vae.plot_latent_space(z_mean, labels).layout.annotations
    assert [note.text for note in notes] == list(wanted)
    assert all("white" in note.font.shadow for note in notes)
    texts = [
        t for t in vae.plot_latent_space(z_mean, labels, static=True).axes[0].texts if t.get_text() in wanted
    ]
    assert [text.get_text() for text in texts] == list(wanted)
    assert all(text.get_path_effects() for text in texts)
    for name, note, text in zip(wanted, notes, texts, strict=True):
        np.testing.assert_allclose([note.x, note.y], wanted[name], atol=1e-6)
        np.testing.assert_allclose(text.get_position(), wanted[name], atol=1e-6)


@pytest.mark.parametrize("latent_dim", [2, 5])
@pytest.mark.parametrize("classes", [1, 10, 25])
def test_the_static_twin_draws_the_same(latent_dim, classes):
    z_mean, labels = cloud(latent_dim=latent_dim, classes=classes)
    interactive, static = (vae.plot_latent_space(z_mean, labels, static=still) for still in (False, True))
    assert isinstance(static, Figure)
    ax = static.axes[0]
    drawn = scatters(ax)
    assert len(drawn) == len(interactive.data) == classes
    for trace, (name, points, color) in zip(interactive.data, drawn, strict=True):
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
        trace.name for trace in interactive.data
    ]


def test_many_labels_keep_distinct_colours_and_are_not_written_into_the_picture():
    z_mean, labels = cloud(classes=25)
    figure = vae.plot_latent_space(z_mean, labels)
    assert len({trace.marker.color for trace in figure.data}) == 25
    assert len(figure.layout.annotations) == 0
    z_mean, labels = cloud(classes=20)
    assert len(vae.plot_latent_space(z_mean, labels).layout.annotations) == 20


def test_labels_may_be_strings():
    z_mean, _ = cloud(n=3)
    figure = vae.plot_latent_space(z_mean, ["shoe", "bag", "shoe"])
    assert [(trace.name, len(trace.x)) for trace in figure.data] == [("bag", 1), ("shoe", 2)]


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
    assert not figure.layout.annotations
    assert "label" not in trace.hovertemplate
    static = vae.plot_latent_space(z_mean, static=True)
    assert static.legends == []
    assert len(static.axes[0].collections) == 1


def test_more_dimensions_are_projected_on_principal_components():
    z_mean, labels = cloud(latent_dim=20)
    figure = vae.plot_latent_space(z_mean, labels)
    centred = z_mean.astype(float) - z_mean.mean(0)
    variances = np.linalg.svd(centred, compute_uv=False) ** 2
    shares = 100 * variances / variances.sum()
    for axis, i in ((figure.layout.xaxis, 0), (figure.layout.yaxis, 1)):
        wanted = f"principal component {i + 1} of 20 latent dimensions ({shares[i]:.0f} % of the variance)"
        assert axis.title.text == wanted
    drawn = np.concatenate([np.stack([trace.x, trace.y], 1) for trace in figure.data])
    np.testing.assert_allclose(drawn.var(0) * 300, variances[:2], rtol=1e-3)
    assert drawn.dtype == np.float32
    again = vae.plot_latent_space(z_mean, labels)
    assert all(
        (a.x == b.x).all() and (a.y == b.y).all() for a, b in zip(figure.data, again.data, strict=True)
    )


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
    assert [text.get_text() for text in right.texts] == ["prior, 1 sigma", "prior, 2 sigma"]
    assert right.get_xlim()[0] < -2
    assert right.get_ylim()[1] > 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [str(d) for d in range(10)]


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


# A label keeps its colour


def colors_of(figure):
    """Return the colour of each name."""
    return {trace.name: trace.marker.color for trace in figure.data}


@pytest.mark.parametrize("labels", [[0, 1, 2, 4, 9, 5], [4.0, 9.0], ["a", "c"], [9], [True, False]])
def test_whole_numbers_have_the_same_colour_whatever_else_there_is(labels):
    z_mean = np.random.default_rng(0).normal(size=(len(labels), 2))
    colors = list(colors_of(vae.plot_latent_space(z_mean, labels)).values())
    places = [0, 1] if isinstance(labels[0], str) else sorted(int(label) for label in labels)
    assert colors == [COLORS[place] for place in places]


def test_labels_above_9_keep_their_colours_too():
    z_mean, labels = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40)
    every = colors_of(vae.plot_latent_space(z_mean, labels))
    some = colors_of(vae.plot_latent_space(z_mean[::3], labels[::3]))
    assert len(set(every.values())) == 40
    assert some.items() <= every.items()


def test_names_have_their_colours_by_class_names():
    names = ("zebra", "ant", "cat")
    z_mean = np.random.default_rng(0).normal(size=(3, 2))
    wanted = dict(zip(names, COLORS, strict=False))
    by_number = vae.plot_latent_space(z_mean, [2, 0, 1], class_names=names)
    by_name = vae.plot_latent_space(z_mean, ["cat", "zebra", "ant"], class_names=names)
    fewer = vae.plot_latent_space(z_mean, ["cat", "cat", "ant"], class_names=names)
    assert colors_of(by_number) == colors_of(by_name) == wanted
    assert [trace.name for trace in by_name.data] == list(names)
    assert colors_of(fewer) == {name: wanted[name] for name in ("ant", "cat")}
    static = vae.plot_latent_space(z_mean, [2, 0, 1], class_names=names, static=True)
    assert [text.get_text() for text in static.legends[0].get_texts()] == list(names)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], ["a", "d"], [0.5, 1]])
def test_class_names_name_every_label(labels):
    message = r"class_names must name every label; got .*'a', 'b', 'c'.*and the label"
    with pytest.raises(ValueError, match=message):
        vae.plot_latent_space(np.zeros((2, 2)), labels, class_names=("a", "b", "c"))


def seen(color, defect):
    """Return a colour in OKLab as it is seen with a colour-vision defect, or with none.

    Machado, Oliveira & Fernandes 2009, full severity; Ottosson 2020.
    """
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = (np.array(DEFECTS[defect]) @ linear).clip(0, 1)
    cones = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]) @ linear
    to_lab = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]])
    return to_lab @ np.cbrt(cones)


DEFECTS = {
    "none": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_digits_that_touch_are_told_apart_by_everybody(defect):
    colors = [seen(color, defect) for color in COLORS]
    apart = {pair: np.linalg.norm(colors[pair[0]] - colors[pair[1]]) for pair in combinations(range(10), 2)}
    assert min(apart.values()) > 0.06
    assert min(apart[pair] for pair in [(3, 5), (3, 8), (5, 8), (4, 7), (4, 9), (7, 9)]) > 0.2
    if defect == "none":
        assert min(np.hypot(*color[1:]) for color in colors) > 0.07  # none is grey
