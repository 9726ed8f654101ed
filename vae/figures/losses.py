"""The losses of a training run, by epoch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vae._keras import keras
from vae.figures.picture import new_picture
from vae.figures.shared import COLORS

_PANELS = {"loss": "total loss", "reconstruction_loss": "reconstruction", "kl_loss": "KL divergence"}
_LINES = {"": ("training", COLORS[0], "-"), "val_": ("validation", COLORS[2], "--")}
_MOST_MARKED = 30  # epochs; above, markers would hide the line
_FEWEST = 4  # epochs; fewer are no curve yet, and are drawn whole
_FAR = 2  # times the range of all later epochs: a first epoch further above them is left out of the scale


def plot_loss(history: Any) -> Figure:
    """Draw the losses that `fit` recorded by epoch: the total, and its reconstruction and KL terms.

    Each panel has a scale of its own, which need not start at 0. A first epoch far above all others is left
    out of the scale, and written at the top. NaN leaves a gap. A model without a KL term, such as an
    `Autoencoder`, gets one panel.

    Args:
        history: The `keras.callbacks.History` that `fit` returns, or its `.history`: a mapping from
            names to one number an epoch. "loss" must be there; "reconstruction_loss", "kl_loss"
            and the "val_" twins are drawn where they are.

    Returns:
        A matplotlib `Figure` with one axes a term.

    Raises:
        TypeError: `history` is neither a History nor a mapping to numbers.
        ValueError: No "loss", no epochs, or series that differ in length, where nothing tells which
            epochs were validated.

    Example:
        >>> import vae
        >>> len(vae.plot_loss({"loss": [52.0, 44.0], "val_loss": [46.0, 43.0]}).axes)
        1
    """
    if isinstance(
        getattr(history, "history", None), keras.callbacks.History
    ):  # a model, which keeps that of its last fit
        name = type(history).__name__
        raise TypeError(f"history must be the History that fit returns; got a {name}: pass model.history.")
    series = _check_series(getattr(history, "history", history))
    n = len(series["loss"])
    # A resumed fit counts on from its initial_epoch, which only the History object knows.
    recorded = getattr(history, "epoch", range(n))
    epochs = np.asarray(recorded if len(recorded) == n else range(n)) + 1
    validated = _validated(epochs, series, getattr(history, "validation_freq", None))
    # Without a KL term the reconstruction term is the loss itself: its panel would be the same again.
    titles = _PANELS if "kl_loss" in series else {"loss": "loss"}
    panels = [name for name in titles if name in series]
    figure = new_picture(figsize=(4 * len(panels), 3.4))
    for ax, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for prefix, (label, color, style) in _LINES.items():
            values = series.get(prefix + name)
            if values is not None:
                # Between two gaps, or alone, a point is visible by its marker only.
                marker = "o" if len(values) <= _MOST_MARKED or not np.isfinite(values).all() else ""
                at = validated if prefix else epochs
                ax.plot(at, values, style, color=color, label=label, marker=marker, markersize=3.5)
        ax.set(title=titles[name], xlabel="epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25)
    if any([_leave_out_first(ax, epochs[0]) for ax in figure.axes]):  # all of them, not up to the first
        for ax in figure.axes:
            ax.set_title(ax.get_title(), pad=20)
    unit = "nats per image" if "kl_loss" in series else "loss per image"
    figure.axes[0].set_ylabel(unit)
    figure.axes[0].legend(frameon=False)
    words = [f"{titles[name]}: {_describe(series, name)}" for name in panels]
    when = f"{len(epochs)} epochs" if len(epochs) > 1 else "one epoch"
    figure.alt = f"Losses of {when}, {'; '.join([unit, *words])}."
    return figure


def _leave_out_first(ax: Axes, first: float) -> bool:
    """End the axis above all later epochs and write the first one's values, where these lie far above."""
    drawn = [(line, *np.asarray(line.get_xydata(), dtype=float).T) for line in ax.lines]
    later = np.concatenate([y[(x > first) & np.isfinite(y)] for _, x, y in drawn])
    low, high = (later.min(), later.max()) if len(later) else (0.0, 0.0)
    limit = high + _FAR * (high - low)
    firsts = [(line, y[0]) for line, x, y in drawn if len(x) and x[0] == first and y[0] < np.inf]
    far = any(value > limit for _, value in firsts)
    if not far or low == high or len(drawn[0][1]) < _FEWEST:
        return False
    margin, points = 0.05 * (high - low), 0.0
    top = high + 2 * margin
    ax.set_ylim(low - margin, top)
    for line, value in [(line, value) for line, value in firsts if value > top]:
        text = f"↑ {value:.2f}" if points else f"epoch {first:g} ↑ {value:.2f}"
        look: dict[str, Any] = {"color": line.get_color(), "fontsize": 9, "textcoords": "offset points"}
        ax.annotate(text, (first, 1), (points, 4), xycoords=ax.get_xaxis_transform(), **look)
        points += 5.5 * (len(text) + 1)
    return True


def _describe(series: dict[str, np.ndarray], name: str) -> str:
    """Return in words from where to where the lines of a panel go."""
    words = []
    for prefix, (label, _, _) in _LINES.items():
        values = series.get(prefix + name)
        if values is not None:
            to = f" to {values[-1]:.2f}" if len(values) > 1 else ""
            words.append(f"{label} {'from ' * bool(to)}{values[0]:.2f}{to}")
    return ", ".join(words)


def _check_series(record: Any) -> dict[str, np.ndarray]:
    """Return the series to draw as arrays of one length."""
    if not isinstance(record, Mapping):
        raise TypeError(f"history must be a Keras History or its .history dict; got {type(record).__name__}.")
    if "loss" not in record:
        raise ValueError(f'history must hold "loss", one number an epoch; got {sorted(map(str, record))}.')
    series = {}
    for name in (prefix + panel for panel in _PANELS for prefix in _LINES):
        if name in record:
            try:
                series[name] = np.asarray(record[name], dtype=float)
            except (TypeError, ValueError):
                raise TypeError(f'history["{name}"] must hold numbers; got {record[name]!r}.') from None
            if series[name].ndim != 1 or not 0 < len(series[name]) <= len(series["loss"]):
                raise ValueError(
                    f'history["{name}"] must hold one number an epoch, as many as "loss"; got shape '
                    f"{series[name].shape}."
                )
    trained = {name: len(values) for name, values in series.items() if not name.startswith("val_")}
    if len(set(trained.values())) > 1:
        raise ValueError(f"history must hold one number an epoch; got {trained}.")
    return series


def _validated(epochs: np.ndarray, series: dict[str, np.ndarray], frequency: Any) -> np.ndarray:
    """Return the epochs of which there is a validation; `fit` notes on its History how often there was."""
    counts = {len(values) for name, values in series.items() if name.startswith("val_")}
    every = range(1, len(epochs) + 1) if frequency is None else [frequency]
    chosen = [np.isin(epochs, list(f)) if np.iterable(f) else epochs % f == 0 for f in every]
    fitting = [epochs[validated] for validated in chosen if counts <= {validated.sum()}]
    if counts and len(fitting) != 1:
        raise ValueError(
            f"history must tell which of its {len(epochs)} epochs were validated; got validation losses of "
            f"{sorted(counts)}. Pass the History that fit returns, or put NaN where nothing was validated."
        )
    return fitting[0] if counts else epochs
