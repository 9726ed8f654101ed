"""Models side by side."""

import numpy as np
import pytest
from tiny import PIXELS, X, tiny_vae

import vae


def test_each_model_has_its_plane_and_its_grid():
    models = {"beta 1": tiny_vae(), "beta 4": tiny_vae()}
    figure = vae.plot_comparison(models, X, np.arange(16) % 3, n=4)
    planes, grids = figure.axes[:2], figure.axes[2:]
    assert [ax.get_title() for ax in planes] == ["beta 1", "beta 4"]
    for model, plane, grid in zip(models.values(), planes, grids, strict=True):
        drawn = np.concatenate([points.get_offsets() for points in plane.collections])
        z_mean = model.encode(X)[0]
        np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(z_mean, axis=0), atol=1e-6)
        side = int(PIXELS**0.5)
        corner = model.decode(np.array([[-2.5, 2.5]]))[0].reshape(side, side)
        np.testing.assert_allclose(grid.images[0].get_array()[:side, :side], corner, atol=1e-5)
        assert list(grid.images[0].get_extent()) == [-2.5, 2.5, -2.5, 2.5]
    assert figure.alt.startswith("2 models side by side: above the z_mean of 16 images")
    assert "beta 4. Medians: 0 at (" in figure.alt
    assert len(figure.legends[0].get_texts()) == 3


def test_labels_may_be_missing_and_the_grid_one_point():
    assert vae.plot_comparison({"a": tiny_vae()}, X, n=1).legends == []


@pytest.mark.parametrize(
    ("models", "error", "message"),
    [
        ({}, ValueError, "models must hold one model or more"),
        ({"a": None}, TypeError, r"models\['a'\] must be"),
        ({"a": vae.VAE(vae.build_encoder(PIXELS, latent_dim=3), vae.build_decoder(3, output_dim=PIXELS))},
         ValueError, r"models\['a'\] must have 2 latent dimensions"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(models, error, message):
    with pytest.raises(error, match=message):
        vae.plot_comparison(models, X)
