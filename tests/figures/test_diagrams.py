"""Diagrams of models, with and without the parts of Graphviz."""

import io
import os
import sys
import warnings
from xml.etree import ElementTree

import matplotlib
import matplotlib.image
import numpy as np
import pytest

import vae
from vae._keras import keras
from vae.figures import diagrams
from vae.figures.diagrams import Diagram, plot_model
from vae.figures.shared import AMBER

layers = keras.layers
ENCODER_LAYERS = [
    "Encoder-Input-Layer",
    "Encoder-Hidden-Layer-1",
    "Z-Mean",
    "Z-Log-Sigma",
    "Z-Sampling-Layer",
]
DECODER_LAYERS = ["Decoder-Input-Layer", "Decoder-Hidden-Layer-1", "Decoder-Output-Layer"]


class Draw(layers.Layer):
    def call(self, inputs):
        return inputs[0] + inputs[1]


@pytest.fixture(scope="module")
def encoder():
    x = layers.Input((16,), name="Encoder-Input-Layer")
    hidden = layers.Dense(8, "relu", name="Encoder-Hidden-Layer-1")(x)
    z_mean = layers.Dense(2, name="Z-Mean")(hidden)
    z_log_sigma = layers.Dense(2, name="Z-Log-Sigma")(hidden)
    z = Draw(name="Z-Sampling-Layer")([z_mean, z_log_sigma])
    return keras.Model(x, [z_mean, z_log_sigma, z], name="Encoder-Model")


@pytest.fixture(scope="module")
def decoder():
    z = layers.Input((2,), name="Decoder-Input-Layer")
    hidden = layers.Dense(8, "relu", name="Decoder-Hidden-Layer-1")(z)
    x = layers.Dense(16, "sigmoid", name="Decoder-Output-Layer")(hidden)
    return keras.Model(z, x, name="Decoder-Model")


@pytest.fixture(scope="module")
def pair(encoder, decoder):
    return vae.VAE(encoder, decoder)


def elements(svg, kind):
    return [group for group in ElementTree.fromstring(svg).iter() if group.get("class") == kind]


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")]


def edges(svg):
    """The edges as pairs of layer names, without the numbers that Graphviz needs to tell nodes apart."""
    titles = [
        next(part.text for part in edge if part.tag.endswith("}title")) for edge in elements(svg, "edge")
    ]
    return {tuple(end.split(" ", 1)[1] for end in title.split("->")) for title in titles}


def pixels(png):
    return matplotlib.image.imread(io.BytesIO(png), format="png")


def test_svg_names_every_layer_with_activation_and_shapes(encoder):
    written = texts(plot_model(encoder).svg)
    assert set(ENCODER_LAYERS) <= set(written)
    assert "Dense · relu" in written
    assert "(None, 16) → (None, 8)" in written
    assert "(None, 2), (None, 2) → (None, 2)" in written


def test_edges_are_those_of_the_model(encoder):
    assert edges(plot_model(encoder).svg) == {
        ("Encoder-Input-Layer", "Encoder-Hidden-Layer-1"),
        ("Encoder-Hidden-Layer-1", "Z-Mean"),
        ("Encoder-Hidden-Layer-1", "Z-Log-Sigma"),
        ("Z-Mean", "Z-Sampling-Layer"),
        ("Z-Log-Sigma", "Z-Sampling-Layer"),
    }


def test_encoder_and_decoder_are_joined_at_z(pair):
    svg = plot_model(pair).svg
    assert len(elements(svg, "node")) == len(ENCODER_LAYERS) + len(DECODER_LAYERS)  # no stray boxes
    assert len(elements(svg, "cluster")) == 2
    assert {"Encoder-Model", "Decoder-Model", *ENCODER_LAYERS, *DECODER_LAYERS} <= set(texts(svg))
    assert ("Z-Sampling-Layer", "Decoder-Input-Layer") in edges(svg)
    assert len(edges(svg)) == 5 + 2 + 1


def test_drawing_leaves_the_model_as_it_was(pair):
    before = [len(part._inbound_nodes) for part in (pair.encoder, pair.decoder)]
    plot_model(pair)
    assert before == [len(part._inbound_nodes) for part in (pair.encoder, pair.decoder)]
    assert pair.encoder.name == "Encoder-Model"


@pytest.mark.parametrize(
    ("make", "layers", "joint"),
    [
        (lambda: vae.VAE(vae.build_encoder(), vae.build_decoder()), 12, "Z-Sampling-Layer"),
        (vae.build_autoencoder, 10, "Z-Code"),
    ],
    ids=["VAE", "Autoencoder"],
)
def test_the_library_s_own_models(make, layers, joint):
    model = make()
    svg = plot_model(model).svg
    names = [layer.name for part in (model.encoder, model.decoder) for layer in part.layers]
    assert set(names) <= set(texts(svg))
    assert len(elements(svg, "node")) == len(names) == layers
    assert (joint, "Decoder-Input-Layer") in edges(svg)


def test_the_three_z_layers_have_a_colour_of_their_own(pair):
    for node in elements(plot_model(pair).svg, "node"):
        name = next(part.text for part in node.iter() if part.tag.endswith("}text"))
        fill = next(part.get("fill") for part in node.iter() if part.get("fill"))
        assert (fill.upper() == AMBER) == name.startswith("Z-")


def test_z_stands_midway_below_its_two_sides(encoder):
    places = {name: x for name, (x, _) in centres(plot_model(encoder).svg).items()}
    middle = (places["Z-Mean"] + places["Z-Log-Sigma"]) / 2
    assert places["Z-Sampling-Layer"] == pytest.approx(middle, abs=5)


def test_sequential_nested_and_single_models():
    inner = keras.Sequential([layers.Input((4,)), layers.Dense(3, name="inside")], name="inner")
    svg = plot_model(keras.Sequential([layers.Input((4,)), inner, layers.Dense(2, name="last")])).svg
    assert edges(svg) == {("inside", "last")}
    assert len(elements(svg, "cluster")) == 1

    class Own(keras.Model):
        def call(self, x):
            return x

    own = Own(name="own-model")
    own.build((None, 3))
    assert "own-model" in texts(plot_model(own).svg)


def test_sequential_halves_are_joined_too(encoder):
    decoder = keras.Sequential([layers.Input((2,)), layers.Dense(16, name="out")], name="Decoder-Model")
    svg = plot_model(vae.VAE(encoder, decoder)).svg
    assert len(elements(svg, "node")) == len(ENCODER_LAYERS) + 2
    assert len(edges(svg)) == 5 + 2


def test_halves_that_hold_a_nested_model_are_joined_at_its_layers(encoder):
    z = layers.Input((2,), name="Decoder-Input-Layer")
    body = keras.Sequential([layers.Input((2,)), layers.Dense(16, name="body-out")], name="body")
    svg = plot_model(vae.VAE(encoder, keras.Model(z, body(z), name="Decoder-Model"))).svg
    assert len(elements(svg, "cluster")) == 3
    assert ("Decoder-Input-Layer", "body-out") in edges(svg)


def test_names_and_activations_are_escaped():
    layer = layers.Dense(2, activation=lambda x: x, name='odd "name" <b> & →')
    written = texts(plot_model(keras.Sequential([layers.Input((3,)), layer], name='my "model" <x>')).svg)
    assert {'odd "name" <b> & →', "Dense · <lambda>"} <= set(written)


def test_two_nested_models_may_use_one_layer_name():
    x = layers.Input((4,), name="x")
    first, second = (
        keras.Sequential([layers.Input((4,)), layers.Dense(4, name="same")], name=name)
        for name in ("first", "second")
    )
    svg = plot_model(keras.Model(x, second(first(x)))).svg
    assert texts(svg).count("same") == 2
    assert edges(svg) == {("x", "same"), ("same", "same")}


def test_png_is_a_picture_of_sensible_size(pair):
    png = plot_model(pair).png
    picture = pixels(png)
    height, width = picture.shape[:2]
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert 300 < width < 1200
    assert 800 < height < 2500
    assert picture[..., :3].var() > 1e-3
    assert pixels(plot_model(pair, dpi=72).png).shape[1] == pytest.approx(width / 2, abs=2)


def test_one_model_gives_one_drawing(pair, encoder):
    assert plot_model(pair) == plot_model(pair)
    copy = keras.models.clone_model(encoder)
    assert plot_model(copy).svg == plot_model(encoder).svg


def test_notebook_gets_a_sharp_png_and_text(encoder):
    formatters = pytest.importorskip("IPython.core.formatters")
    diagram = plot_model(encoder)
    data, metadata = formatters.DisplayFormatter().format(diagram)
    assert set(data) == {"image/png", "text/plain"}
    assert data["image/png"].startswith("iVBORw0KGgo")
    height, width = pixels(diagram.png).shape[:2]
    assert metadata["image/png"] == {"width": width // 2, "height": height // 2, "alt": diagram.alt}
    assert data["text/plain"] == diagram.alt
    assert repr(diagram) == "Diagram(name='Encoder-Model')"


def test_it_says_what_it_shows(encoder, pair):
    sizes = ["(None, 16)", "(None, 16) → (None, 8)", *2 * ["(None, 8) → (None, 2)"]]
    sizes.append("(None, 2), (None, 2) → (None, 2)")
    listed = ", ".join(f"{name} {size}" for name, size in zip(ENCODER_LAYERS, sizes, strict=True))
    assert plot_model(encoder).alt == f"The layers of Encoder-Model in order: {listed}."
    assert plot_model(pair).alt == (
        f"The layers of {pair.name} in order: Encoder-Model with {listed}; Decoder-Model with "
        "Decoder-Input-Layer (None, 2), Decoder-Hidden-Layer-1 (None, 2) → (None, 8), "
        "Decoder-Output-Layer (None, 8) → (None, 16)."
    )


@pytest.mark.parametrize("name", ["model.png", "model.svg", "model.pdf", "MODEL.PNG"])
def test_to_file_writes_that_file_and_no_other(encoder, tmp_path, name):
    diagram = plot_model(encoder, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    expected = {".png": diagram.png, ".svg": diagram.svg.encode()}.get((tmp_path / name).suffix.lower())
    assert content == expected or content.startswith(b"%PDF")
    assert plot_model(encoder, str(tmp_path / name)) == diagram
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_nothing_is_written_without_to_file(encoder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    plot_model(encoder)
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments(encoder, tmp_path):
    with pytest.raises(TypeError, match=r"model must be a keras\.Model; got str"):
        plot_model("model")
    with pytest.raises(ValueError, match=r"model must be built"):
        plot_model(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(ValueError, match=r"\.png, \.svg or \.pdf; got .*model\.gif"):
        plot_model(encoder, tmp_path / "model.gif")
    with pytest.raises(FileNotFoundError, match=r"to_file must lie in a folder that exists.*nowhere"):
        plot_model(encoder, tmp_path / "nowhere" / "model.png")
    with pytest.raises(ValueError, match=r"dpi must be a positive whole number"):
        plot_model(encoder, dpi=0)
    assert list(tmp_path.iterdir()) == []


def test_no_program_is_needed(encoder, monkeypatch):
    diagram = plot_model(encoder)
    monkeypatch.setenv("PATH", "")
    assert plot_model(encoder) == diagram


def test_neither_wheel_nor_program_is_a_clear_error(encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match=r"pip install pygraphviz.*Graphviz's program `dot`"):
        plot_model(encoder)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for dot is a shell script")
def test_an_installed_program_serves_where_the_wheel_does_not_load(encoder, tmp_path, monkeypatch):
    expected = plot_model(encoder)
    work = "import sys, pygraphviz as p; g = p.AGraph(string=sys.stdin.read()); "
    work += "sys.stdout.buffer.write(g.draw(format=sys.argv[-1][2:], prog='dot'))"
    stand_in = tmp_path / "dot"
    stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{work}" "$@"\n')
    stand_in.chmod(0o755)
    monkeypatch.setitem(sys.modules, "pygraphviz", None)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert plot_model(encoder).svg == expected.svg


def test_a_wheel_that_fails_falls_back_too(encoder, monkeypatch):
    def fail(text, file_format):
        raise OSError("libgvc.so: cannot open shared object file")

    monkeypatch.setattr(diagrams, "_draw_with_pygraphviz", fail)
    monkeypatch.setattr(diagrams, "_draw_with_program", lambda text, file_format: b"<svg/>")
    assert plot_model(encoder) == Diagram("Encoder-Model", "<svg/>", b"<svg/>")


def test_fonts_come_with_matplotlib_and_the_environment_is_put_back(monkeypatch):
    monkeypatch.delenv("FONTCONFIG_FILE", raising=False)
    with diagrams._bundled_fonts():
        tree = ElementTree.parse(os.environ["FONTCONFIG_FILE"])
        assert os.path.isfile(os.path.join(tree.find("dir").text, "DejaVuSans.ttf"))
    assert "FONTCONFIG_FILE" not in os.environ
    monkeypatch.setenv("FONTCONFIG_FILE", "mine")
    with diagrams._bundled_fonts():
        assert os.environ["FONTCONFIG_FILE"] == "mine"


def test_no_warning_and_nothing_on_stderr(encoder, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_model(encoder)
    assert capfd.readouterr() == ("", "")


def test_nothing_global_changes(encoder):
    before = dict(matplotlib.rcParams), matplotlib.get_backend(), dict(os.environ)
    plot_model(encoder)
    assert before == (dict(matplotlib.rcParams), matplotlib.get_backend(), dict(os.environ))


# From left to right


def centres(svg):
    """The middle of each box by its layer's name."""
    places = {}
    for node in elements(svg, "node"):
        title = next(part.text for part in node.iter() if part.tag.endswith("}title"))
        box = next(part for part in node.iter() if part.tag.endswith("}path")).get("d")
        points = [point.split(",") for point in box.replace("C", " ").replace("M", "").split()]
        ends = np.array(points, float)
        places[title.split(" ", 1)[1]] = (ends.min(axis=0) + ends.max(axis=0)) / 2
    return places


def test_from_left_to_right_it_is_the_same_model_on_its_side(pair):
    upright, lying = plot_model(pair), plot_model(pair, rankdir="LR")
    assert edges(lying.svg) == edges(upright.svg)
    assert lying.alt == upright.alt
    places = centres(lying.svg)
    for start, end in edges(lying.svg):
        assert places[start][0] < places[end][0]
    middle = (places["Z-Mean"] + places["Z-Log-Sigma"]) / 2
    assert places["Z-Sampling-Layer"][1] == pytest.approx(middle[1], abs=5)
    assert places["Z-Mean"][1] < places["Z-Log-Sigma"][1]  # from the top, as in SVG


@pytest.mark.parametrize(("rankdir", "axis"), [("TB", 0), ("LR", 1)])
def test_z_mean_stands_before_z_log_sigma_in_a_frame_and_without(encoder, pair, rankdir, axis):
    for model in (encoder, pair):
        places = centres(plot_model(model, rankdir=rankdir).svg)
        assert places["Z-Mean"][axis] < places["Z-Log-Sigma"][axis]


def test_from_left_to_right_names_stay_readable_at_1000_pixels():
    model = vae.VAE(vae.build_encoder(), vae.build_decoder())
    diagram = plot_model(model, rankdir="LR")
    height, width = pixels(diagram.png).shape[:2]
    letters = 13 / 72 * 144 * 1000 / width  # pixels high
    assert letters > 11
    assert height < width / 3
    written = texts(diagram.svg)
    assert written[written.index("Layer-1") - 2 :][:3] == ["Encoder-", "Hidden-", "Layer-1"]
    assert {"Sampling-", "Dense · silu", "(None, 64)"} <= set(written)
    assert "(None, 784) → (None, 64)" not in written


@pytest.mark.parametrize("rankdir", ["BT", "lr", "", None, 1])
def test_another_direction_is_refused(encoder, rankdir):
    with pytest.raises(ValueError, match="rankdir must be 'TB' or 'LR'; got"):
        plot_model(encoder, rankdir=rankdir)
