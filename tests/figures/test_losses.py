"""The loss curves: which panels and lines, at which epochs, and what is refused."""

from collections import UserDict
from itertools import combinations
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from tiny import X, fit, tiny_vae

import vae

FULL = {
    "loss": [60.0, 50.0, 45.0],
    "reconstruction_loss": [57.0, 47.5, 42.0],
    "kl_loss": [3.0, 2.5, 3.0],
    "val_loss": [52.0, 47.0, 44.0],
    "val_reconstruction_loss": [49.0, 44.0, 41.0],
    "val_kl_loss": [3.0, 3.0, 3.1],
    "learning_rate": [0.1, 0.1, 0.01],
}


@pytest.fixture(autouse=True)
def leaves_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


@pytest.mark.parametrize("wrap", [dict, UserDict, lambda record: SimpleNamespace(history=record)])
def test_three_panels_with_training_and_validation(wrap):
    figure = vae.plot_loss(wrap(FULL))
    assert [ax.get_title() for ax in figure.axes] == ["total loss", "reconstruction", "KL divergence"]
    for ax, name in zip(figure.axes, ("loss", "reconstruction_loss", "kl_loss"), strict=True):
        drawn = lines(ax)
        assert list(drawn) == ["training", "validation"]
        for label, prefix in (("training", ""), ("validation", "val_")):
            assert list(drawn[label].get_xdata()) == [1, 2, 3]
            assert list(drawn[label].get_ydata()) == FULL[prefix + name]
        assert drawn["training"].get_color() != drawn["validation"].get_color()
        assert drawn["training"].get_linestyle() != drawn["validation"].get_linestyle()
        assert ax.get_xlabel() == "epoch"
        assert all(tick == int(tick) for tick in ax.get_xticks())
    assert figure.axes[0].get_ylabel() == "nats per image"
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["training", "validation"]


def test_scales_do_not_start_at_0():
    for ax in vae.plot_loss(FULL).axes:
        assert ax.get_ylim()[0] > 0


def falling(first=231.0, epochs=30):
    values = 38 + 4 / np.arange(1, epochs + 1)
    values[0] = first
    return values


def notes(ax):
    return [text.get_text() for text in ax.texts]


def test_a_first_epoch_far_above_leaves_the_scale_to_the_others():
    total, kl = falling(), np.linspace(3, 4, 30)
    validation = falling(57.0) + 0.1
    figure = vae.plot_loss({"loss": total, "kl_loss": kl, "val_loss": validation, "val_kl_loss": kl})
    first, last = figure.axes
    low, high = first.get_ylim()
    assert low < 38.1
    assert total[1] < validation[1] < high < 41
    assert notes(first) == ["epoch 1 ↑ 231.00", "↑ 57.10"]
    assert [text.get_color() for text in first.texts] == [line.get_color() for line in first.lines]
    assert list(lines(first)["training"].get_ydata()) == list(total)  # in the line it stays
    assert notes(last) == []
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in (first.title, *first.texts)]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    resumed = SimpleNamespace(history={"loss": total}, epoch=range(7, 37))
    assert notes(vae.plot_loss(resumed).axes[0]) == ["epoch 8 ↑ 231.00"]


@pytest.mark.parametrize(
    "loss",
    [
        falling(43.0),  # above, but not far
        falling(epochs=3),
        [231.0, 4.0, 4.0, 4.0],
        [np.nan, 5.0, 4.0, 3.0],
        [np.inf, 5.0, 4.0, 3.0],
        [9.0, np.nan, np.nan, np.nan],
        falling(1.0),
    ],
)
def test_other_first_epochs_are_drawn_whole(loss):
    (ax,) = vae.plot_loss({"loss": loss}).axes
    assert notes(ax) == []
    if np.isfinite(loss[0]):
        assert ax.get_ylim()[0] < loss[0] < ax.get_ylim()[1]


def test_it_says_what_it_shows():
    assert vae.plot_loss(FULL).alt == (
        "Losses of 3 epochs, nats per image; total loss: training from 60.00 to 45.00, validation from 52.00 "
        "to 44.00; reconstruction: training from 57.00 to 42.00, validation from 49.00 to 41.00; KL "
        "divergence: training from 3.00 to 3.00, validation from 3.00 to 3.10."
    )
    assert vae.plot_loss({"loss": [2.0]}).alt == "Losses of one epoch, loss per image; loss: training 2.00."


def test_without_validation():
    figure = vae.plot_loss({name: FULL[name] for name in ("loss", "reconstruction_loss", "kl_loss")})
    assert [list(lines(ax)) for ax in figure.axes] == [["training"]] * 3


def test_a_plain_autoencoder_gets_one_panel():
    figure = vae.plot_loss({"loss": [3.0, 2.0], "val_loss": [2.5, 2.0]})
    (ax,) = figure.axes
    assert (ax.get_title(), ax.get_ylabel()) == ("loss", "loss per image")
    assert list(lines(ax)) == ["training", "validation"]


def test_an_autoencoder_of_this_package_gets_one_panel_too(images):
    """Its reconstruction term is its loss."""
    autoencoder = vae.build_autoencoder()
    autoencoder.compile()
    history = autoencoder.fit(images, validation_data=images, epochs=2, verbose=0)
    assert history.history["reconstruction_loss"] == pytest.approx(history.history["loss"])
    (ax,) = vae.plot_loss(history).axes
    assert (ax.get_title(), ax.get_ylabel()) == ("loss", "loss per image")
    assert list(lines(ax)["training"].get_ydata()) == history.history["loss"]
    assert list(lines(ax)["validation"].get_ydata()) == history.history["val_loss"]


def test_a_single_epoch_is_a_marker_at_a_whole_number():
    figure = vae.plot_loss({name: values[:1] for name, values in FULL.items()})
    figure.draw_without_rendering()
    for ax in figure.axes:
        low, high = ax.get_xlim()
        assert [tick for tick in ax.get_xticks() if low <= tick <= high] == [1]
        assert all(line.get_marker() == "o" for line in ax.lines)


def test_long_runs_have_markers_only_where_there_are_gaps():
    values = np.linspace(9, 1, 200)
    with_gaps = np.where(np.arange(200) % 5 == 4, values, np.nan)
    (ax,) = vae.plot_loss({"loss": values, "val_loss": with_gaps}).axes
    assert lines(ax)["training"].get_marker() in ("", "None", None)
    assert lines(ax)["validation"].get_marker() == "o"
    assert np.isnan(lines(ax)["validation"].get_ydata()).sum() == 160


def test_a_resumed_run_counts_on():
    history = SimpleNamespace(history={"loss": [3.0, 2.0]}, epoch=[5, 6])
    assert list(vae.plot_loss(history).axes[0].lines[0].get_xdata()) == [6, 7]


def test_a_keras_history_is_taken():
    import keras

    history = keras.callbacks.History()
    history.history, history.epoch = {"loss": [3.0, 2.0]}, [0, 1]
    assert list(vae.plot_loss(history).axes[0].lines[0].get_xdata()) == [1, 2]


@pytest.mark.parametrize("history", [None, [1.0, 2.0], 3.0, "loss", SimpleNamespace(history=[1.0])])
def test_another_type_is_refused(history):
    with pytest.raises(TypeError, match="history must be a Keras History"):
        vae.plot_loss(history)


@pytest.mark.parametrize(
    ("history", "error", "message"),
    [
        ({}, ValueError, '"loss"'),
        ({"accuracy": [1.0]}, ValueError, "accuracy"),
        ({"loss": []}, ValueError, "one number an epoch"),
        ({"loss": 3.0}, ValueError, "one number an epoch"),
        ({"loss": [[1.0, 2.0]]}, ValueError, "one number an epoch"),
        (
            {"loss": 10 * [1.0], "val_loss": 2 * [1.0]},
            ValueError,
            "which of its 10 epochs .*Pass the History",
        ),
        ({"loss": [1.0], "val_loss": [1.0, 1.0]}, ValueError, "val_loss"),
        ({"loss": [1.0], "val_loss": 1.0}, ValueError, "val_loss"),
        ({"loss": [1.0, 2.0], "kl_loss": [1.0]}, ValueError, "one number an epoch"),
        ({"loss": ["low", "lower"]}, TypeError, "must hold numbers"),
        ({"loss": [1.0], "kl_loss": None}, ValueError, "kl_loss"),
    ],
)
def test_another_content_is_refused(history, error, message):
    with pytest.raises(error, match=message):
        vae.plot_loss(history)


@pytest.mark.parametrize(
    ("frequency", "epochs", "validated"),
    [
        (1, 3, [1, 2, 3]),
        (3, 10, [3, 6, 9]),
        (4, 10, [4, 8]),
        (5, 10, [5, 10]),
        ([2, 3, 7], 7, [2, 3, 7]),
        (9, 4, []),
    ],
)
def test_a_validation_now_and_then_is_drawn_at_its_epochs(frequency, epochs, validated, tmp_path):
    model = tiny_vae()
    options = {"validation_data": X, "validation_freq": frequency, "epochs": epochs, "verbose": 0}
    history = model.fit(X, checkpoint=tmp_path, **options)
    again = model.fit(X, checkpoint=tmp_path, **options)
    for drawn in (history, again):
        for ax in vae.plot_loss(drawn).axes:
            assert list(lines(ax)["training"].get_xdata()) == list(range(1, epochs + 1))
            assert list(lines(ax)["validation"].get_xdata() if validated else []) == validated
    model.compile("adam")
    later = model.fit(X, initial_epoch=epochs, **{**options, "epochs": epochs + 6})
    if frequency == 3:
        assert list(lines(vae.plot_loss(later).axes[0])["validation"].get_xdata()) == [12, 15]


def test_a_plain_record_is_drawn_where_only_one_frequency_fits():
    (ax,) = vae.plot_loss({"loss": 7 * [1.0], "val_loss": [3.0, 2.0, 1.0]}).axes
    assert list(lines(ax)["validation"].get_xdata()) == [2, 4, 6]


def test_a_model_is_refused_and_the_way_is_named():
    model = tiny_vae()
    fit(model)
    with pytest.raises(TypeError, match=r"got a VAE: pass model\.history"):
        vae.plot_loss(model)
    assert vae.plot_loss(model.history).axes
