"""Latent spaces of any size, and the arithmetic at a point of them, in a real browser."""

import re

import keras
import numpy as np
import pytest
from explorer.browsing import PLANE, data_of, decoded, encoded, numbers, on_screen, opened, shown

import vae
from vae.explorer import explore


def written(tmp_path, latent_dim, labels=None, **options):
    """An untrained VAE of 6 x 6 pixels, its images, the address of their page and what the page is told."""
    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(36, (8,), latent_dim), vae.build_decoder(latent_dim, (8,), 36))
    model.encoder.get_layer("Z-Mean").kernel.assign(np.random.default_rng(1).normal(size=(8, latent_dim)))
    images = np.random.default_rng(0).integers(0, 256, (30, 6, 6), dtype=np.uint8)
    page = explore(model, images, labels, path=tmp_path / "latent.html", **options)
    return model, images, page.path.as_uri(), data_of(page.content)["planes"][0]


@pytest.mark.parametrize("labels", [None, np.arange(30) % 3, np.array(["low", "high", "\u00e9"] * 10)])
@pytest.mark.parametrize("latent_dim", [1, 2, 3, 16])
def test_a_latent_space_of_any_size(latent_dim, labels, browser, tmp_path):
    model, images, url, plane = written(tmp_path, latent_dim, labels)
    with opened(browser, url) as tab:
        tab.click("#next")
        index = int(tab.inner_text("#index"))
        z = model.encode(images[index : index + 1])[0][0]
        np.testing.assert_allclose(numbers(tab, "#where"), z, atol=0.02)
        np.testing.assert_allclose(shown(tab), 255 * model.decode(z[None])[0], atol=4)
        assert tab.is_visible("#dimensions") == (latent_dim > 2)
        assert tab.locator("#sliders input").count() == max(0, latent_dim - 2)
        assert ("projection" in tab.inner_text("#about")) == ("slice" in tab.inner_text("#about"))
        assert ("projection" in tab.inner_text("#about")) == (latent_dim > 2)
        assert (tab.inner_text("#near") == "") == (labels is None)
        tab.focus(PLANE)
        tab.keyboard.press("Shift+ArrowRight")
        tab.wait_for_timeout(500)
        moved = numbers(tab, "#where")
        expected = z.copy()
        expected[plane["axes"][0]] += plane["side"] / 20
        np.testing.assert_allclose(moved, expected, atol=0.02)
        place = tab.url
    with opened(browser, place) as tab:
        assert numbers(tab, "#where") == moved


@pytest.mark.parametrize("latent_dim", [1, 3])
def test_the_point_under_the_pointer_and_images_chosen_there(latent_dim, browser, tmp_path):
    model, images, url, plane = written(tmp_path, latent_dim)
    z_mean = model.encode(images)[0]
    wanted = int(np.argmax(z_mean[:, plane["axes"][0]]))
    with opened(browser, url) as tab:
        low = [plane["low"][d] for d in plane["axes"]]
        point = [*z_mean[wanted, plane["axes"]].tolist(), 0][:2]
        if latent_dim == 1:  # the points are spread over the height, by the golden section
            low.append(-plane["side"] / 2)
            point[1] = plane["side"] * ((wanted * 0.618034 + 0.5) % 1 - 0.5)
        tab.mouse.click(*on_screen(tab, {**plane, "low": low}, point))
        assert tab.inner_text("#index") == str(wanted)
        np.testing.assert_allclose(numbers(tab, "#where"), z_mean[wanted], atol=0.02)


def test_axes_are_chosen_and_the_others_have_sliders(browser, tmp_path):
    model, images, url, plane = written(tmp_path, 5)
    spread = np.argsort(-model.encode(images)[0].std(axis=0))
    assert plane["order"] == spread.tolist()
    assert plane["axes"] == sorted(spread[:2].tolist())
    with opened(browser, url) as tab:
        (a, b), others = plane["axes"], spread[2:].tolist()
        names = "inputs => inputs.map(input => Number(input.name))"
        assert tab.eval_on_selector_all("#sliders input", names) == others
        tab.select_option("#across", str(others[0]))
        tab.select_option("#up", str(others[0]))  # which exchanges the two
        assert [tab.input_value("#across"), tab.input_value("#up")] == [str(b), str(others[0])]
        assert a in tab.eval_on_selector_all("#sliders input", names)
        assert f"[{b},{others[0]}]" in tab.inner_text("dl")  # which of the numbers it gives
        before = numbers(tab, "#where")
        tab.focus(f"#sliders input[name='{a}']")
        tab.keyboard.press("ArrowRight")
        after = numbers(tab, "#where")
        assert after[a] > before[a]
        assert np.delete(after, a).tolist() == np.delete(before, a).tolist()
        np.testing.assert_allclose(decoded(tab, after), model.decode([after])[0], atol=0.001)
        np.testing.assert_allclose(shown(tab), 255 * model.decode([after])[0], atol=4)
        tab.focus(PLANE)
        tab.keyboard.press("Shift+ArrowUp")
        assert numbers(tab, "#where")[others[0]] > after[others[0]]


def test_the_arithmetic_is_that_of_the_loss_at_the_point(browser, tmp_path):
    model, images, url, _ = written(tmp_path, 3)
    model.beta = 0.5
    explore(model, images, path=tmp_path / "latent.html")
    with opened(browser, url) as tab:
        assert not tab.is_visible("#table")
        tab.click("summary")
        tab.wait_for_selector("#table td")
        tab.focus(PLANE)
        for key in ("Shift+ArrowRight", "Shift+ArrowUp", "n", "ArrowRight"):
            tab.keyboard.press(key)
            table = tab.eval_on_selector_all(
                "#table tr", "rows => rows.map(row => Array.from(row.cells, cell => cell.textContent))"
            )
            columns = dict(zip(table[0], np.transpose(table), strict=True))
            columns = {
                name: np.array([float(cell.replace("\u2212", "-")) for cell in column[1:]])
                for name, column in columns.items()
                if name
            }
            assert list(columns) == ["z_mean", "z_log_sigma", "sigma", "epsilon", "z", "KL"]
            index = int(tab.inner_text("#index"))
            x = images[index : index + 1]
            z_mean, z_log_sigma = model.encode(x)
            np.testing.assert_allclose(columns["z_mean"], z_mean[0], atol=0.01)
            np.testing.assert_allclose(columns["z_log_sigma"], z_log_sigma[0], atol=0.01)
            np.testing.assert_allclose(columns["z"], numbers(tab, "#where"), atol=0.0051)
            z = columns["z_mean"] + columns["sigma"] * columns["epsilon"]
            np.testing.assert_allclose(columns["z"], z, atol=0.01)
            error, kl = model.losses_per_image(x, (columns["z"] - z_mean) / np.exp(z_log_sigma))
            lines = [
                [float(n) for n in re.findall(r"-?\d+\.\d\d\b", line.replace("\u2212", "-"))]
                for line in tab.inner_text("#lines").splitlines()
            ]
            np.testing.assert_allclose(lines[1], error, atol=0.03)
            np.testing.assert_allclose(lines[2], kl, atol=0.03)
            np.testing.assert_allclose(lines[3][-1], error + 0.5 * kl, atol=0.04)
            np.testing.assert_allclose(columns["KL"].sum(), kl, atol=0.03)


def test_the_arithmetic_of_an_autoencoder_has_no_kl(tab, made):
    tab.check("input[value=autoencoder]")
    tab.click("summary")
    tab.wait_for_selector("#table td")
    assert "code" in tab.inner_text("#table")
    x = made.x[made.start : made.start + 1]
    error = ((x[0] / 255 - made.autoencoder.reconstruct(x)[0]) ** 2).sum()
    (line, _) = tab.inner_text("#lines").splitlines()
    assert float(line.rpartition("=")[2]) == pytest.approx(error, abs=0.05)
    assert "no KL" in tab.inner_text("#lines")


def test_labels_are_written_on_the_first_axes_alone(browser, tmp_path):
    _, _, url, _ = written(tmp_path, 3, np.arange(30) % 2)
    with opened(browser, url) as tab:
        tab.evaluate("""() => {
            window.written = 0;
            CanvasRenderingContext2D.prototype.strokeText = () => { written++; };
        }""")
        across, sliders = tab.input_value("#across"), "inputs => inputs[0].name"
        for axis, expected in ((across, 2), (tab.eval_on_selector_all("#sliders input", sliders), 0)):
            tab.select_option("#across", axis)
            tab.evaluate("written = 0")
            tab.focus(PLANE)
            tab.keyboard.press("ArrowRight")
            assert tab.evaluate("written") == expected


def test_the_models_may_differ_in_size(browser, tmp_path):
    autoencoder = vae.build_autoencoder(36, (8,), 4)
    _, images, url, _ = written(tmp_path, 1, autoencoder=autoencoder)
    with opened(browser, url) as tab:
        assert len(numbers(tab, "#where")) == 1
        tab.check("input[value=autoencoder]")
        assert len(numbers(tab, "#where")) == 4
        assert tab.locator("#sliders input").count() == 2
        code, _ = encoded(tab, images[3] / 255)
        np.testing.assert_allclose(code, autoencoder.encode(images[3:4])[0], atol=0.01)
        tab.check("input[value=vae]")
        assert len(numbers(tab, "#where")) == 1
