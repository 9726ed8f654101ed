"""The picture of the architecture: what stands where, and the images in it."""

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vae.figures.architecture import plot_architecture


def drawn(figure):
    FigureCanvasAgg(figure).draw()
    return figure


def test_architecture_labels_do_not_overlap_and_nothing_is_clipped():
    figure = drawn(plot_architecture())
    assert isinstance(figure, Figure)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert len(boxes) == 11
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
        assert figure.bbox.fully_contains(box.x0, box.y0)
        assert figure.bbox.fully_contains(box.x1, box.y1)
    for patch in figure.axes[0].patches:
        box = patch.get_window_extent()
        frame = figure.axes[0].get_window_extent()
        assert frame.fully_contains(box.x0, box.y0)
        assert frame.fully_contains(box.x1, box.y1)


def test_architecture_labels_stay_inside_their_blocks():
    axes = drawn(plot_architecture()).axes[0]
    inside = {"$\\mathtt{z\\_mean}$", "$\\mathtt{z\\_log\\_sigma}$", "$z$"}
    for text in axes.texts:
        if text.get_text() in inside:
            box = text.get_window_extent()
            assert any(
                patch.get_window_extent().fully_contains(box.x0, box.y0)
                and patch.get_window_extent().fully_contains(box.x1, box.y1)
                for patch in axes.patches
            )


def test_architecture_shows_given_images():
    image = np.linspace(0, 1, 28 * 28).reshape(28, 28)
    wide = np.zeros((10, 20), np.uint8)
    axes = drawn(plot_architecture(image, wide)).axes[0]
    left, right = axes.get_images()
    np.testing.assert_allclose(left.get_array(), image, atol=1e-6)
    x0, x1, y0, y1 = right.get_extent()
    assert (x1 - x0) == pytest.approx(2 * (y1 - y0))  # the picture keeps its proportions
    assert axes.get_xlim() == plot_architecture().axes[0].get_xlim()


def test_architecture_checks_images():
    with pytest.raises(ValueError, match="image must hold floats in"):
        plot_architecture(np.full((28, 28), 255.0))
    with pytest.raises(ValueError, match="reconstruction"):
        plot_architecture(None, np.zeros((2, 3, 4, 5)))


def test_nothing_global_changes():
    before = dict(matplotlib.rcParams), matplotlib.get_backend()
    plot_architecture()
    assert before == (dict(matplotlib.rcParams), matplotlib.get_backend())
