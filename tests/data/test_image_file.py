"""Image files as they come: what their pixels become, and what cannot be read."""

import os
import warnings

import numpy as np
import pytest
from image_files import fill, read, save, values
from PIL import ExifTags, Image

from vae.data import folder
from vae.data.folder import load_images

# Pixels


def test_an_image_of_the_wanted_size_keeps_its_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1.png")
    np.testing.assert_array_equal(read(tmp_path / "1.png", "rgb", (6, 9)), pixels)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_the_middle_is_cropped_to_the_wanted_ratio(tmp_path, suffix):
    pixels = np.zeros((100, 300), np.uint8)
    pixels[:, 100:200] = 200
    Image.fromarray(pixels).save(tmp_path / f"1.{suffix}", quality=95)
    square = read(tmp_path / f"1.{suffix}", size=(10, 10))
    np.testing.assert_allclose(square[:, 1:-1], 200, atol=10)  # the sides are gone
    whole = read(tmp_path / f"1.{suffix}", size=(10, 30))
    np.testing.assert_allclose(whole[:, [3, 15, 27]], np.tile([0, 200, 0], (10, 1)), atol=10)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_large_images_are_averaged_not_sampled(tmp_path, suffix):
    pixels = (np.indices((800, 800)).sum(0) % 2 * 255).astype(np.uint8)  # a chessboard: grey from afar
    Image.fromarray(pixels).save(tmp_path / f"1.{suffix}", quality=95)
    np.testing.assert_allclose(read(tmp_path / f"1.{suffix}", size=(10, 10)), 127.5, atol=4)


def test_small_images_are_enlarged(tmp_path):
    assert (read(save(tmp_path / "1.png", 77, size=(1, 3)), size=(28, 20)) == 77).all()


def test_colors(tmp_path):
    file = save(tmp_path / "1.png", (200, 100, 50), mode="RGB")
    np.testing.assert_array_equal(read(file, "rgb")[0, 0], [200, 100, 50])
    assert read(file)[0, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    np.testing.assert_array_equal(read(save(tmp_path / "1.png", 9), "rgb")[0, 0], [9, 9, 9])
    np.testing.assert_array_equal(read(save(tmp_path / "1.png", 1, mode="1"), "rgb")[0, 0], [255] * 3)


def test_a_jpeg_has_the_same_grey_as_a_png(tmp_path):
    jpeg = read(save(tmp_path / "a" / "1.jpg", (200, 100, 50), (64, 64), "RGB"))
    png = read(save(tmp_path / "b" / "1.png", (200, 100, 50), (64, 64), "RGB"))
    np.testing.assert_allclose(jpeg, png.astype(int), atol=2)


def test_cmyk(tmp_path):
    file = save(tmp_path / "1.jpg", (0, 255, 255, 0), (16, 16), "CMYK", quality=95)
    np.testing.assert_allclose(read(file, "rgb"), np.tile([255, 0, 0], (4, 4, 1)), atol=8)


@pytest.mark.parametrize(("mode", "value"), [("RGBA", (200, 200, 200, 128)), ("LA", (200, 128))])
def test_transparency_lies_on_black(tmp_path, mode, value):
    file = save(tmp_path / "1.png", value, mode=mode)
    np.testing.assert_allclose(read(file), 100, atol=1)
    np.testing.assert_allclose(read(file, "rgb"), 100, atol=1)
    assert (read(save(tmp_path / "1.png", (*value[:-1], 0), mode=mode)) == 0).all()


def test_palettes_with_and_without_transparency(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 255, 255, 10, 20, 30])
    image.save(tmp_path / "1.png")
    np.testing.assert_array_equal(read(tmp_path / "1.png", "rgb")[0, 0], [10, 20, 30])
    image.save(tmp_path / "1.png", transparency=1)
    assert (read(tmp_path / "1.png", "rgb") == 0).all()


def test_a_transparent_value_of_grey_lies_on_black(tmp_path):
    assert (read(save(tmp_path / "1.png", 200, transparency=200)) == 0).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_keep_the_upper_8(tmp_path, suffix):
    pixels = np.array([[0, 255, 256, 32768], [40000, 65279, 65280, 65535]] * 2, np.uint16)
    Image.fromarray(pixels).save(tmp_path / f"1.{suffix}")
    np.testing.assert_array_equal(read(tmp_path / f"1.{suffix}"), pixels // 256)


def test_pixels_of_32_bits_have_no_known_white_and_are_skipped(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "1.tif")
    with pytest.raises(ValueError, match=r"'1\.tif': neither 8 nor 16 bits a pixel"):
        load_images(tmp_path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation, suffix):
    """However an image is stored, it is upright: dark above, and bright below on the right."""
    upright = np.full((64, 128), 20, np.uint8)
    upright[32:, 64:] = 220
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"lossless": True} if suffix == "webp" else {"quality": 95} if suffix == "jpg" else {}
    Image.fromarray(stored).save(tmp_path / f"1.{suffix}", exif=exif, **options)
    np.testing.assert_allclose(read(tmp_path / f"1.{suffix}", size=(64, 128)), upright.astype(int), atol=8)


def test_damaged_metadata_does_not_cost_the_image(tmp_path):
    assert (read(save(tmp_path / "1.png", 50, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")) == 50).all()


def test_an_image_is_turned_whose_metadata_cannot_be_written_again(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(np.array([[10, 200]], np.uint8)).save(tmp_path / "1.png", exif=exif)

    def refuse(exif):
        raise ValueError("cannot be written")

    monkeypatch.setattr(Image.Exif, "tobytes", refuse)
    np.testing.assert_array_equal(read(tmp_path / "1.png", size=(2, 1)), [[10], [200]])


def test_the_first_frame_of_a_gif(tmp_path):
    frames = [Image.new("L", (4, 4), value) for value in (30, 60, 90)]
    frames[0].save(tmp_path / "1.gif", save_all=True, append_images=frames[1:])
    assert (read(tmp_path / "1.gif") == 30).all()


# What cannot be read


def spoil(folder):
    """Put files that no one can read beside good ones; return their names."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8)
    for form in ("png", "jpeg", "bmp", "gif", "tiff", "webp"):
        whole = folder / f"whole.{form}"
        Image.fromarray(noise).save(whole)
        (folder / f"half.{form}").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        whole.unlink()
    (folder / "text.png").write_text("no image at all")
    (folder / "zero.png").write_bytes(b"")
    return [path.name for path in folder.iterdir() if path.name[0] in "htz"]


def test_unreadable_files_are_named_and_cost_no_others(tmp_path):
    fill(tmp_path, {"a": 30, "b": 30})
    bad = spoil(tmp_path / "a")
    assert len(bad) == 8
    with pytest.warns(UserWarning, match="8 skipped") as caught:
        data = load_images(tmp_path, (4, 4))
    (warning,) = caught
    assert warning.filename == __file__
    text = str(warning.message)
    assert text.startswith(f"8 skipped below {str(tmp_path)!r}, 60 images read:\n  'a/half.bmp': ")
    assert all(f"\n  'a/{name}': " in text for name in bad)
    assert "'a/zero.png': not an image" in text
    assert sorted(values(data.x_train) + values(data.x_test)) == list(range(1, 61))
    assert np.bincount(data.y_test).tolist() == [6, 6]
    assert data.y_train.tolist() == [0 if v <= 30 else 1 for v in values(data.x_train)]


def test_the_warning_names_ten_and_counts_the_rest(tmp_path):
    save(tmp_path / "good.png", 1)
    for i in range(13):
        (tmp_path / f"bad{i:02}.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="13 skipped") as caught:
        load_images(tmp_path, (4, 4))
    lines = str(caught[0].message).splitlines()
    assert len(lines) == 12
    assert "bad09" in lines[10]
    assert lines[11] == "  and 3 more"


def test_a_class_that_cannot_be_read_keeps_its_label(tmp_path):
    fill(tmp_path, {"a": 1, "b": 1, "c": 1})
    (tmp_path / "b" / "000.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="'b/000.png': not an image"):
        data = load_images(tmp_path, (4, 4))
    assert data.class_names == ("a", "b", "c")
    assert data.y_train.tolist() == [0, 2]


@pytest.mark.parametrize("pixels", [150, 250])  # Pillow warns above its limit, and refuses above twice that
def test_decompression_bombs_are_skipped(tmp_path, monkeypatch, pixels):
    save(tmp_path / "good.png", 1)
    save(tmp_path / "bomb.png", 2, size=(pixels, 1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.warns(UserWarning, match="'bomb.png': more than 100 pixels"):
        assert values(load_images(tmp_path, (4, 4)).x_train) == [1]


def test_only_the_six_formats_are_read_whatever_the_suffix(tmp_path):
    save(tmp_path / "good.png", 1)
    save(tmp_path / "jpeg.png", 2, format="jpeg")
    save(tmp_path / "eps.png", 3, mode="RGB", format="eps")  # which Pillow hands to another program
    with pytest.warns(UserWarning, match="1 skipped.*\n  'eps.png': not an image"):
        assert values(load_images(tmp_path, (4, 4), test_share=0).x_train) == [1, 2]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission_are_skipped(tmp_path):
    fill(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "a" / "000.png").chmod(0)
    (tmp_path / "b").chmod(0)
    try:
        with pytest.warns(UserWarning, match="'a/000.png': Permission denied\n  'b': Permission denied"):
            assert values(load_images(tmp_path, (4, 4)).x_train) == [2]
    finally:
        (tmp_path / "b").chmod(0o700)


def test_files_that_cannot_be_opened_are_skipped_whoever_runs_this(tmp_path, monkeypatch):
    save(tmp_path / "good.png", 1)
    save(tmp_path / "bad.png", 1)

    def refuse(path, *args):
        if str(path).endswith("bad.png"):
            raise PermissionError(13, "Permission denied")
        return open(path, *args)

    monkeypatch.setattr(folder, "open", refuse, raising=False)
    with pytest.warns(UserWarning, match=r"'bad.png': Permission denied"):
        assert values(load_images(tmp_path, (4, 4), test_share=0).x_train) == [1]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    save(tmp_path / "good.png", 1)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.warns(UserWarning, match="'pipe.png': not a regular file"):
        load_images(tmp_path, (4, 4))


def test_warnings_as_errors_cost_no_image(tmp_path):
    """Pillow remarks on palettes and metadata; for who turns warnings into errors, too, these are none."""
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 255, 255, 10, 20, 30])
    image.save(tmp_path / "1.png", transparency=b"\xff\x80")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (read(tmp_path / "1.png", "rgb") == [5, 10, 15]).all()
