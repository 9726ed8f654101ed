"""The map of algorithms: its table, and that both drawings show the whole of it legibly."""

import math

import matplotlib
import numpy as np
import plotly.graph_objects as go
import plotly.io
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Wedge

from vae.figures import algorithms
from vae.figures.algorithms import ALGORITHMS, RINGS, SENTENCES, plot_algorithms

LEAVES = [
    (family, group, name)
    for family, (_, groups) in ALGORITHMS.items()
    for group, (_, names) in groups.items()
    for name in names
]
SECTORS = len(ALGORITHMS) + sum(len(groups) for _, groups in ALGORITHMS.values()) + len(LEAVES)


@pytest.fixture(scope="module")
def static():
    figure = plot_algorithms(static=True)
    FigureCanvasAgg(figure).draw()
    return figure


def test_table_is_complete_and_without_duplicates():
    names = [leaf[-1] for leaf in LEAVES]
    assert len(names) >= 55
    assert len(set(names)) == len(names)
    assert list(ALGORITHMS) == [
        "Supervised learning",
        "Unsupervised learning",
        "Semi-supervised learning",
        "Reinforcement learning",
        "Neural networks",
    ]
    assert ("Neural networks", "Autoencoders", "Variational autoencoder") in LEAVES


def test_every_family_and_group_is_described_by_one_sentence():
    for about, groups in ALGORITHMS.values():
        for sentence in (about, *(text for text, _ in groups.values())):
            assert sentence.endswith(".")
            assert sentence.count(".") == 1


def test_interactive_map_holds_the_whole_table():
    figure = plot_algorithms()
    (trace,) = figure.data
    assert isinstance(figure, go.Figure)
    assert trace.type == "sunburst"
    assert len(trace.ids) == len(set(trace.ids)) == SECTORS
    assert set(trace.parents) - {""} <= set(trace.ids)
    for path in LEAVES:
        assert "/".join(path) in trace.ids
    at = trace.ids.index("Neural networks/Autoencoders")
    assert trace.values[at] == 5
    assert list(trace.customdata[at]) == ["Neural networks > Autoencoders", trace.customdata[at][1]]


def test_values_of_a_sector_are_the_sum_of_those_that_it_holds():
    (trace,) = plot_algorithms().data
    for name, value in zip(trace.ids, trace.values, strict=True):
        parts = [v for parent, v in zip(trace.parents, trace.values, strict=True) if parent == name]
        assert not parts or sum(parts) == value


def test_variational_autoencoder_stands_out():
    (trace,) = plot_algorithms().data
    at = trace.ids.index("Neural networks/Autoencoders/Variational autoencoder")
    assert trace.labels[at].startswith("<b>")
    assert trace.marker.colors.count(trace.marker.colors[at]) == 1
    assert trace.marker.line.width[at] == max(trace.marker.line.width)


def test_text_has_contrast():
    def luminance(colour):
        parts = np.array(matplotlib.colors.to_rgb(colour))
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    (trace,) = plot_algorithms().data
    for fill, text in zip(trace.marker.colors, trace.textfont.color, strict=True):
        dark, light = sorted((luminance(fill), luminance(text)))
        assert (light + 0.05) / (dark + 0.05) > 4.5


def test_static_map_is_drawn_from_the_same_numbers(static):
    assert isinstance(static, Figure)
    (trace,) = plot_algorithms().data
    wedges = [patch for patch in static.axes[0].patches if isinstance(patch, Wedge)]
    labels = [text.get_text() for text in static.axes[0].texts[1:]]  # the first is the title
    assert len(wedges) == len(labels) == SECTORS
    assert [text.replace("\n", "<br>") for text in labels] == [
        label.removeprefix("<b>").removesuffix("</b>") for label in trace.labels
    ]
    for wedge, value, colour in zip(wedges, trace.values, trace.marker.colors, strict=True):
        assert wedge.theta2 - wedge.theta1 == pytest.approx(360 * value / len(LEAVES))
        assert matplotlib.colors.to_hex(wedge.get_facecolor()).upper() == colour.upper()


def test_some_algorithms_have_a_sentence_of_their_own():
    assert set(SENTENCES) <= {name for *_, name in LEAVES}
    assert all(sentence.endswith(".") and sentence.count(".") == 1 for sentence in SENTENCES.values())
    (trace,) = plot_algorithms().data
    about = {text[0].rpartition(" > ")[2]: text[1] for text in trace.customdata}
    assert about["Variational autoencoder"].replace("<br>", " ") == SENTENCES["Variational autoencoder"]
    assert about["LSTM"] == about["Recurrent"]
    assert max(len(line) for text in about.values() for line in text.split("<br>")) <= 44


def test_the_alternative_text_counts_what_is_drawn(static):
    assert static.alt.startswith(f"A map of {len(LEAVES)} machine-learning algorithms")
    for family, (_, groups) in ALGORITHMS.items():
        assert f"{family} ({sum(len(names) for _, names in groups.values())})" in static.alt
    assert "Variational autoencoder stands out: in the group Autoencoders" in static.alt


def test_both_are_as_large_as_a_cell_of_a_notebook(static):
    layout = plot_algorithms().layout
    assert (layout.width, layout.height) == (800, 800)
    assert static.get_figwidth() == static.get_figheight()


def test_static_labels_stand_upright_inside_their_sectors(static):
    axes = static.axes[0]
    pixels = axes.transData.transform((1, 0))[0] - axes.transData.transform((0, 0))[0]
    wedges = [patch for patch in axes.patches if isinstance(patch, Wedge)]
    for wedge, text in zip(wedges, axes.texts[1:], strict=True):
        assert math.cos(math.radians(text.get_rotation())) > -1e-9, text.get_text()
        text.set_rotation(0)
        box = text.get_window_extent()
        inner, outer = wedge.r - wedge.width, wedge.r
        assert box.width < (outer - inner) * pixels, text.get_text()
        radius = math.hypot(*text.get_position()) * pixels
        assert radius + box.width / 2 < outer * pixels, text.get_text()
        radius -= (
            box.width / 2 if inner else 0
        )  # nearest to the centre, where a family's second line is short
        half_angle = math.radians(min(180, wedge.theta2 - wedge.theta1) / 2)
        assert box.height < 2 * radius * math.tan(half_angle) or half_angle >= math.pi / 2, text.get_text()


def test_static_map_is_not_clipped(static):
    axes = static.axes[0]
    frame = axes.get_window_extent()
    centre, edge = axes.transData.transform([(0, 0), (RINGS[-1], 0)])
    radius = edge[0] - centre[0]
    assert centre[0] - radius >= frame.x0
    assert centre[0] + radius <= frame.x1
    assert centre[1] - radius >= frame.y0
    assert centre[1] + radius <= frame.y1
    title = axes.texts[0].get_window_extent()
    assert math.dist((title.x1, title.y0), centre) > radius  # the title stands free of the circle


def test_nothing_global_changes():
    before = dict(matplotlib.rcParams), plotly.io.templates.default, plotly.io.renderers.default
    plot_algorithms()
    plot_algorithms(static=True)
    assert before == (dict(matplotlib.rcParams), plotly.io.templates.default, plotly.io.renderers.default)


def test_each_call_gives_a_figure_of_its_own():
    assert plot_algorithms() is not plot_algorithms()
    assert algorithms.plot_algorithms(static=True) is not plot_algorithms(static=True)
