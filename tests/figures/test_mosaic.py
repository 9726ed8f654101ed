"""Pictures joined into one: each in its place, gaps and places left over in the background's value."""

import io

import numpy as np
import pytest
from PIL import Image

from vae.figures.shared import to_mosaic, to_png


@pytest.mark.parametrize("shape", [(6, 2, 3), (6, 2, 3, 3)])
def test_pictures_stand_side_by_side_from_the_top(shape):
    pictures = np.random.default_rng(0).random(shape)
    mosaic = to_mosaic(pictures, columns=3)
    assert mosaic.shape == (4, 9, *shape[3:])
    for i, picture in enumerate(pictures):
        y, x = 2 * (i // 3), 3 * (i % 3)
        np.testing.assert_array_equal(mosaic[y : y + 2, x : x + 3], picture)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_gaps_and_places_left_over_are_the_background(channels):
    pictures = np.arange(3 * 2 * 3 * max(1, sum(channels)), dtype=np.uint8).reshape(3, 2, 3, *channels)
    mosaic = to_mosaic(pictures, columns=2, gap=1, background=255)
    assert (mosaic.shape, mosaic.dtype) == ((7, 9, *channels), np.uint8)
    for picture, (y, x) in zip(pictures, [(1, 1), (1, 5), (4, 1)], strict=True):
        np.testing.assert_array_equal(mosaic[y : y + 2, x : x + 3], picture)
        mosaic[y : y + 2, x : x + 3] = 255
    assert (mosaic == 255).all()


def test_a_png_holds_the_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(to_png(Image.fromarray(pixels)))) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), pixels)
