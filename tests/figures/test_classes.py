"""Points by label: a colour for each, names that do not overlap, the part of the plane that is shown."""

from itertools import combinations

import numpy as np
import pytest
from figures.clouds import cloud, dots
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

import vae
from vae.figures.classes import choose_view, group_points, name_places
from vae.figures.shared import COLORS

# Names, and the view


@pytest.mark.parametrize("names", [[str(i) for i in range(20)], ["T-shirt/top", "Ankle boot", "Bag", "Coat"]])
@pytest.mark.parametrize("spread", [0, 0.01, 0.3])
def test_no_two_names_overlap(names, spread):
    rng, n = np.random.default_rng(0), len(names)
    centres = np.repeat(rng.normal(size=(n, 2)) * spread, 5, axis=0)
    z_mean = np.concatenate([centres, [[-4, -3], [4, 3]]])
    labels = [*np.repeat(names, 5), names[0], names[0]]
    figure = vae.plot_latent_space(z_mean, labels, static=True)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text() in names]
    assert len(boxes) == n
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    again = vae.plot_latent_space(z_mean, labels, static=True).axes[0].texts
    wanted = [text.get_position() for text in figure.axes[0].texts]
    assert [text.get_position() for text in again] == wanted


def test_names_that_overlap_move_apart_and_a_lonely_one_stays():
    points = np.array([[0, 0], [0.01, 0], [5, 5], [-5, -5]], "float32")
    groups = group_points(points, ["a", "b", "lonely", "far"])
    places = {name: (x, y) for name, x, y in name_places(groups, choose_view(points))}
    assert places["lonely"] == pytest.approx((5, 5), abs=1e-9)
    assert places["far"] == pytest.approx((-5, -5), abs=1e-9)
    assert places["a"] != pytest.approx((0, 0), abs=0.01)
    np.testing.assert_allclose(np.mean([places["a"], places["b"]], axis=0), [0.005, 0], atol=1e-6)
    assert name_places(groups) == [
        ("a", 0, 0),
        ("b", pytest.approx(0.01), 0),
        ("far", -5, -5),
        ("lonely", 5, 5),
    ]


def test_points_far_from_all_others_are_left_out_and_counted():
    z_mean = np.concatenate([cloud(n=1000)[0], [[500, 0], [0, -900], [300, 300]]])
    labels = [0] * 1000 + [1] * 3
    interactive, static = (vae.plot_latent_space(z_mean, labels, static=still) for still in (False, True))
    for low, high in (interactive.layout.xaxis.range, static.axes[0].get_xlim(), static.axes[0].get_ylim()):
        assert -30 < low < -3
        assert 9 < high < 40
    view = choose_view(z_mean)
    (x0, x1), (y0, y1) = view.x, view.y
    inside = (z_mean > [x0, y0]).all(axis=1) & (z_mean < [x1, y1]).all(axis=1)
    assert view.outside == (~inside).sum() >= 3
    assert interactive.layout.title.subtitle.text.endswith(f"; {view.outside} lie outside")
    assert f"{view.outside} lie outside" in static.alt
    (name,) = (text for text in static.axes[0].texts if text.get_text() == "1")  # at the rim
    assert x0 <= name.get_position()[0] <= x1
    assert y0 <= name.get_position()[1] <= y1


def test_what_lies_together_is_shown_whole():
    for z_mean in (cloud()[0], np.zeros((1, 2)), np.full((3, 2), 1e30), np.eye(2), np.eye(2) * [1, 1e-9]):
        view = choose_view(z_mean)
        assert view.outside == 0
        assert view.x[0] < z_mean[:, 0].min() <= z_mean[:, 0].max() < view.x[1]
        assert view.y[0] < z_mean[:, 1].min() <= z_mean[:, 1].max() < view.y[1]
        assert 0.399 < view.ratio < 2.501


@pytest.mark.parametrize("across", [1, 3])
def test_the_plane_fills_its_picture(across):
    z_mean = cloud()[0] * [across, 1]
    figure = vae.plot_latent_space(z_mean, static=True)
    figure.draw_without_rendering()
    box, view = figure.axes[0].get_position(), choose_view(z_mean)
    assert figure.axes[0].get_xlim() == pytest.approx(view.x)
    assert figure.axes[0].get_ylim() == pytest.approx(view.y)
    assert box.width * box.height > 0.6


# A label keeps its colour


def colors_of(figure):
    """Return the colour of each name."""
    return {trace.name: trace.marker.color for trace in dots(figure)}


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
    assert [trace.name for trace in dots(by_name)] == list(names)
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
