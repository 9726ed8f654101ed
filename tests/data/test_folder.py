import doctest
import os
import sys
import time
import warnings

import numpy as np
import pytest
from PIL import ExifTags, Image

import vae
from vae import _terminal as _progress
from vae.data import folder as images
from vae.data.folder import load_images

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need special rights on Windows")


def save(path, value=0, size=(4, 4), mode="L", **options):
    """Write an image of one color; `size` is (width, height), as in Pillow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path, **options)
    return path


def fill(folder, counts, start=1):
    """Write `counts[name]` images a class; each has a value of its own, which tells it from the others."""
    value = start
    for name in sorted(counts):
        for i in range(counts[name]):
            save(folder / name / f"{i:03}.png", value)
            value += 1
    return folder


def read(path, color="grayscale", size=(4, 4)):
    """Load a folder's only image."""
    data = load_images(path.parent, size, color, test_share=0)
    assert len(data.x_train) == 1
    return data.x_train[0]


def values(x):
    return x[:, 0, 0].tolist()


# Labels, names and order


def test_subfolders_are_classes_in_sorted_order(tmp_path):
    fill(tmp_path / "pets", {"dogs": 3, "cats": 2, "Zebras": 1})
    data = load_images(tmp_path / "pets", (4, 4), test_share=0)
    assert data.class_names == ("Zebras", "cats", "dogs")
    assert data.y_train.tolist() == [0, 1, 1, 2, 2, 2]
    assert values(data.x_train) == [1, 2, 3, 4, 5, 6]
    assert data.name == "pets"
    assert repr(data) == "Dataset 'pets': 6 training and 0 test images of 4 x 4"
    assert data.x_train.dtype == data.y_train.dtype == data.y_test.dtype == np.uint8


def test_deeper_folders_belong_to_their_class_and_parts_are_sorted_one_by_one(tmp_path):
    for value, name in enumerate(["a/1.png", "a/b/c/2.png", "a/b/c-d.png", "a-b/1.png", "a.b/1.png"]):
        save(tmp_path / name, value)
    data = load_images(tmp_path, (4, 4), test_share=0)
    assert data.class_names == ("a", "a-b", "a.b")
    assert values(data.x_train) == [0, 1, 2, 3, 4]
    assert data.y_train.tolist() == [0, 0, 0, 1, 2]


def test_images_directly_in_the_folder_are_one_class_without_name(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", i)
    (tmp_path / "notes").mkdir()  # holds no image: no class
    (tmp_path / "notes" / "read.txt").write_text("x")
    data = load_images(str(tmp_path), (4, 4), test_share=0)
    assert data.y_train.tolist() == [0, 0, 0]
    assert data.class_names == ()
    assert vae.load_digits().class_names == ()


def test_hidden_files_and_other_kinds_are_left_alone(tmp_path):
    fill(tmp_path, {"a": 1})
    save(tmp_path / "a" / ".hidden.png", 90)
    save(tmp_path / ".cache" / "1.png", 91)
    (tmp_path / "a" / "labels.csv").write_text("no image, no warning")
    assert values(load_images(tmp_path, (4, 4)).x_train) == [1]


@pytest.mark.parametrize("suffix", ["png", "PNG", "jpg", "JPeG", "bmp", "gif", "tif", "TIFF", "webp"])
def test_every_suffix_is_read_whatever_its_case(tmp_path, suffix):
    form = {"jpg": "jpeg", "tif": "tiff"}.get(suffix.lower(), suffix.lower())
    image = read(save(tmp_path / f"1.{suffix}", 100, format=form))
    np.testing.assert_allclose(image, 100, atol=3)


def test_more_than_256_classes_have_int32_labels(tmp_path):
    fill(tmp_path, {f"{i:03}": 1 for i in range(256)}, start=0)
    assert load_images(tmp_path, (4, 4)).y_train.dtype == np.uint8
    save(tmp_path / "256" / "1.png")
    data = load_images(tmp_path, (4, 4))
    assert data.y_train.dtype == data.y_test.dtype == np.int32
    assert data.y_train.tolist() == list(range(257))


# The split


def test_the_split_is_stratified_disjoint_complete_and_in_order(tmp_path):
    fill(tmp_path, {"a": 50, "b": 20, "c": 10})
    data = load_images(tmp_path, (4, 4), test_share=0.3)
    assert np.bincount(data.y_test).tolist() == [15, 6, 3]
    assert sorted(values(data.x_train) + values(data.x_test)) == list(range(1, 81))
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert values(x) == sorted(values(x))
        assert y.tolist() == [0 if v <= 50 else 1 if v <= 70 else 2 for v in values(x)]
        assert (x == x[:, :1, :1]).all()  # no image is made of two
        assert x.flags.c_contiguous
        assert x.flags.writeable


def test_the_split_follows_the_seed(tmp_path):
    fill(tmp_path, {"a": 40})
    split = [values(load_images(tmp_path, (4, 4), seed=seed).x_test) for seed in (0, 0, 1, None, None)]
    assert split[0] == split[1] != split[2]
    assert split[3] != split[4]


def test_every_class_keeps_an_image_to_learn_from(tmp_path):
    fill(tmp_path, {"a": 1, "b": 2, "c": 9})
    data = load_images(tmp_path, (4, 4), test_share=0.99)
    assert np.bincount(data.y_train).tolist() == [1, 1, 1]
    assert np.bincount(data.y_test, minlength=3).tolist() == [0, 1, 8]


@pytest.mark.parametrize(("color", "shape"), [("grayscale", (0, 3, 5)), ("rgb", (0, 3, 5, 3))])
def test_no_share_gives_an_empty_test_part(tmp_path, color, shape):
    fill(tmp_path, {"a": 3})
    data = load_images(tmp_path, (3, 5), color, test_share=0)
    assert data.x_test.shape == shape
    assert data.y_test.shape == (0,)
    assert data.x_train.shape == (3, *shape[1:])


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

    monkeypatch.setattr(images, "open", refuse, raising=False)
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


# Links


@needs_links
def test_links_out_of_the_folder_are_not_followed(tmp_path):
    secret = save(tmp_path / "outside" / "secret.png", 99)
    folder = fill(tmp_path / "in", {"a": 1})
    (folder / "a" / "link.png").symlink_to(secret)
    (folder / "b").symlink_to(tmp_path / "outside")
    (folder / "up").symlink_to(tmp_path)
    (folder / "in-").symlink_to(tmp_path / "in-outside")  # begins as the folder, and leads nowhere
    with pytest.warns(UserWarning, match="4 skipped") as caught:
        data = load_images(folder, (4, 4))
    assert str(caught[0].message).splitlines()[1:] == [
        "  'a/link.png': link out of the folder",
        "  'b': link out of the folder",
        "  'in-': broken link",
        "  'up': link out of the folder",
    ]
    assert values(data.x_train) == [1]
    assert data.class_names == ("a",)


@needs_links
def test_links_inside_the_folder_are_followed_once(tmp_path):
    fill(tmp_path, {"a": 1, ".store": 1})
    (tmp_path / "a" / "again.png").symlink_to("000.png")
    (tmp_path / "b").symlink_to(".store")
    (tmp_path / "c").symlink_to("a")
    with pytest.warns(UserWarning, match="1 skipped.*\n  'c': folder that is read anyway$"):
        data = load_images(tmp_path, (4, 4), test_share=0)
    assert data.class_names == ("a", "b")
    assert values(data.x_train) == [2, 2, 1]


@needs_links
def test_rings_of_links_come_to_an_end(tmp_path):
    names = [f"{i:02}" for i in range(12)]
    fill(tmp_path, dict.fromkeys(names, 1))
    for name in names:
        for other in names:  # as many ways through them as 12 things have orders
            (tmp_path / name / f"to-{other}").symlink_to(tmp_path / other)
        (tmp_path / name / "up").symlink_to(tmp_path)
    (tmp_path / "itself.png").symlink_to("itself.png")
    start = time.monotonic()
    with pytest.warns(UserWarning, match=f"{12 * 13 + 1} skipped"):
        data = load_images(tmp_path, (4, 4))
    assert time.monotonic() - start < 10
    assert values(data.x_train) == list(range(1, 13))


@needs_links
def test_the_folder_itself_may_be_a_link(tmp_path):
    fill(tmp_path / "real", {"a": 2})
    (tmp_path / "link").symlink_to("real")
    data = load_images(tmp_path / "link", (4, 4), test_share=0)
    assert values(data.x_train) == [1, 2]
    assert data.name == "link"


# Folders and arguments that are none


def test_missing_folder_and_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="folder must be a folder of images; there is none at"):
        load_images(tmp_path / "none")
    with pytest.raises(NotADirectoryError, match=r"1\.png' is a file"):
        load_images(save(tmp_path / "1.png"))


def test_empty_folder(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(ValueError, match=r"folder must hold images .*\.png.*; got '.*' with nothing\.$"):
        load_images(tmp_path)
    (tmp_path / "a" / "x.txt").write_text("x")
    with pytest.raises(ValueError, match=r"with 1 of other kinds\.$"):
        load_images(tmp_path)


def test_nothing_readable(tmp_path):
    bad = [tmp_path / f"{i:02}.png" for i in range(12)]
    for path in bad:
        path.write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"with 12 that cannot be read:\n  '00\.png': not an image"
    ) as caught:
        load_images(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert str(caught.value).endswith("and 2 more")


def test_a_mix_of_classes_and_loose_images(tmp_path):
    fill(tmp_path, {"a": 3})
    save(tmp_path / "loose.png")
    with pytest.raises(
        ValueError, match=r"1 directly, such as 'loose.png', and 3 in subfolders, such as 'a/"
    ):
        load_images(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("size", value) for value in (28, (28,), (28, 28, 1), (0, 28), (28, 2.5), "28", None, (True, 2))],
        *[("color", value) for value in ("gray", "RGB", None, 1, "", ["rgb"])],
        *[("test_share", value) for value in (-0.1, 1, 1.5, float("nan"), "0.2", None, True)],
        *[("seed", value) for value in (-1, 0.5, 2**32, "0", True)],
    ],
)
def test_bad_arguments_are_named_before_anything_is_read(tmp_path, name, value):
    with pytest.raises(ValueError, match=rf"{name}.* must be .*; got "):
        load_images(tmp_path / "none", **{name: value})


@pytest.mark.parametrize("folder", [None, 3, b"folder", ["folder"]])
def test_folder_must_be_a_path(folder):
    with pytest.raises(TypeError, match="folder must be a string or a path object; got"):
        load_images(folder)


# The run itself


def test_every_run_gives_the_same(tmp_path, digits):
    for i in range(300):
        path = tmp_path / str(digits.y_train[i]) / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(digits.x_train[i]).save(path)
    one, other = load_images(tmp_path), load_images(tmp_path)
    for key in ("x_train", "y_train", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(one, key), getattr(other, key))
    read = np.concatenate([one.x_train, one.x_test]).reshape(300, -1)
    given = digits.x_train[:300].reshape(300, -1)
    np.testing.assert_array_equal(np.unique(read, axis=0), np.unique(given, axis=0))
    model = vae.VAE(vae.build_encoder(seed=0), vae.build_decoder())
    model.compile()
    history = model.fit(one.x_train, epochs=1, validation_data=one.x_test, verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()


def test_short_work_is_silent_and_long_work_is_not(tmp_path, monkeypatch, capfd):
    fill(tmp_path, {"a": 8})
    load_images(tmp_path, (4, 4))
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(_progress, "_PATIENCE", -1)
    load_images(tmp_path, (4, 4))
    assert capfd.readouterr().out.splitlines() == [f"Reading images: {n} of 8" for n in (2, 4, 6, 8)]


def test_ctrl_c_stops_at_once(tmp_path, monkeypatch):
    fill(tmp_path, {"a": 200})
    begun = []

    def slow(pixels, path):
        begun.append(path)
        time.sleep(0.01)
        return ""

    def interrupted(items, total, what):
        yield next(iter(items))
        raise KeyboardInterrupt

    monkeypatch.setattr(images, "_read_into", slow)
    monkeypatch.setattr(images, "progress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_images(tmp_path)
    stopped = len(begun)
    time.sleep(0.2)
    assert len(begun) == stopped < 100


def test_docstring_example_runs():
    (test,) = doctest.DocTestFinder().find(load_images, "load_images", globs={})
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
