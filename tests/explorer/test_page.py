"""explore: one self-contained file, from any images and models, and clear errors."""

import base64
import html
import re
import zlib

import keras
import numpy as np
import pytest
from explorer.browsing import data_of

import vae
from vae.builders import build_conv_decoder, build_conv_encoder
from vae.explorer import explore
from vae.figures.shared import COLORS

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> & {{data}} \u2028 \\u003c \"'"


def pixels_of(data):
    """The images that can be chosen, (n, values), uint8."""
    return np.frombuffer(zlib.decompress(base64.b64decode(data["originals"])), np.uint8).reshape(
        len(data["chosen"]), -1
    )


@pytest.fixture
def target(tmp_path):
    return tmp_path / "pages" / "latent.html"


@pytest.fixture(scope="module")
def vae_model():
    keras.utils.set_random_seed(0)
    return vae.VAE(vae.build_encoder(seed=1), vae.build_decoder())


@pytest.fixture(scope="module")
def page(vae_model, tmp_path_factory):
    images = np.random.default_rng(0).random((16, 784), dtype=np.float32)  # as the fixture `images`
    return explore(
        vae_model, images, np.arange(16) % 3, path=tmp_path_factory.mktemp("page") / "new" / "a.html"
    )


class Encodes(vae.VAE):
    """A VAE of 4 pixels that encodes to the given points."""

    def __init__(self, points):
        super().__init__(vae.build_encoder(4, ()), vae.build_decoder(2, (), 4))
        self.points = np.asarray(points, "float32")

    def encode(self, images):
        points = self.points[: len(images)]
        return points, np.zeros_like(points)

    def decode(self, z):
        return np.full((len(z), 4), 2.0)  # too bright: drawn as white


@pytest.fixture
def small():
    """A model and images of 2 x 2, for what depends on neither."""
    return Encodes(np.random.default_rng(0).normal(size=(16, 2))), np.zeros((16, 4))


def conv_model(image_shape):
    keras.utils.set_random_seed(0)
    encoder = build_conv_encoder(image_shape, filters=(2,), hidden_units=(4,))
    return vae.VAE(encoder, build_conv_decoder(2, (2,), image_shape))


def test_one_file_is_written_and_nothing_beside_it(page):
    assert page.path.read_text("utf-8") == page.content
    assert list(page.path.parent.iterdir()) == [page.path]
    assert str(page) == f"Page(path={page.path!r})"


def test_the_file_loads_nothing(page):
    assert not re.findall(r"https?:|//\w+\.\w|@import|<link(?! rel=\"icon\" href=\"data:,\")", page.content)
    assert not re.findall(r"\bsrc=|url\(|\bfetch\(|XMLHttpRequest|innerHTML|\beval\(", page.content)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', page.content)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "{{" not in page.content


def test_numbers_are_those_of_the_model(page, vae_model, images):
    data = data_of(page.content)
    (plane,) = data["planes"]
    z_mean, _ = vae_model.encode(images)
    low, side = np.array(plane["low"]), plane["side"]
    points = np.frombuffer(base64.b64decode(plane["points"]), "<u2").reshape(-1, 2) / 65535 * side
    np.testing.assert_allclose(points + low, z_mean, atol=side / 60000)
    assert max(low) <= -2.5
    assert min(low + side) >= 2.5
    assert data["which"] == (np.arange(16) % 3).tolist()
    assert data["names"] == ["0", "1", "2"]
    assert data["colors"] == list(COLORS[:3])
    np.testing.assert_allclose(plane["places"][1], np.median(z_mean[1::3], axis=0), atol=0.1 * side)
    gaps = [np.subtract(plane["places"][i], plane["places"][j]) for i, j in ((0, 1), (1, 2), (2, 0))]
    assert all(np.abs(gap).max() > 0.03 * side for gap in gaps)  # no name covers another


def start_of(points, images, labels, target):
    return data_of(explore(Encodes(points), images, labels, path=target).content)["start"]


def test_it_opens_on_the_image_with_the_least_error(small, target):
    """Everything is decoded as 2.0: the brighter an image, the smaller its error."""
    model, images = small
    images = images + np.linspace(0.1, 0.4, 16)[:, None]
    images[5] = 0.9
    assert data_of(explore(model, images, path=target).content)["start"] == 5


def test_it_opens_among_neighbours_of_the_same_label(target):
    points = np.repeat([[0.0, 0.0], [9.0, 9.0]], 30, axis=0)
    points += np.random.default_rng(0).normal(size=points.shape)
    images = np.full((60, 4), 0.5)
    images[2], images[41] = 1, 0.8  # one among others of any label, and one among its own
    labels = np.where(np.arange(60) < 30, np.arange(60) % 5, 7)
    assert start_of(points, images, labels, target) == 41
    assert start_of(points, images, None, target) == 2


def test_one_black_image_can_be_opened_on(small, target):
    assert start_of(small[0].points[:1], np.zeros((1, 4)), [3], target) == 0


def test_originals_are_the_images_themselves(page, images):
    np.testing.assert_allclose(pixels_of(data_of(page.content)), 255 * images, atol=1)


@pytest.mark.parametrize(("corner", "side", "fitted"), [(4, 20, True), (3, 8, False), (0, 28, False)])
def test_only_images_made_as_mnists_have_drawings_fitted(corner, side, fitted, vae_model, target):
    images = np.zeros((5, 28, 28))
    images[:, corner : corner + side, corner : corner + side] = 0.9
    assert data_of(explore(vae_model, images, path=target).content)["fitted"] is fitted


def test_only_some_images_can_be_chosen_where_there_are_many(vae_model, target):
    images = np.zeros((2500, 784), "uint8")
    data = data_of(explore(vae_model, images, path=target).content)
    assert len(data["chosen"]) == 1000
    assert data["chosen"][0] == 0
    assert data["chosen"][-1] == 2499
    assert np.diff(data["chosen"]).max() <= 3


def test_ten_thousand_images_and_both_models_stay_under_the_limit(vae_model, mnist, target):
    explore(vae_model, mnist.x_test, mnist.y_test, autoencoder=vae.build_autoencoder(), path=target)
    print(f"{target.stat().st_size:,} bytes")
    assert target.stat().st_size <= 1_500_000


@pytest.mark.parametrize("image_shape", [(8, 6, 3), (8, 8, 1)])
@pytest.mark.parametrize("flat", [False, True])
def test_layers_and_shapes_of_every_kind(image_shape, flat, target):
    images = np.random.default_rng(0).random((5, *image_shape)).astype("float32")
    model = conv_model(image_shape)
    given = images.reshape(5, -1) if flat else images
    data = data_of(explore(model, given, path=target, image_shape=image_shape if flat else None).content)
    assert data["shape"] == [size for size in image_shape if size != 1]
    np.testing.assert_allclose(pixels_of(data), 255 * images.reshape(5, -1), atol=1)


def test_the_autoencoder_has_a_plane_of_its_own(vae_model, images, target):
    autoencoder = vae.build_autoencoder()
    content = explore(vae_model, images.reshape(-1, 28, 28), autoencoder=autoencoder, path=target).content
    first, second = data_of(content)["planes"]
    assert (first["id"], second["id"]) == ("vae", "autoencoder")
    assert [len(plane["encoder"]["results"]) for plane in (first, second)] == [2, 1]
    assert first["low"] != second["low"]


def test_points_far_out_are_drawn_on_the_rim_and_others_in_place(target):
    points = np.random.default_rng(0).normal(size=(1000, 2))
    points[7] = (500, 0)
    points[8] = (0, 6)
    (plane,) = data_of(explore(Encodes(points), np.zeros((1000, 4)), path=target).content)["planes"]
    low, side = plane["low"], plane["side"]
    drawn = np.frombuffer(base64.b64decode(plane["points"]), "<u2").reshape(-1, 2)
    assert plane["beyond"] == 1
    assert drawn[7, 0] == 65535
    assert side < 40
    np.testing.assert_allclose(drawn[8] / 65535 * side + low, points[8], atol=side / 60000)


@pytest.mark.parametrize("points", [[[1, 1]], [[3, 3]] * 5])
def test_images_that_all_encode_to_one_point(points, target):
    images = np.zeros((len(points), 4))
    (plane,) = data_of(explore(Encodes(points), images, path=target).content)["planes"]
    assert plane["side"] > 0
    assert plane["beyond"] == 0


def test_labels_may_be_strings_and_hostile(small, target):
    labels = [HOSTILE, "b", "a", "é"] * 4
    content = explore(*small, labels, path=target, title=HOSTILE).content
    assert data_of(content)["names"] == sorted(set(labels))
    assert data_of(content)["planes"][0]["places"] == []  # too long to be written into the plane
    assert html.unescape(re.findall("<title>(.*?)</title>", content)[0]) == HOSTILE
    assert "alert(1)</script>" not in content
    assert "<img" not in content
    assert content.count("</script>") == 2


def test_without_labels_there_is_no_legend(small, target):
    data = data_of(explore(*small, path=target).content)
    assert data["names"] == data["planes"][0]["places"] == []
    assert data["colors"] == [COLORS[0]]


def test_more_labels_than_colors(small, target):
    data = data_of(explore(*small, np.arange(16), path=target).content)
    assert len(set(data["colors"])) == 16
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in data["colors"])


def test_the_notebook_shows_the_same_page(page):
    frame = page._repr_html_()
    (inner,) = re.findall(r'srcdoc="(.*?)"', frame, re.S)
    assert html.unescape(inner) == page.content
    assert 'title="' in frame
    assert 'sandbox="allow-scripts"' in frame


def test_an_old_file_is_replaced(small, target):
    target.parent.mkdir()
    target.write_text("old")
    explore(*small, path=str(target))
    assert target.read_text("utf-8").startswith("<!doctype html>")


def test_a_page_that_cannot_be_written_leaves_the_old_one(small, target, monkeypatch):
    target.parent.mkdir()
    target.write_text("old")

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        explore(*small, path=target)
    assert target.read_text() == "old"
    assert list(target.parent.iterdir()) == [target]


def deep_model():
    return vae.VAE(vae.build_encoder(latent_dim=33), vae.build_decoder(latent_dim=33))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": "model"}, TypeError, "model must be a vae.VAE; got str"),
        ({"model": vae.build_autoencoder}, TypeError, "model must be a vae.VAE; got Autoencoder"),
        (
            {"model": deep_model},
            ValueError,
            "model must have at most 32 latent dimensions to be explored; got 33",
        ),
        ({"images": np.zeros((2, 5))}, ValueError, "image_shape must be given"),
        ({"images": np.zeros((2, 9))}, ValueError, "784"),
        ({"images": np.zeros((2, 784), int)}, TypeError, "images must be uint8"),
        ({"images": np.full((2, 784), 7.0)}, ValueError, "images must hold floats in"),
        ({"images": np.zeros((0, 784))}, ValueError, "at least one image"),
        ({"labels": [1, 2]}, ValueError, "labels must have one label an image"),
        ({"image_shape": (28, 27)}, ValueError, "image_shape must be"),
        ({"path": 3}, TypeError, "path must be a string"),
        ({"path": "latent.png"}, ValueError, "path must end in .html; got 'latent.png'"),
        ({"title": 3}, TypeError, "title must be a string or None; got 3"),
        ({"autoencoder": "a"}, TypeError, "autoencoder must be a vae.Autoencoder; got str"),
        (
            {"autoencoder": vae.build_encoder},
            TypeError,
            "autoencoder must be a vae.Autoencoder; got Functional",
        ),
        (
            {"autoencoder": lambda: vae.build_autoencoder(latent_dim=33)},
            ValueError,
            "autoencoder must have at most 32",
        ),
        (
            {"autoencoder": lambda: vae.build_autoencoder(9)},
            ValueError,
            "autoencoder must take images of 784",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_written(
    changes, error, message, vae_model, images, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    given = {"model": vae_model, "images": images, **changes}
    given = {name: value() if callable(value) and name in changes else value for name, value in given.items()}
    with pytest.raises(error, match=message):
        explore(**given)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_diverged_is_refused(images, target):
    model = Encodes(np.full((16, 2), np.nan))
    with pytest.raises(ValueError, match="what model encodes must hold finite"):
        explore(model, images[:, :4], path=target)
    model = Encodes(np.zeros((16, 2)))
    model.encode = lambda images: (model.points[: len(images)], model.points[: len(images)] * np.nan)
    with pytest.raises(ValueError, match="what model encodes must hold finite"):
        explore(model, images[:, :4], path=target)
    model = Encodes(np.zeros((16, 2)))
    model.decoder.set_weights([np.full_like(weights, np.nan) for weights in model.decoder.get_weights()])
    with pytest.raises(ValueError, match="model's decoder must give finite values; got NaN"):
        explore(model, images[:, :4], path=target)
    assert not target.exists()


def test_one_image_is_an_error_that_names_the_way(target):
    model = vae.VAE(vae.build_encoder(256, ()), vae.build_decoder(2, (), 256))
    with pytest.raises(ValueError, match=r"it takes 256\. For one image, pass images\[None\]"):
        explore(model, np.zeros((16, 16)), path=target)
    assert explore(model, np.zeros((1, 16, 16)), path=target).path == target
