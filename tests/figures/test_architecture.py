"""The picture of the architecture: what stands where, and the images in it."""

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vae.figures.architecture import ARROWS, plot_architecture


def drawn(figure):
    FigureCanvasAgg(figure).draw()
    return figure


def test_architecture_labels_do_not_overlap_and_nothing_is_clipped():
    figure = drawn(plot_architecture())
    assert isinstance(figure, Figure)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    assert len(boxes) == 17
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
    inside |= {"layers", "KL divergence", "reconstruction loss", "loss = sum"}
    assert inside <= {text.get_text() for text in axes.texts}
    for text in axes.texts:
        if text.get_text() in inside:
            box = text.get_window_extent()
            assert any(
                patch.get_window_extent().fully_contains(box.x0, box.y0)
                and patch.get_window_extent().fully_contains(box.x1, box.y1)
                for patch in axes.patches
            )


def test_arrows_join_what_they_should():
    """Each begins and ends at the rim of a block, of a frame, of an image or at its name."""
    axes = drawn(plot_architecture()).axes[0]
    centres = {text.get_text(): np.array(text.get_position()) for text in axes.texts if text.get_text()}
    ends = {
        ("$z$", "decoder\n$p\\,(x\\,|\\,z)$"),
        ("a Gaussian", "$z$"),
        ("$\\mathtt{z\\_log\\_sigma}$", "KL divergence"),  # from the frame around it and z_mean
        ("layers", "$\\mathtt{z\\_mean}$"),
        ("layers", "$\\mathtt{z\\_log\\_sigma}$"),
        ("KL divergence", "loss = sum"),
        ("reconstruction loss", "loss = sum"),
        ("image", "reconstruction loss"),
        ("reconstruction", "reconstruction loss"),
        ("$\\epsilon \\sim \\mathcal{N}(0, I)$", "$z$"),
    }

    def nearest(point):
        return min(centres, key=lambda name: np.hypot(*(centres[name] - point)))

    assert ends <= {(nearest(corners[0]), nearest(corners[-1])) for corners in ARROWS}


def test_it_says_what_it_shows():
    words = plot_architecture().alt
    for name in (
        "encoder",
        "z_mean",
        "z_log_sigma",
        "z = ",
        "decoder",
        "reconstruction loss",
        "KL divergence",
    ):
        assert name in words
    assert "Drawn" not in words
    image = np.zeros((4, 4))
    assert plot_architecture(image).alt == words + " Drawn in it: image."
    assert plot_architecture(image, image).alt == words + " Drawn in it: image and its reconstruction."


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
