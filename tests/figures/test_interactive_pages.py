"""The pages that `show` writes, in a real browser: alone, of any width, light and dark.

Needs the package playwright and an installed Chromium or Chrome; installs neither.
"""

from contextlib import contextmanager

import keras
import numpy as np
import pytest

import vae

SIZES = {1300: (1300, 900), 390: (390, 844)}
RANGES = "['xaxis', 'yaxis'].map(name => document.getElementById('figure')._fullLayout[name].range.slice())"
NOTE_SUBTITLES = """() => {
    const figure = document.getElementById("figure");
    const note = () => subtitles.push(document.querySelector(".gtitle-subtitle")?.textContent);
    [window.subtitles, window.ended] = [[], false];
    new MutationObserver(note).observe(figure, { childList: true, characterData: true, subtree: true });
    figure.on("plotly_animated", () => { ended = true; });
}"""
TITLES = {
    "latent": "Latent space of 120 images",
    "algorithms": "Machine-learning algorithms",
    "film": "The latent plane in training",
}


@pytest.fixture(scope="module")
def pages(digits, tmp_path_factory):
    """The address of each page."""
    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(seed=1), vae.build_decoder())
    model.compile()
    x, y = digits.x_test[:120], digits.y_test[:120]
    film = vae.TrainingFilm(x, y, n=5)
    model.fit(digits.x_train, epochs=3, verbose=0, callbacks=[film])
    folder = tmp_path_factory.mktemp("pages of show")
    paths = {name: folder / f"{name}.html" for name in TITLES}
    vae.show(vae.plot_latent_space, model.encode(x)[0], y, html=paths["latent"])
    vae.show(vae.plot_algorithms, html=paths["algorithms"])
    vae.show(vae.plot_training_film, film, html=paths["film"])
    return {name: path.as_uri() for name, path in paths.items()}


@contextmanager
def opened(browser, url, width=1300, **options):
    """Open a page; at the end it must have asked for nothing and made no error."""
    troubles = []
    size = dict(zip(("width", "height"), SIZES[width], strict=True))
    context = browser.new_context(viewport=size, **options)
    tab = context.new_page()
    tab.on("console", lambda message: message.type == "error" and troubles.append(message.text))
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:")) or troubles.append(r.url))
    tab.goto(url)
    tab.wait_for_selector("#figure .gtitle")
    tab.wait_for_timeout(300)
    yield tab
    context.close()
    assert troubles == []


@pytest.fixture
def tab(browser, pages, request):
    with opened(browser, pages[request.param]) as tab:
        yield tab


@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("name", TITLES)
def test_the_figure_fills_its_window_and_no_more(name, width, browser, pages):
    with opened(browser, pages[name], width) as tab:
        assert tab.title() == tab.text_content(".gtitle") == TITLES[name]
        assert tab.get_attribute("html", "lang") == "en"
        assert len(tab.get_attribute("#figure", "aria-label")) > 40
        box = tab.locator(".main-svg").first.bounding_box()
        assert (box["width"], box["height"]) == SIZES[width]
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        for selector in (".gtitle", ".gtitle-subtitle", ".legend", ".slider-group"):
            for part in tab.locator(selector).all():
                place = part.bounding_box()
                assert place["x"] >= -1, selector
                assert place["x"] + place["width"] <= width + 1, selector


@pytest.mark.parametrize("name", ["latent", "film"])
def test_in_a_narrow_window_the_legend_stands_below(name, browser, pages):
    for width in SIZES:
        with opened(browser, pages[name], width) as tab:
            legend, plot = (
                tab.locator(part).first.bounding_box() for part in (".legend", ".cartesianlayer .xy")
            )
            if width == 390:
                assert legend["y"] > plot["y"] + plot["height"] - 1
                assert plot["width"] > 200


@pytest.mark.parametrize("tab", ["film"], indirect=True)
def test_planes_that_stood_side_by_side_stand_one_above_the_other(tab):
    domains = "['xaxis', 'xaxis2'].map(name => document.getElementById('figure')._fullLayout[name].domain[0])"
    left, right = tab.evaluate(domains)
    assert left < 0.3 < right
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.wait_for_function(f"{domains}[1] < 0.3")
    tab.set_viewport_size({"width": 1300, "height": 900})
    tab.wait_for_function(f"{domains}[1] > 0.3")


@pytest.mark.parametrize("tab", ["latent", "film"], indirect=True)
def test_a_class_that_is_hidden_leaves_the_axes_as_they_are(tab):
    before = tab.evaluate(RANGES)
    tab.locator(".legendtoggle").nth(1).click()
    visible = "document.getElementById('figure')._fullData.map(trace => trace.visible)"
    tab.wait_for_function(f"{visible}.includes('legendonly')")
    np.testing.assert_allclose(tab.evaluate(RANGES), before)
    hidden = tab.evaluate(
        "document.getElementById('figure')._fullData.filter(t => t.visible !== true).map(t => t.name)"
    )
    assert len(set(hidden)) == 1  # its points, and its name in the plane


@pytest.mark.parametrize("tab", ["film"], indirect=True)
def test_the_film_waits_and_then_plays_to_its_end(tab):
    tab.wait_for_timeout(700)
    assert tab.text_content(".gtitle-subtitle") == "before training"
    points = "Array.from(document.getElementById('figure')._fullData[0].x).slice(0, 3)"
    before = tab.evaluate(points)
    tab.evaluate(NOTE_SUBTITLES)  # a busy machine would miss some by looking now and then
    tab.get_by_text("Play", exact=True).click()
    tab.wait_for_function("ended")
    assert tab.text_content(".gtitle-subtitle").startswith("epoch 3, loss")
    assert tab.evaluate("document.getElementById('figure').layout.sliders[0].active") == 3
    assert tab.evaluate(points) != before
    tab.evaluate("subtitles = []")
    tab.get_by_text("Play", exact=True).click()  # at the end, from the beginning
    tab.wait_for_function("subtitles.includes('before training')")


@pytest.mark.parametrize("name", TITLES)
def test_light_and_dark(name, browser, pages):
    code = """() => {
        const tone = (color) => color.match(/[0-9.]+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) / 3;
        const style = (part) => getComputedStyle(document.querySelector(part));
        return [style(".main-svg").backgroundColor, style(".gtitle").fill].map(tone);
    }"""
    with opened(browser, pages[name], color_scheme="dark") as tab:
        paper, ink = tab.evaluate(code)
        assert paper < 60 < 200 < ink
        tab.emulate_media(color_scheme="light")
        tab.wait_for_timeout(700)
        paper, ink = tab.evaluate(code)
        assert paper > 200 > 110 > ink


@pytest.mark.parametrize("tab", ["latent"], indirect=True)
def test_names_in_the_plane_have_the_paper_around_them(tab):
    colors = """document.getElementById('figure')._fullData.filter(t => t.mode === 'lines+text')
        .map(t => Array.from(t.textfont.color))"""
    assert tab.evaluate(colors)[0][1:] == ["white", "black"]
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_function(f"{colors}[0][1] !== 'white'")
    assert tab.evaluate(colors)[0][1:] == ["rgb(17,17,17)", "#f2f5fa"]


def test_in_a_narrow_window_the_map_shows_two_rings_and_a_tap_the_third(browser, pages):
    sectors = "document.querySelectorAll('.slice').length"
    with opened(browser, pages["algorithms"]) as tab:
        whole = tab.evaluate(sectors)
    with opened(browser, pages["algorithms"], 390) as tab:
        assert tab.evaluate(sectors) < whole / 2
        assert not tab.get_by_text("Denoising").count()
        tab.get_by_text("Autoencoders").click(force=True)  # what lies over the text takes it
        tab.get_by_text("Denoising").wait_for()
