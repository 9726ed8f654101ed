"""Drawing on the image, and draws of z, in a real browser."""

import re

import keras
import numpy as np
import pytest
from explorer.browsing import encoded, numbers, opened, shown
from explorer.strokes import skeleton, trace

import vae
from vae.explorer import explore

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
THREE = [(9, 9), (9, 13), (9, 17), (13, 14), (18, 17), (20, 13), (19, 9)]  # rows and columns


def draw(tab, *strokes):
    """Draw strokes, lists of (row, column) in pixels of the image, with the mouse."""
    tab.locator("#paper").scroll_into_view_if_needed()
    box = tab.locator("#paper").bounding_box()
    for stroke in strokes:
        for k, (row, column) in enumerate(stroke):
            x, y = ((part + 0.5) / 28 for part in (column, row))
            tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            if k == 0:
                tab.mouse.down()
        tab.mouse.up()


def check_look(tab, model):
    """Everything said of the image that the encoder gets is said of that image."""
    x = shown(tab, "#original").astype(np.float32)[None] / 255
    z_mean, z_log_sigma = model.encode(x)
    assert (np.abs(numbers(tab, "#mean") - z_mean[0]) < 0.0051 + 0.05 * np.exp(z_log_sigma[0])).all()
    np.testing.assert_allclose(numbers(tab, "#sigma"), np.exp(z_log_sigma[0]), rtol=0.02)
    np.testing.assert_allclose(shown(tab, "#reconstruction"), 255 * model.reconstruct(x)[0], atol=4)
    error, kl = model.losses_per_image(x, np.zeros_like(z_mean))
    np.testing.assert_allclose(numbers(tab, "#error"), error, rtol=0.01)
    np.testing.assert_allclose(numbers(tab, "#kl"), kl, rtol=0.01)


def test_a_drawing_is_encoded_live_and_said_to_be_one(tab, made):
    check_look(tab, made.model)
    assert tab.inner_text("#error-name") == "error (nats)"
    tab.click("#clear")
    assert (shown(tab, "#paper") == 0).all()
    draw(tab, THREE)
    assert tab.inner_text("#index") == "your drawing"
    assert tab.inner_text("#label").startswith("nearest: ")
    check_look(tab, made.model)
    image = shown(tab, "#original") / 255
    np.testing.assert_allclose(numbers(tab, "#where"), encoded(tab, image)[0], atol=0.02)
    assert (shown(tab, "#paper") > 200).sum() > 20


def test_a_drawing_is_fitted_and_centred_as_mnist(tab):
    tab.click("#clear")
    draw(tab, [(2, 2), (2, 8), (10, 8)])
    image = shown(tab, "#original").reshape(28, 28) / 255
    rows, columns = np.argwhere(image > 0.1).T
    assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 22
    middle = (image[..., None] * np.indices((28, 28)).transpose(1, 2, 0)).sum(axis=(0, 1)) / image.sum()
    np.testing.assert_allclose(middle, 13.5, atol=0.3)


def test_undo_goes_back_stroke_by_stroke_to_the_image(tab, made):
    seen = [shown(tab, "#paper")]
    tab.click("#clear")
    seen.append(shown(tab, "#paper"))
    for stroke in (THREE[:4], THREE[3:]):
        draw(tab, stroke)
        seen.append(shown(tab, "#paper"))
    for before in seen[-2::-1]:
        assert (before != shown(tab, "#paper")).any()
        tab.click("#undo")
        np.testing.assert_array_equal(shown(tab, "#paper"), before)
    assert tab.is_disabled("#undo")
    assert tab.inner_text("#index") == str(made.start)
    check_look(tab, made.model)


def test_a_test_image_is_changed_and_a_lost_drawing_comes_back(tab, made):
    draw(tab, [(14, 4), (14, 24)])
    np.testing.assert_array_equal(shown(tab, "#paper")[14 * 28 + 6 : 14 * 28 + 22], 255)
    changed = shown(tab, "#paper")
    check_look(tab, made.model)
    tab.click("#next")
    np.testing.assert_array_equal(shown(tab, "#paper"), made.x[made.start + 1].ravel())
    tab.click("#undo")
    np.testing.assert_array_equal(shown(tab, "#paper"), changed)
    assert tab.inner_text("#index") == "your drawing"


def test_the_drawing_stays_when_the_model_changes(tab, made):
    tab.click("#clear")
    draw(tab, THREE)
    drawn = shown(tab, "#original")
    tab.check("input[value=autoencoder]")
    np.testing.assert_array_equal(shown(tab, "#original"), drawn)
    code, sigma = encoded(tab, drawn / 255)
    assert sigma is None
    np.testing.assert_allclose(code, made.autoencoder.encode(drawn[None] / 255)[0], atol=0.05)
    np.testing.assert_allclose(numbers(tab, "#mean"), code, atol=0.02)
    assert tab.inner_text("#kl") == "none"
    tab.wait_for_selector("#draws", state="hidden")
    tab.check("input[value=vae]")
    tab.wait_for_selector("#draws")
    check_look(tab, made.model)


def test_a_finger_draws_and_does_not_scroll(browser, made):
    with opened(browser, made.url, **PHONE) as tab:
        tab.click("#clear")
        tab.locator("#paper").scroll_into_view_if_needed()
        box, before = tab.locator("#paper").bounding_box(), tab.evaluate("scrollY")
        finger = tab.context.new_cdp_session(tab)
        for kind, part in (("touchStart", 0.3), ("touchMove", 0.5), ("touchMove", 0.7)):
            point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + part * box["height"]}
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        column = shown(tab, "#paper").reshape(28, 28)[:, 14]
        assert (column[9:19] > 200).all()
        assert (column[:6] == 0).all()
        assert tab.evaluate("scrollY") == before


def test_a_second_finger_draws_nothing(tab):
    tab.click("#clear")
    tab.evaluate("""() => {
        const paper = document.getElementById("paper"), box = paper.getBoundingClientRect();
        paper.setPointerCapture = () => {};  // of pointers that do not exist
        const send = (type, x, y, isPrimary) => {
            const [clientX, clientY] = [box.x + x * box.width, box.y + y * box.height];
            const options = { clientX, clientY, isPrimary, pointerId: 2 - isPrimary };
            paper.dispatchEvent(new PointerEvent(type, options));
        };
        send("pointerdown", 0.25, 0.5, true);
        send("pointerdown", 0.75, 0.1, false);
        send("pointermove", 0.75, 0.9, false);
        send("pointermove", 0.3, 0.5, true);
    }""")
    drawn = np.argwhere(shown(tab, "#paper").reshape(28, 28) > 100)
    assert drawn[:, 1].max() < 12


def test_draws_from_the_gaussian_and_from_the_prior(tab, made):
    """All draws from q(z|x) are near its mean; another button press gives others."""
    tab.wait_for_timeout(200)
    strips = {name: shown(tab, name) for name in ("#prior", "#posterior")}
    tab.click("#again")
    for name, before in strips.items():
        assert (shown(tab, name) != before).any()
    code = """() => {
        const before = Math.random;
        Math.random = () => 0.75;  // cos is 0: each draw is the mean
        document.getElementById("again").click();
        Math.random = before;
    }"""
    tab.evaluate(code)
    expected = 255 * made.model.decode(np.zeros((1, 2)))[0].reshape(28, 28)
    size = "canvas => [canvas.width, canvas.height]"
    assert tab.eval_on_selector("#prior", size) == [8 * 29 - 1, 28]
    copy = "canvas => Array.from(canvas.getContext('2d').getImageData(29, 0, 28, 28).data)"
    seen = {
        name: np.reshape(tab.eval_on_selector(name, copy), (28, 28, 4))[..., 0]
        for name in ("#prior", "#posterior")
    }
    np.testing.assert_allclose(seen["#prior"], expected, atol=4)
    np.testing.assert_allclose(seen["#posterior"].ravel(), shown(tab, "#reconstruction"), atol=4)


def test_drawing_takes_no_longer_than_a_frame(tab):
    median = tab.evaluate("""() => {
        const paper = document.getElementById("paper"), box = paper.getBoundingClientRect(), times = [];
        paper.setPointerCapture = () => {};  // of a pointer that does not exist
        for (let i = 0; i < 100; i++) {
            const clientX = box.x + 60 + i, clientY = box.y + 100 + i / 2, start = performance.now();
            const options = { clientX, clientY, isPrimary: true, pointerId: 1 };
            paper.dispatchEvent(new PointerEvent(i ? "pointermove" : "pointerdown", options));
            times.push(performance.now() - start);
        }
        return times.sort((a, b) => a - b)[50];
    }""")
    print(f"a piece of a stroke takes {median:.2f} ms")
    assert median < 5


@pytest.mark.parametrize(("loss", "beta"), [("bernoulli", 1.0), ("gaussian", 1.0), ("mse", 0.5)])
def test_both_terms_of_every_loss(loss, beta, browser, digits, tmp_path):
    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(seed=1), vae.build_decoder(), beta, loss)
    model.compile("adam")
    model.fit(digits.x_train, epochs=1, verbose=0)
    explore(model, digits.x_test[:50], path=tmp_path / "latent.html")
    with opened(browser, (tmp_path / "latent.html").as_uri()) as tab:
        check_look(tab, model)


class WithPenalty(vae.VAE):
    """A loss of three terms."""

    def loss_terms(self, x, training=False, **given):
        terms = super().loss_terms(x, training=training, **given)
        return {**terms, "penalty": terms["kl_loss"]}


def one_norm(x, y):
    return keras.ops.sum(keras.ops.abs(x - y), axis=-1)


@pytest.mark.parametrize(("kind", "options"), [(vae.VAE, {"reconstruction": one_norm}), (WithPenalty, {})])
def test_a_loss_of_ones_own_is_not_passed_off_as_another(kind, options, browser, digits, tmp_path):
    keras.utils.set_random_seed(0)
    model = kind(vae.build_encoder(seed=1), vae.build_decoder(), **options)
    explore(model, digits.x_test[:50], path=tmp_path / "latent.html")
    with opened(browser, (tmp_path / "latent.html").as_uri()) as tab:
        assert tab.inner_text("#error-name") == "squared error"
        x = shown(tab, "#original").astype(np.float32)[None] / 255
        error = ((x - model.reconstruct(x)) ** 2).sum()
        np.testing.assert_allclose(numbers(tab, "#error"), error, rtol=0.01)
        tab.click("summary")
        tab.wait_for_selector("#table td")
        lines = tab.inner_text("#lines").splitlines()
        assert "one of your own, which is not in the page" in lines[1]
        assert [line.split(" ")[0] for line in lines] == ["z", "the", "KL"]  # and no sum


def test_replayed_strokes_lie_where_their_images_do(browser, mnist, tmp_path):
    """Of test images 0 to 19: the label that the page calls nearest is the one around the image itself."""
    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(seed=1), vae.build_decoder())
    model.compile()
    model.fit(mnist.x_train, epochs=30, verbose=0)
    explore(model, mnist.x_test, mnist.y_test, path=tmp_path / "latent.html")
    points, agree = model.encode(mnist.x_test)[0], []
    with opened(browser, (tmp_path / "latent.html").as_uri()) as tab:
        for i in range(20):
            nearest = np.argsort(((points - points[i]) ** 2).sum(axis=1))[1:21]  # without the image itself
            tab.click("#clear")
            draw(tab, *trace(skeleton(mnist.x_test[i] > 60)))
            (label,) = re.findall(r"\d", tab.inner_text("#near"))
            agree.append(int(label) == np.bincount(mnist.y_test[nearest]).argmax())
    print(f"{sum(agree)} of 20 strokes")
    assert sum(agree) >= 15
