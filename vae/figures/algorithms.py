"""The map of machine-learning algorithms: where the variational autoencoder stands among its kin."""

import math
import textwrap
from typing import Any

import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Wedge

from vae._checks import check_flag
from vae.figures.picture import new_picture
from vae.figures.shared import INK

# Family: (what it does, its groups). Group: (what it does, its algorithms).
ALGORITHMS = {
    "Supervised learning": ("Learns from examples that come with the right answer.", {
        "Linear models": ("Predict with a weighted sum of the inputs.",
            ["Linear regression", "Ridge regression", "Lasso", "Logistic regression"]),
        "Trees and ensembles": ("Ask a series of questions, alone or as many models together.",
            ["Decision tree", "Random forest", "AdaBoost", "Gradient boosting"]),
        "Kernels and neighbours": ("Compare a new example with the known ones.",
            ["Support vector machine", "Gaussian process", "k-nearest neighbours"]),
        "Generative classifiers": ("Model how each class makes its data, then ask which class fits best.",
            ["Naive Bayes", "Discriminant analysis"]),
    }),
    "Unsupervised learning": ("Finds structure in data that come without answers.", {
        "Clustering": ("Sorts similar examples into groups.",
            ["k-means", "Hierarchical clustering", "DBSCAN", "Spectral clustering"]),
        "Dimensionality reduction": ("Describes data with fewer numbers.",
            ["Principal component analysis", "Independent component analysis", "t-SNE", "UMAP"]),
        "Density estimation": ("Models how probable each example is.",
            ["Gaussian mixture", "Kernel density estimation", "Hidden Markov model"]),
        "Association rules": ("Find items that often come together.", ["Apriori", "FP-growth"]),
    }),
    "Semi-supervised learning": ("Learns from a few labelled and many unlabelled examples.", {
        "Wrapper methods": ("Let a classifier label further examples for itself.",
            ["Self-training", "Co-training"]),
        "Graph methods": ("Pass labels along a graph of similar examples.",
            ["Label propagation", "Label spreading"]),
        "Consistency methods": ("Ask for the same answer when the input changes slightly.",
            ["Mean teacher", "FixMatch"]),
    }),
    "Reinforcement learning": ("Learns from rewards, by trial and error.", {
        "Value-based": ("Learn how good each action is.", ["Q-learning", "SARSA", "Deep Q-network"]),
        "Policy gradient": ("Improve the choice of actions directly.",
            ["REINFORCE", "Proximal policy optimisation"]),
        "Actor-critic": ("One part acts, another judges.", ["Advantage actor-critic", "Soft actor-critic"]),
        "Model-based": ("Plan with a model of the world.", ["Dyna-Q", "AlphaZero"]),
    }),
    "Neural networks": ("Layers of simple units with learned weights, trained with labels or without.", {
        "Feed-forward": ("Signals run straight from input to output.",
            ["Perceptron", "Multilayer perceptron", "Radial basis function network"]),
        "Convolutional": ("Slide small learned filters over an image.", ["LeNet", "ResNet", "U-Net"]),
        "Recurrent": ("Read a sequence step by step and remember.", ["Elman network", "LSTM", "GRU"]),
        "Transformers": ("Let every part of a sequence attend to every other.",
            ["BERT", "GPT", "Vision transformer"]),
        "Generative adversarial": ("A generator and a discriminator learn by contest.",
            ["DCGAN", "CycleGAN", "StyleGAN"]),
        "Diffusion and flows": ("Turn noise into data step by step.",
            ["Diffusion model", "Normalising flow"]),
        "Energy-based": ("Give likely data a low energy.",
            ["Hopfield network", "Boltzmann machine", "Restricted Boltzmann machine"]),
        "Autoencoders": ("Squeeze data through a narrow code and rebuild them from it.",
            ["Undercomplete autoencoder", "Sparse autoencoder", "Denoising autoencoder",
             "Contractive autoencoder", "Variational autoencoder"]),
    }),
}  # fmt: skip
# Of an algorithm, where it has a sentence of its own; the others share their group's.
SENTENCES = {
    "Undercomplete autoencoder": "Its code holds fewer numbers than the data.",
    "Sparse autoencoder": "Few units of its code may be active at once.",
    "Denoising autoencoder": "Rebuilds clean data from a noisy copy.",
    "Contractive autoencoder": "Its code changes little where the input changes little.",
    "Variational autoencoder": (
        "Encodes an image as a Gaussian, so that draws from one prior decode to new images."
    ),
}
FAMILY_COLOURS = ("#A9C4DE", "#A8D3C2", "#E6DDA4", "#CFBCDD", "#BFC5CC")  # muted, safe for the colour-blind
TITLE = "Machine-learning algorithms"
GROUP, ALGORITHM = "Autoencoders", "Variational autoencoder"  # what the map is drawn for
HIGHLIGHT, STRONG, WHITE = "#E8863A", "#A63603", "#FFFFFF"
ROTATION = 14  # degrees: brings the autoencoders, which come last, to the right, where text lies level
SIZE = 800  # pixels, about the width of a notebook's cell
RINGS = (0.0, 0.35, 0.645, 1.0)  # radii of the static map; plotly's rings are all of one width


class _Mark:
    """One sector; `start` and `stop` count algorithms, counter-clockwise from `ROTATION`."""

    def __init__(self, path: tuple[str, ...], about: str, start: int, stop: int, colour: str) -> None:
        self.path, self.about, self.start, self.stop, self.colour = path, about, start, stop, colour
        self.font_size = 11 if len(path) > 2 else 12
        width = (12, 18, 22)[len(path) - 1]  # letters that fit into a ring
        self.label = "\n".join(_wrap(path[-1], width))
        self.stands_out = path[-1] in (GROUP, ALGORITHM)
        self.bold = self.stands_out or len(path) == 1
        self.text_colour = WHITE if colour == STRONG else INK  # light on the one dark sector


def plot_algorithms(*, static: bool = False) -> go.Figure | Figure:
    """Draw a map of the common machine-learning algorithms by family.

    A sunburst of three rings: family, group, algorithm. Autoencoders, and the variational one among them,
    stand out. Point at a sector to read what it does, and click a family or a group to see it alone.

    Args:
        static: Whether to return the matplotlib twin instead, for places where no JavaScript runs.

    Returns:
        A `plotly.graph_objects.Figure`, or a `matplotlib.figure.Figure` if `static`.

    Raises:
        ValueError: `static` is no bool.

    Example:
        >>> import vae
        >>> vae.plot_algorithms().layout.title.text
        'Machine-learning algorithms'
    """
    marks = _marks()
    return _draw_static(marks) if check_flag("static", static) else _draw_interactive(marks)


def _marks() -> list[_Mark]:
    """Every sector of the map, each before those that it holds."""
    marks, count = [], 0
    for colour, (family, (family_about, groups)) in zip(FAMILY_COLOURS, ALGORITHMS.items(), strict=True):
        size = sum(len(names) for _, names in groups.values())
        marks.append(_Mark((family,), family_about, count, count + size, colour))
        for group, (about, names) in groups.items():
            hue = HIGHLIGHT if group == GROUP else _tint(colour, 0.25)
            marks.append(_Mark((family, group), about, count, count + len(names), hue))
            for name in names:
                shade = STRONG if name == ALGORITHM else _tint(hue, 0.45)
                sentence = SENTENCES.get(name, about)
                marks.append(_Mark((family, group, name), sentence, count, count + 1, shade))
                count += 1
    return marks


def _alt(marks: list[_Mark]) -> str:
    families = [f"{mark.path[0]} ({mark.stop - mark.start})" for mark in marks if len(mark.path) == 1]
    (place,) = (mark.path for mark in marks if mark.path[-1] == ALGORITHM)
    return (
        f"A map of {marks[-1].stop} machine-learning algorithms in three rings: family, group, algorithm. "
        f"The families, with their numbers of algorithms: {', '.join(families)}. "
        f"{place[2]} stands out: in the group {place[1]} of the family {place[0]}."
    )


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)


def _tint(colour: str, white: float) -> str:
    red, green, blue = (part + (1 - part) * white for part in to_rgb(colour))
    return to_hex((red, green, blue))


def _draw_interactive(marks: list[_Mark]) -> go.Figure:
    labels = [mark.label.replace("\n", "<br>") for mark in marks]
    outlines = {
        "color": [INK if mark.stands_out else WHITE for mark in marks],
        "width": [2.5 if mark.stands_out else 1 for mark in marks],
    }
    sunburst = go.Sunburst(
        ids=["/".join(mark.path) for mark in marks],
        parents=["/".join(mark.path[:-1]) for mark in marks],
        labels=[f"<b>{text}</b>" if mark.bold else text for text, mark in zip(labels, marks, strict=True)],
        values=[mark.stop - mark.start for mark in marks],
        textfont={
            "size": [mark.font_size for mark in marks],
            "color": [mark.text_colour for mark in marks],
        },
        marker={"colors": [mark.colour for mark in marks], "line": outlines},
        leaf={"opacity": 1},  # plotly fades leaves, and with them the one that matters
        customdata=[[" > ".join(mark.path), "<br>".join(_wrap(mark.about, 44))] for mark in marks],
        hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]}<extra></extra>",
    )
    sunburst.update(branchvalues="total", sort=False, rotation=ROTATION, insidetextorientation="radial")
    sunburst.update(meta={"narrow": {"maxdepth": 2}})  # of `show`: three rings of text need 800 pixels
    layout: dict[str, Any] = {"width": SIZE, "height": SIZE, "template": "plotly_white"}
    layout["title"] = {"text": TITLE, "x": 0.01, "y": 0.98, "font": {"size": 17}}
    layout["font"] = {"family": "Arial, sans-serif"}
    layout["hoverlabel"] = {"bgcolor": WHITE, "font": {"color": INK}}
    layout["margin"] = dict.fromkeys("trbl", 8)  # the title stands in the free corner
    return go.Figure(sunburst, layout)


def _draw_static(marks: list[_Mark]) -> Figure:
    figure = new_picture(figsize=(SIZE / 100, SIZE / 100))
    figure.alt = _alt(marks)
    axes = figure.add_subplot(aspect="equal", xlim=(-1.01, 1.01), ylim=(-1.01, 1.01))
    axes.set_axis_off()
    axes.text(-1, 1, TITLE, va="top", fontsize=13, color=INK)
    for mark in marks:
        _draw_sector(axes, mark, degrees=360 / marks[-1].stop)
    return figure


def _draw_sector(axes: Axes, mark: _Mark, degrees: float) -> None:
    inner, outer = RINGS[len(mark.path) - 1 : len(mark.path) + 1]
    ends = ROTATION + mark.start * degrees, ROTATION + mark.stop * degrees
    edge, width, layer = (INK, 2, 2) if mark.stands_out else ("white", 0.8, 1)
    wedge = Wedge((0, 0), outer, *ends, width=outer - inner, facecolor=mark.colour)
    wedge.set(edgecolor=edge, linewidth=width, zorder=layer)
    axes.add_patch(wedge)
    angle = ROTATION + (mark.start + mark.stop) / 2 * degrees
    radius = (inner + outer) / 2 if inner else 0.6 * outer  # a family has more room at its rim
    x, y = radius * math.cos(math.radians(angle)), radius * math.sin(math.radians(angle))
    upright = angle if math.cos(math.radians(angle)) >= 0 else angle + 180
    label = axes.text(x, y, mark.label, color=mark.text_colour, fontsize=7.6)
    label.set(ha="center", va="center", rotation=upright, rotation_mode="anchor", linespacing=1.1, zorder=3)
    label.set_fontweight("bold" if mark.bold else "normal")
