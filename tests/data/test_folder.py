import doctest
import sys
import time

import numpy as np
import pytest
from image_files import fill, read, save, values
from PIL import Image

import vae
from vae import _terminal
from vae.data import folder
from vae.data.folder import load_images

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links need special rights on Windows")


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


def test_one_line_says_what_was_found(tmp_path, capfd):
    fill(tmp_path, {"a": 8, "b": 2})
    (tmp_path / "notes.txt").touch()
    data = load_images(tmp_path, (4, 4))
    line = f"Dataset {data.name!r}: 8 training and 2 test images of 4 x 4, 2 classes; "
    assert capfd.readouterr() == (f"{line}from {str(tmp_path)!r}, beside 1 other file.\n", "")


def test_long_work_says_how_far_it_is(tmp_path, monkeypatch, capfd):
    fill(tmp_path, {"a": 8})
    monkeypatch.setattr(_terminal, "_PATIENCE", -1)
    load_images(tmp_path, (4, 4))
    assert capfd.readouterr().out.splitlines()[:-1] == [f"Reading images: {n} of 8" for n in (2, 4, 6, 8)]


def fill_with_photos(folder, kind="HEIF", suffix=".HEIC", n=7):
    """Put one JPEG and n other photos into a folder."""
    Image.new("RGB", (40, 30), "white").save(folder / "0.jpg")
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    for i in range(n):
        Image.new("RGB", (40, 30), "white").save(folder / f"{i + 1}{suffix}", format=kind)


def test_photos_of_phones_are_read(tmp_path, recwarn):
    fill_with_photos(tmp_path)
    data = load_images(tmp_path, (6, 8), "rgb", test_share=0)
    assert data.x_train.shape == (8, 6, 8, 3)
    assert data.x_train.min() > 250
    assert not recwarn.list


def test_or_counted_where_nothing_can_read_them(tmp_path, monkeypatch):
    fill_with_photos(tmp_path)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    text = r"7 skipped below .*, 1 image read:\n  '1.HEIC': HEIC is read where"
    with pytest.warns(UserWarning, match=text) as got:
        assert len(load_images(tmp_path).x_train) == 1
    assert len(got) == 1
    (tmp_path / "0.jpg").unlink()
    with pytest.raises(ValueError, match=r"(?s)7 that cannot be read:.*pip install pillow-heif"):
        load_images(tmp_path)


def test_images_of_other_kinds_are_counted(tmp_path):
    fill_with_photos(tmp_path, "PPM", ".ppm", 2)
    (tmp_path / "camera.NEF").touch()
    with pytest.warns(UserWarning, match=r"(?s)3 skipped below .*'1.ppm': \.ppm is not read.*camera.NEF"):
        load_images(tmp_path)


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

    monkeypatch.setattr(folder, "_read_into", slow)
    monkeypatch.setattr(folder, "progress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_images(tmp_path)
    stopped = len(begun)
    time.sleep(0.2)
    assert len(begun) == stopped < 100


def test_docstring_example_runs():
    (test,) = doctest.DocTestFinder().find(load_images, "load_images", globs={})
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
