"""The latent-space page in a real browser: what it shows, how it moves, and what it never does.

Needs the package playwright and an installed Chromium or Chrome; installs neither.
"""

import re

import keras
import numpy as np
import pytest
from explorer.browsing import PLANE, decoded, numbers, on_screen, opened, shown

import vae
from vae.builders import build_conv_decoder, build_conv_encoder
from vae.explorer import explore

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 3,
}


def test_the_pointer_shows_what_is_decoded_under_it(tab, made):
    seen = []
    for point in ((-1.0, 0.5), (1.5, -1.0)):
        tab.mouse.move(*on_screen(tab, made.data["planes"][0], point))
        np.testing.assert_allclose(numbers(tab, "#where"), point, atol=0.02)
        expected = 255 * made.model.decode([numbers(tab, "#where")])[0]
        assert np.abs(shown(tab) - expected).mean() < 0.5
        seen.append(shown(tab))
    assert np.abs(seen[0] - seen[1]).max() > 10


def test_the_point_goes_back_when_the_mouse_leaves_the_plane(tab, made):
    """On its way to the buttons it would drag the point along."""
    plane, away = made.data["planes"][0], tab.locator("#clear").bounding_box()
    rest = numbers(tab, "#where")
    tab.mouse.move(*on_screen(tab, plane, (1, -1)))
    assert numbers(tab, "#where") != rest
    tab.mouse.move(away["x"], away["y"], steps=5)
    assert numbers(tab, "#where") == rest
    tab.mouse.move(*on_screen(tab, plane, (1, -1)))
    tab.mouse.down()
    tab.mouse.move(*on_screen(tab, plane, (-1, 0.5)), steps=3)
    tab.mouse.up()
    tab.mouse.move(away["x"], away["y"], steps=5)
    np.testing.assert_allclose(numbers(tab, "#where"), (-1, 0.5), atol=0.02)  # where a drag ended
    assert tab.inner_text("#index") == str(made.start)


@pytest.mark.parametrize("height", [480, 390])
def test_the_plane_is_a_square_in_a_low_window(height, browser, made):
    """At 300 pixels, of all sizes, a canvas has the right width before it is given one."""
    with opened(browser, made.url, viewport={"width": 1300, "height": height}) as tab:
        size = "canvas => [canvas.width, canvas.height, canvas.clientWidth, canvas.clientHeight]"
        for name in ("#under", PLANE):
            assert len(set(tab.eval_on_selector(name, size))) == 1


def test_the_global_cannot_be_changed(tab):
    assert tab.evaluate("Object.keys(latentPage).join()") == "encode,decode"
    code = "() => { try { latentPage.decode = 1; } catch { } try { window.latentPage = 2; } catch { } }"
    tab.evaluate(code)
    assert tab.evaluate("typeof latentPage.decode") == "function"


def test_arrow_keys_move_finely_coarsely_and_home(tab, made):
    side = made.data["planes"][0]["side"]
    tab.focus(PLANE)
    tab.keyboard.press("Home")
    assert numbers(tab, "#where") == [0, 0]
    before = shown(tab)
    for key, moved in (
        ("ArrowRight", (side / 200, 0)),
        ("ArrowUp", (side / 200, side / 200)),
        ("Shift+ArrowLeft", (side / 200 - side / 20, side / 200)),
        ("Shift+ArrowDown", (side / 200 - side / 20, side / 200 - side / 20)),
    ):
        tab.keyboard.press(key)
        np.testing.assert_allclose(numbers(tab, "#where"), moved, atol=0.0051)
    assert np.abs(shown(tab) - before).max() > 2
    tab.keyboard.press("Home")
    np.testing.assert_array_equal(shown(tab), before)


def check_chosen(tab, made, index):
    z_mean, z_log_sigma = made.model.encode(made.x[index : index + 1])
    assert tab.inner_text("#index") == str(index)
    assert tab.inner_text("#label") == str(made.y[index])
    near = 0.0051 + 0.05 * np.exp(z_log_sigma[0])  # rounded, and in half floats
    assert (np.abs(numbers(tab, "#mean") - z_mean[0]) < near).all()
    np.testing.assert_allclose(numbers(tab, "#sigma"), np.exp(z_log_sigma[0]), rtol=0.01)
    np.testing.assert_array_equal(shown(tab, "#original"), made.x[index].ravel())
    reconstruction = 255 * made.model.reconstruct(made.x[index : index + 1]).ravel()
    np.testing.assert_allclose(shown(tab, "#reconstruction"), reconstruction, atol=3)


def test_it_opens_on_a_clear_image(tab, made):
    check_chosen(tab, made, made.start)
    z_mean, _ = made.model.encode(made.x)
    np.testing.assert_allclose(numbers(tab, "#where"), z_mean[made.start], atol=0.01)
    assert tab.inner_text("#near") == f"nearest: {made.y[made.start]}"
    assert np.abs(shown(tab) - 255 * made.model.decode(z_mean[made.start : made.start + 1])[0]).mean() < 2
    assert "reconstructs well" in tab.inner_text("#about")


def test_names_are_written_over_the_crosshair(tab):
    """The canvas's own calls are recorded."""
    tab.evaluate("""() => {
        window.calls = [];
        for (const name of ["stroke", "fill", "fillText"]) {
            const draw = CanvasRenderingContext2D.prototype[name];
            CanvasRenderingContext2D.prototype[name] = function (...args) {
                if (this.canvas.id === "over") calls.push(name);
                draw.apply(this, args);
            };
        }
    }""")
    tab.focus(PLANE)
    tab.keyboard.press("Home")
    calls = tab.evaluate("calls")
    assert calls.count("fillText") == 10
    assert set(calls[calls.index("fillText") :]) == {"fillText"}


def test_an_image_is_chosen_by_clicking_near_it(tab, made):
    z_mean, _ = made.model.encode(made.x)
    wanted = int(np.argmax(z_mean[:, 0]))  # at the edge of the cloud, where neighbours are far
    x, y = on_screen(tab, made.data["planes"][0], z_mean[wanted].tolist())
    tab.mouse.click(x + 2, y)
    check_chosen(tab, made, wanted)
    np.testing.assert_allclose(numbers(tab, "#where"), z_mean[wanted], atol=0.01)


def test_keys_and_buttons_step_through_the_images(tab, made):
    n = len(made.x)
    check_chosen(tab, made, made.start)
    tab.focus(PLANE)
    tab.keyboard.press("n")
    check_chosen(tab, made, (made.start + 1) % n)
    for _ in range(made.start + 2):
        tab.keyboard.press("p")
    check_chosen(tab, made, n - 1)
    tab.focus("#next")
    tab.keyboard.press("Enter")
    tab.keyboard.press("Space")
    check_chosen(tab, made, 1)


def test_the_ellipse_is_one_sigma_about_z_mean(tab, made):
    """The canvas's own calls are recorded, in pixels of the screen."""
    tab.evaluate("""() => {
        window.ellipses = [];
        const draw = CanvasRenderingContext2D.prototype.ellipse;
        CanvasRenderingContext2D.prototype.ellipse = function (...args) {
            ellipses.push(args);
            draw.apply(this, args);
        };
    }""")
    tab.focus(PLANE)
    tab.keyboard.press("n")
    index = (made.start + 1) % len(made.x)
    x, y, width, height = tab.evaluate("ellipses.at(-1)")[:4]
    z_mean, z_log_sigma = (part[0] for part in made.model.encode(made.x[index : index + 1]))
    box, plane = tab.locator(PLANE).bounding_box(), made.data["planes"][0]
    center = np.subtract(on_screen(tab, plane, z_mean.tolist()), (box["x"], box["y"]))
    scale = (box["width"] - 64) / plane["side"]
    np.testing.assert_allclose((x, y), center, atol=1)
    np.testing.assert_allclose((width, height), np.exp(z_log_sigma) * scale, rtol=0.01)
    tab.check("input[value=autoencoder]")
    count = tab.evaluate("ellipses.length")
    tab.focus(PLANE)
    tab.keyboard.press("n")
    assert tab.evaluate("ellipses.length") == count


def test_the_autoencoders_plane(tab, made):
    tab.focus("input[value=vae]")
    tab.keyboard.press("ArrowRight")  # a radio group, as browsers operate it
    assert tab.is_checked("input[value=autoencoder]")
    code = made.autoencoder.encode(made.x[made.start : made.start + 1])[0]
    np.testing.assert_allclose(numbers(tab, "#mean"), code, atol=0.03)
    assert tab.inner_text("#where").startswith("code = ")
    assert tab.inner_text("#sigma") == "none: a point"
    assert "Autoencoder" in tab.get_attribute(PLANE, "aria-label")
    point = np.add(made.data["planes"][1]["low"], 0.4 * made.data["planes"][1]["side"])
    np.testing.assert_allclose(decoded(tab, point), made.autoencoder.decode([point])[0], atol=0.01)
    tab.get_by_text("VAE", exact=True).click()
    check_chosen(tab, made, made.start)


def test_the_address_keeps_the_place(tab, browser, made):
    tab.check("input[value=autoencoder]")
    tab.focus(PLANE)
    tab.keyboard.press("Shift+ArrowUp")
    tab.wait_for_timeout(500)
    place, image = numbers(tab, "#where"), shown(tab)
    assert tab.url == f"{made.url}#autoencoder,{place[0]:.2f},{place[1]:.2f}"
    with opened(browser, tab.url) as again:
        assert again.is_checked("input[value=autoencoder]")
        assert numbers(again, "#where") == place
        assert np.abs(shown(again) - image).mean() < 2
        again.evaluate("location.hash = 'vae,0.52,-1.30'")
        again.wait_for_selector("input[value=vae]:checked")
        assert numbers(again, "#where") == [0.52, -1.3]


@pytest.mark.parametrize("fragment", ["#", "#other,1,2", "#vae,x,NaN", "#vae,1", "#vae,,", "#%3Cscript%3E"])
def test_strange_addresses_do_no_harm(fragment, browser, made):
    with opened(browser, made.url + fragment) as tab:
        assert tab.is_checked("input[value=vae]")
        assert len(numbers(tab, "#where")) == 2


def test_a_move_is_done_within_a_frame(tab):
    median = tab.evaluate("""() => {
        const over = document.getElementById("over"), box = over.getBoundingClientRect(), times = [];
        for (let i = 0; i < 200; i++) {
            const clientX = box.x + 60 + 2 * i, clientY = box.y + 100 + i, start = performance.now();
            over.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY, isPrimary: true }));
            times.push(performance.now() - start);
        }
        return times.sort((a, b) => a - b)[100];
    }""")
    print(f"a move takes {median:.2f} ms")
    assert median < 4


def test_a_phone_shows_one_column_and_a_finger_moves(browser, made):
    with opened(browser, made.url, **PHONE) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
        boxes = [tab.locator(f"#{name}").bounding_box() for name in ("here", "plane", "chosen")]
        assert len({box["x"] for box in boxes}) == 1
        assert boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]
        assert boxes[1]["y"] + boxes[1]["width"] < 844  # image and plane are seen together
        assert tab.eval_on_selector(PLANE, "canvas => canvas.width / canvas.clientWidth") == pytest.approx(
            3, abs=0.02
        )
        finger = tab.context.new_cdp_session(tab)
        plane = made.data["planes"][0]
        for kind, point in (("touchStart", (0, 0)), ("touchMove", (0.5, 0.5)), ("touchMove", (1, -1.5))):
            x, y = on_screen(tab, plane, point)
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        np.testing.assert_allclose(numbers(tab, "#where"), (1, -1.5), atol=0.03)
        assert tab.evaluate("scrollY") == 0
        assert tab.inner_text("#index") == str(made.start)  # a drag chooses nothing
        z_mean, _ = made.model.encode(made.x)
        wanted = int(np.argmax(z_mean[:, 0]))
        tab.touchscreen.tap(*on_screen(tab, plane, z_mean[wanted].tolist()))
        check_chosen(tab, made, wanted)


def test_it_is_told_to_screen_readers_and_reached_by_keyboard(tab, made):
    reached = []
    for _ in range(8):
        tab.keyboard.press("Tab")
        reached.append(tab.evaluate("document.activeElement.id || document.activeElement.name"))
    assert reached == [
        "plane",
        "over",
        "again",
        "fold",
        "clear",
        "undo",
        "previous",
        "next",
    ]
    described = tab.get_attribute(PLANE, "aria-describedby").split()
    assert "arrow keys" in "".join(tab.text_content(f"#{name}") for name in described)
    tab.focus(PLANE)
    tab.keyboard.press("ArrowRight")
    tab.wait_for_timeout(700)
    assert re.fullmatch(r"z = \(.*\) nearest: \d", tab.inner_text("#live"))
    assert tab.eval_on_selector(PLANE, "canvas => getComputedStyle(canvas).outlineStyle") == "solid"
    assert tab.inner_text("#legend").split() == [str(label) for label in np.unique(made.y)]
    tab.click("#clear")
    tab.focus("#undo")
    tab.keyboard.press("Enter")
    assert tab.get_attribute("#undo", "aria-disabled") == "true"  # and keeps the focus, to go on from
    assert tab.evaluate("document.activeElement.id") == "undo"


def test_light_and_dark(browser, made):
    tones = []
    for scheme in ("light", "dark"):
        with opened(browser, made.url, color_scheme=scheme) as tab:
            code = "element => getComputedStyle(element).{}.match(/\\d+/g).slice(0, 3).map(Number)"
            paper = tab.eval_on_selector("#plane", code.format("backgroundColor"))
            tones.append((np.mean(paper), np.mean(tab.eval_on_selector("body", code.format("color")))))
            painted = shown(tab, "#under", 3)
            tab.emulate_media(color_scheme="dark" if scheme == "light" else "light")
            tab.wait_for_timeout(500)  # the plane is painted anew with one of the next frames
            assert (shown(tab, "#under", 3) != painted).any()
    (light, on_light), (dark, on_dark) = tones
    assert light > 200 > 100 > on_light
    assert dark < 60 < 200 < on_dark


def test_hostile_text_is_shown_as_text(browser, made, tmp_path):
    labels = np.where(made.y > 4, HOSTILE, "low")
    path = tmp_path / "latent.html"
    explore(made.model, made.x, labels, path=path, title=HOSTILE)
    with opened(browser, path.as_uri()) as tab:
        assert tab.inner_text("h1") == tab.title() == HOSTILE
        assert HOSTILE in tab.inner_text("#legend")
        assert tab.locator("img").count() == 0
        assert not tab.is_visible("#planes")  # with one plane there is nothing to switch


def test_color_images_without_labels(browser, tmp_path):
    keras.utils.set_random_seed(0)
    shape = (9, 6, 3)
    model = vae.VAE(
        build_conv_encoder(shape, filters=(2,), hidden_units=()), build_conv_decoder(2, (2,), shape)
    )
    images = np.random.default_rng(0).integers(0, 256, (7, *shape), dtype=np.uint8)
    path = tmp_path / "latent.html"
    explore(model, images, path=path)
    with opened(browser, path.as_uri()) as tab:
        expected = model.decode([[0.5, -0.5]])[0]
        np.testing.assert_allclose(decoded(tab, (0.5, -0.5)).reshape(shape), expected, atol=0.001)
        tab.click("#next")
        np.testing.assert_array_equal(shown(tab, "#original", 3), images[1].ravel())
        assert not tab.is_visible("#label-name")
        assert tab.inner_text("#near") == ""
        tab.click("#clear")
        tab.locator("#paper").scroll_into_view_if_needed()
        box = tab.locator("#paper").bounding_box()
        assert box["height"] / box["width"] == pytest.approx(9 / 6, abs=0.01)
        tab.mouse.click(box["x"] + 4.5 / 6 * box["width"], box["y"] + 7.5 / 9 * box["height"])
        paper = shown(tab, "#paper", 3).reshape(shape)
        assert np.argwhere(paper[..., 0] == paper.max()).tolist() == [[7, 4]]
        np.testing.assert_array_equal(shown(tab, "#original", 3), paper.ravel())  # as it is drawn


def test_in_a_notebook_the_page_works_in_its_frame(browser, made, tmp_path):
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f"<!doctype html><meta charset=utf-8>{made.page._repr_html_()}", "utf-8")
    context = browser.new_context()
    tab = context.new_page()
    troubles = []
    tab.on("console", lambda message: troubles.append(message.text))
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.goto(notebook.as_uri())
    frame = tab.frame_locator("iframe")
    frame.locator("#where:not(:empty)").wait_for()
    before = frame.locator("#where").inner_text()
    frame.locator(PLANE).press("Shift+ArrowRight")
    tab.wait_for_timeout(600)
    assert frame.locator("#where").inner_text() != before
    context.close()
    assert troubles == []
