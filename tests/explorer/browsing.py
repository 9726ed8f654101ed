"""A page in a real browser: opened, read, and held to asking for nothing and complaining of nothing."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

PLANE = "#over"


def data_of(content):
    """What a page is told, from its text."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', content, re.S)
    return json.loads(text)


@contextmanager
def opened(browser, url, **options) -> Iterator:
    """Open a page; at the end it must have asked for nothing and complained of nothing."""
    troubles = []
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    tab = context.new_page()
    tab.on("console", lambda message: troubles.append(message.text))
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
    tab.on("request", lambda r: r.url.startswith(("file:", "data:")) or troubles.append(r.url))
    tab.goto(url)
    wait(tab)
    yield tab
    context.close()
    assert troubles == []


def wait(tab):
    tab.wait_for_selector("#where:not(:empty)")


def decoded(tab, z):
    """What the page's own network decodes, floats."""
    return np.array(tab.evaluate("z => Array.from(latentPage.decode(z))", list(map(float, z))))


def encoded(tab, image):
    """(z_mean, z_log_sigma) of the page's own network; the second is None of an autoencoder."""
    code = """pixels => {
        const { z_mean, z_log_sigma } = latentPage.encode(pixels);
        return [Array.from(z_mean), z_log_sigma && Array.from(z_log_sigma)];
    }"""
    return tab.evaluate(code, np.ravel(image).tolist())


def shown(tab, canvas="#image", channels=1):
    """The pixels of a canvas, read from a copy: reading one often makes Chromium complain.

    Of a canvas larger than any image here, a small copy: a million numbers take their time.
    """
    code = """canvas => {
        const shrink = Math.min(1, 128 / canvas.width);
        const [width, height] = [canvas.width, canvas.height].map(side => Math.ceil(side * shrink));
        const copy = new OffscreenCanvas(width, height).getContext("2d");
        copy.drawImage(canvas, 0, 0, width, height);
        return Array.from(copy.getImageData(0, 0, width, height).data);
    }"""
    return np.reshape(tab.eval_on_selector(canvas, code), (-1, 4))[:, :channels].ravel()


def numbers(tab, selector):
    return [float(text) for text in re.findall(r"[-\d.]+", tab.inner_text(selector).replace("\u2212", "-"))]


def on_screen(tab, plane, point):
    """Where a latent point is on the screen: the canvas's margins are the page's RIM."""
    box, (left, bottom) = tab.locator(PLANE).bounding_box(), plane["low"]
    scale = (box["width"] - 64) / plane["side"]
    return (
        box["x"] + 52 + (point[0] - left) * scale,
        box["y"] + box["height"] - 50 - (point[1] - bottom) * scale,
    )
