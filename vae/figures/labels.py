"""Points by label: each label has a name, a colour, and a place in the plane where its name is written."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from vae._checks import Labels, check_labels
from vae.data import Dataset
from vae.figures.shared import COLORS

_MOST_NAMES = 20  # above, names written into a picture would cover it


class Group(NamedTuple):
    """The points of one label; the name is None where there are no labels."""

    name: str | None
    color: str
    points: np.ndarray


def number_labels(labels: Labels, n: int) -> tuple[list[str], np.ndarray]:
    """Return the names of the labels in order, and for each of `n` images the number of its label."""
    names, numbers = np.unique(check_labels("labels", labels, n), return_inverse=True)
    return [str(name) for name in names], numbers


def names_of_labels(data: Dataset) -> Any:
    """Return the labels of the test images, by name where they have names; None where all are one."""
    if len(data.class_names) == 1 or not data.y_test.any():
        return None
    return [data.class_names[label] for label in data.y_test] if data.class_names else data.y_test


def label_colors(n: int) -> tuple[str, ...]:
    """Return a colour for each of `n` labels."""
    if n <= len(COLORS):
        return COLORS[:n]
    return tuple(to_hex(color) for color in colormaps["turbo"](np.linspace(0.05, 0.95, n)))


def group_points(points: np.ndarray, labels: Labels | None) -> list[Group]:
    """Sort points by label; each label has its name and colour."""
    if labels is None:
        return [Group(None, COLORS[0], points)]
    names, numbers = number_labels(labels, len(points))
    colors = label_colors(len(names))
    shown = [name.replace("$", r"\$") for name in names]  # a dollar would open a formula
    return [Group(name, colors[i], points[numbers == i]) for i, name in enumerate(shown)]


def name_places(groups: list[Group]) -> list[tuple[str, float, float]]:
    """Return where to write each name, the median of its points; none without labels, or of too many."""
    if len(groups) > _MOST_NAMES:
        return []
    return [(name, *np.median(points, axis=0).tolist()) for name, _, points in groups if name is not None]


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
