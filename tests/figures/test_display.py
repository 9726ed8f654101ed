"""show: one bundle of both twins, a page that works offline, and no other output."""

import base64
import builtins
import html
import io
import json
import sys

import IPython
import IPython.display
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from matplotlib.figure import Figure
from PIL import Image

import vae

Z_MEAN = np.random.default_rng(0).normal(size=(50, 2)).astype("float32")
LABELS = np.arange(50) % 10


@pytest.fixture(autouse=True)
def leaves_the_plotting_libraries_alone():
    before = dict(matplotlib.rcParams), pio.templates.default, pio.renderers.default
    yield
    assert (dict(matplotlib.rcParams), pio.templates.default, pio.renderers.default) == before
    assert plt.get_fignums() == []


@pytest.fixture
def described():
    """The metadata of what a notebook would get."""
    return []


@pytest.fixture
def shown(monkeypatch, described):
    """What a notebook would get."""
    outputs = []

    def display(output, metadata, raw=False):
        assert raw
        outputs.append(output)
        described.append(metadata)

    monkeypatch.setattr(IPython, "get_ipython", object)
    monkeypatch.setattr(IPython.display, "display", display)
    return outputs


def test_one_bundle_of_three_kinds(shown, capsys):
    assert vae.show(vae.plot_latent_space, Z_MEAN, labels=LABELS, title="Mine") is None
    (bundle,) = shown
    assert set(bundle) == {"application/vnd.plotly.v1+json", "image/png", "text/plain"}
    assert bundle["text/plain"] == vae.plot_latent_space(Z_MEAN, LABELS, static=True).alt
    assert capsys.readouterr() == ("", "")


def test_the_figure_in_the_bundle_is_plain_json_with_base64_arrays(shown):
    vae.show(vae.plot_latent_space, Z_MEAN, LABELS)
    figure = shown[0]["application/vnd.plotly.v1+json"]
    assert json.loads(json.dumps(figure)) == figure
    assert figure["config"]["showSendToCloud"] is False
    assert sum(trace["mode"] == "markers" for trace in figure["data"]) == 10
    x = figure["data"][3]["x"]
    assert x["dtype"] == "f4"
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(x["bdata"]), "f4"), Z_MEAN[LABELS == 3, 0])
    assert go.Figure({"data": figure["data"], "layout": figure["layout"]}).layout.width == 800


@pytest.mark.parametrize("plot", [vae.plot_algorithms, vae.plot_latent_space])
def test_picture_and_figure_have_one_size_and_the_picture_a_text(plot, shown, described):
    vae.show(plot, *([Z_MEAN] if plot is vae.plot_latent_space else []))
    layout = shown[0]["application/vnd.plotly.v1+json"]["layout"]
    said = described[0]["image/png"]
    assert (said["width"], said["height"]) == (layout["width"], layout["height"])
    assert said["width"] <= 800
    assert said["alt"] == shown[0]["text/plain"]
    assert len(said["alt"]) > 40
    picture = Image.open(io.BytesIO(base64.b64decode(shown[0]["image/png"])))
    np.testing.assert_allclose(picture.size, (said["width"], said["height"]), atol=1)


def drawn_by_others(static=False):
    return Figure(figsize=(4, 4)) if static else go.Figure()


def test_figures_of_others_have_plotlys_size_and_their_title_for_a_text(shown, described):
    vae.show(drawn_by_others)
    alt = "Interactive figure: untitled"
    assert described == [{"image/png": {"alt": alt, "width": 700, "height": 450}}]
    assert shown[0]["text/plain"] == alt


def test_the_picture_in_the_bundle_is_the_static_twin(shown):
    vae.show(vae.plot_latent_space, Z_MEAN, LABELS)
    picture = Image.open(io.BytesIO(base64.b64decode(shown[0]["image/png"])))
    assert picture.format == "PNG"
    assert len(picture.getcolors()) <= 256
    pixels = np.asarray(picture.convert("RGB"))
    assert pixels.std() > 5  # not blank
    blue = np.array([0x44, 0x77, 0xAA]) * 0.6 + 255 * 0.4  # of the first label
    assert np.abs(pixels - blue).max(axis=2).min() < 25
    vae.show(vae.plot_latent_space, Z_MEAN, LABELS)
    assert shown[0] == shown[1]  # the same bytes again: a rerun leaves no difference in the notebook


def test_html_writes_a_page_that_needs_no_network(shown, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    vae.show(vae.plot_latent_space, Z_MEAN, LABELS, html="interactive/latent space.html")
    link = shown[1]
    assert link["text/markdown"] == (
        "[Open the interactive figure](interactive/latent%20space.html) (in JupyterLab, press *Trust HTML*)"
    )
    assert set(link) == {"text/markdown", "text/plain"}
    page = (tmp_path / "interactive" / "latent space.html").read_text("utf-8")
    assert "<title>Latent space of 50 images</title>" in page
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert '<meta name="viewport" content="width=device-width' in page
    assert "default-src 'none'" in page  # the browser itself would refuse a request
    assert '"showSendToCloud":false' in page
    assert [path.name for path in (tmp_path / "interactive").iterdir()] == ["latent space.html"]


def test_a_page_is_one_file_and_the_same_again(shown, tmp_path):
    page = tmp_path / "a.html"
    vae.show(vae.plot_latent_space, Z_MEAN, html=page)
    first = page.read_bytes()
    assert 1_000_000 < len(first) < 6_000_000
    vae.show(vae.plot_latent_space, Z_MEAN, html=page)
    assert page.read_bytes() == first
    assert list(tmp_path.iterdir()) == [page]


def test_a_title_is_text_in_the_page(shown, tmp_path):
    title = "</title></script><script>alert(1)</script> {plotly}"
    vae.show(vae.plot_latent_space, Z_MEAN, title=title, html=tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text("utf-8")
    assert f"<title>{html.escape(title)}</title>" in page
    assert "<script>alert(1)" not in page


def test_a_page_that_cannot_be_written_leaves_the_old_one(shown, tmp_path, monkeypatch):
    page = tmp_path / "a.html"
    page.write_text("old")

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        vae.show(vae.plot_latent_space, Z_MEAN, html=page)
    assert page.read_text() == "old"
    assert list(tmp_path.iterdir()) == [page]
    assert shown == []  # and no figure without its link


def test_outside_ipython_one_line_is_printed(capsys, tmp_path):
    vae.show(vae.plot_latent_space, Z_MEAN)
    assert capsys.readouterr().out == "Interactive figure: Latent space of 50 images\n"
    vae.show(vae.plot_latent_space, Z_MEAN, html=tmp_path / "a.html")
    assert str(tmp_path / "a.html") in capsys.readouterr().out


def test_without_ipython_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    with pytest.raises(ImportError, match=r"vae\[notebook\]"):
        vae.show(vae.plot_latent_space, Z_MEAN)


def drawn_with_matplotlib(static=False):
    return Figure()


def drawn_without_twin(static=False):
    return go.Figure()


@pytest.mark.parametrize(
    ("plot", "message"),
    [
        (vae.plot_digits, "static; got plot_digits"),
        (drawn_with_matplotlib, "drawn_with_matplotlib returned Figure"),
        (drawn_without_twin, "drawn_without_twin returned"),
        (go.Figure(), "plot must be a function"),
        (builtins.print, "static; got print"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(plot, message, shown):
    with pytest.raises(TypeError, match=message):
        vae.show(plot)
    assert shown == []


def test_errors_of_the_plot_come_through(shown):
    with pytest.raises(ValueError, match="z_mean must"):
        vae.show(vae.plot_latent_space, np.zeros((0, 2)))
    assert shown == []
