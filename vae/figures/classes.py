"""Points of the latent plane by label: their colours, the view of the plane, their names in it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from vae._checks import Labels, check_labels
from vae.figures.shared import COLORS

_MOST_NAMES = 20  # above, names written into a picture would cover it
# Width of a letter written there, height of a line, and the least space between names, as shares of the
# view's longer side.
_LETTER, _LINE, _GAP = 0.021, 0.04, 0.01
_MOST_STEPS = 300  # twenty names in one place are apart after fewer
_LONGEST = 2.5  # how many times as long as the other a side of the view may be


class Group(NamedTuple):
    """The points of one label; the name is None where there are no labels."""

    name: str | None
    color: str
    points: np.ndarray


class View(NamedTuple):
    """The part of a plane that is shown: its limits, and how many points lie outside."""

    x: tuple[float, float]
    y: tuple[float, float]
    outside: int

    @property
    def extent(self) -> float:
        """The longer side."""
        return max(self.x[1] - self.x[0], self.y[1] - self.y[0])

    @property
    def ratio(self) -> float:
        """Height by width."""
        return (self.y[1] - self.y[0]) / (self.x[1] - self.x[0])

    def tell_outside(self) -> str:
        """Return in words how many points lie outside; nothing if none does."""
        if not self.outside:
            return ""
        return f"; {self.outside:,} {'lies' if self.outside == 1 else 'lie'} outside"

    def describe(self, across: str, up: str) -> str:
        """Return in words what the axes show."""
        (x0, x1), (y0, y1) = map(write_number, self.x), map(write_number, self.y)
        return f"{across} from {x0} to {x1} across, {up} from {y0} to {y1} up{self.tell_outside()}"


class Classes(NamedTuple):
    """The labels that occur, in order, with their colours; of each image the number of its label there."""

    names: list[str]
    colors: list[str]
    numbers: np.ndarray


def sort_labels(labels: Labels, n: int, class_names: Sequence[str] | None = None) -> Classes:
    """Return the classes of `n` images; each has a place, which decides its colour.

    The place of a whole number is the number itself, that of a string is where it stands in `class_names`,
    or, without these, among the strings that occur.
    """
    kinds, numbers = np.unique(check_labels("labels", labels, n), return_inverse=True)
    names, known = (
        [str(kind) for kind in kinds],
        [str(name) for name in (() if class_names is None else class_names)],
    )
    places = list(range(len(kinds)))
    if kinds.dtype.kind in "biuf" and (np.floor(kinds) == kinds).all() and np.abs(kinds).max() < 2**31:
        places = [int(kind) for kind in kinds]
    elif known:
        places = [known.index(name) if name in known else -1 for name in names]
    if known:
        missing = [name for name, place in zip(names, places, strict=True) if not 0 <= place < len(known)]
        if missing:
            raise ValueError(f"class_names must name every label; got {known}, and the label {missing[0]}.")
        names = [known[place] for place in places]
    order = np.argsort(places)
    return Classes(
        [names[i] for i in order], [_label_color(places[i]) for i in order], np.argsort(order)[numbers]
    )


def _label_color(place: int) -> str:
    if 0 <= place < len(COLORS):
        return COLORS[place]
    # Steps of the golden section never come back to the same hue.
    return str(to_hex(colormaps["turbo"](0.05 + 0.9 * (place * 0.618034 % 1))))


def group_points(
    points: np.ndarray, labels: Labels | None, class_names: Sequence[str] | None = None
) -> list[Group]:
    """Sort points by label; each label has its name and colour."""
    if labels is None:
        return [Group(None, COLORS[0], points)]
    classes = sort_labels(labels, len(points), class_names)
    shown = [name.replace("$", r"\$") for name in classes.names]  # a dollar would open a formula
    return [Group(name, classes.colors[i], points[classes.numbers == i]) for i, name in enumerate(shown)]


def choose_view(points: np.ndarray) -> View:
    """Return the part of the plane to show: every point but those that lie far from nearly all others."""
    points = points.astype(float)
    low, high = np.quantile(points, (0.005, 0.995), axis=0)
    beyond = 0.15 * (high - low)
    low, high = np.maximum(points.min(axis=0), low - beyond), np.minimum(points.max(axis=0), high + beyond)
    outside = int(((points < low) | (points > high)).any(axis=1).sum())
    middle, sides = (low + high) / 2, 1.08 * (high - low)
    sides = np.maximum(sides, sides.max() / _LONGEST)
    # The second is for a single point: limits must differ, also beside a large number.
    sides = np.where(sides > 0, sides, 1 + np.abs(middle).max() / 100)
    (x0, y0), (x1, y1) = (middle - sides / 2).tolist(), (middle + sides / 2).tolist()
    return View((x0, x1), (y0, y1), outside)


def name_places(groups: list[Group], view: View | None = None) -> list[tuple[str, float, float]]:
    """Return where to write each name; none without labels, or of too many.

    That is the median of its points. With a view, names that would overlap there are moved apart.
    """
    named = [group for group in groups if group.name is not None]
    if not named or len(named) > _MOST_NAMES:
        return []
    places = np.array([np.median(group.points[:, :2].astype(float), axis=0) for group in named])
    if view is not None:
        sizes = np.array([(_LETTER * len(str(group.name)) + _GAP, _LINE) for group in named])
        places = places.clip(*np.transpose([view.x, view.y]))  # a class of outliers is named at the rim
        places = _push_apart(places / view.extent, sizes) * view.extent
    return [(str(group.name), x, y) for group, (x, y) in zip(named, places.tolist(), strict=True)]


def _push_apart(places: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Move boxes that overlap apart, step by step, each pair the shorter way; others stay in their places."""
    order = np.arange(len(places))
    earlier = np.sign(order[:, None] - order)[..., None]
    for _ in range(_MOST_STEPS):
        apart = places[:, None] - places  # of i from j
        overlaps = (sizes[:, None] + sizes) / 2 - np.abs(apart)
        touching = (overlaps > 1e-6).all(axis=2) & (order[:, None] != order)
        if not touching.any():
            break
        # Two in one place part by their order.
        side = np.where(apart == 0, earlier, np.sign(apart))
        shorter = overlaps.argmin(axis=2)[..., None] == [0, 1]
        places = places + 0.5 * (side * overlaps * shorter * touching[..., None]).sum(axis=1)
    return places


def describe_places(groups: list[Group]) -> str:
    """Return in words where the median of each label lies, as a sentence; nothing without labels."""
    named = [group for group in groups if group.name is not None]
    if not named:
        return ""
    if len(named) > _MOST_NAMES:
        return f" {len(named)} labels, each in its colour."
    places = [f"{name} at {write_point(x, y)}" for name, x, y in name_places(named)]
    return f" Medians: {', '.join(places)}.".replace(r"\$", "$")


def write_point(*numbers: float) -> str:
    """Return a point in words, to two decimals."""
    return f"({', '.join(write_number(number) for number in numbers)})"


def write_number(number: float) -> str:
    """Return a number in words, to two decimals, or a large one to three digits."""
    rounded = round(float(number), 2) + 0.0  # + 0.0 turns -0.00 into 0.00
    return f"{rounded:.2f}" if abs(rounded) < 10_000 else f"{rounded:.3g}"


def to_trace(group: Group, size: float, **options: Any) -> go.Scattergl:
    """Return a group of points for plotly, which writes float32 as base64: 11 characters a point."""
    (x, y), marker = group.points.T, {"color": group.color, "size": size, "opacity": 0.6}
    return go.Scattergl(x=x, y=y, name=group.name, mode="markers", marker=marker, **options)


def draw_points(ax: Axes, groups: list[Group], size: float) -> None:
    """Draw groups of points in their colours, both axes to one scale."""
    for name, color, points in groups:
        x, y = points.T
        ax.scatter(x, y, s=size, color=color, alpha=0.6, linewidths=0, label=name, rasterized=True)
    ax.set_aspect("equal", adjustable="datalim")
    ax.grid(alpha=0.25)


def draw_legend(ax: Axes, groups: list[Group], **options: Any) -> None:
    """Name the groups that were drawn, beside the axes."""
    numbers = [str(i) for i in range(len(groups))]
    legend = ax.figure.legend(ax.collections, numbers, frameon=False, **options)
    # Set afterwards: matplotlib leaves out names that are empty or begin with "_".
    for text, group in zip(legend.get_texts(), groups, strict=True):
        text.set_text(group.name)
