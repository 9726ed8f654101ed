import os
import shutil

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def digits():
    """The embedded digits: real images, no network, no MNIST."""
    import vae

    return vae.load_digits()


@pytest.fixture(scope="session")
def mnist():
    """All of MNIST, where VAE_DATA_DIR points to it."""
    import vae

    folder = os.environ.get("VAE_DATA_DIR")
    if not folder:
        pytest.skip("VAE_DATA_DIR is not set: this test needs the MNIST files")
    return vae.load_mnist(folder)


@pytest.fixture
def model():
    """A fresh, untrained VAE of the default size, always with the same weights; `tiny` has small ones."""
    import keras

    import vae

    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(seed=1), vae.build_decoder())
    model.compile()
    return model


@pytest.fixture
def images():
    """Sixteen images of noise, float, flat."""
    return np.random.default_rng(0).random((16, 784), dtype=np.float32)


@pytest.fixture(scope="module")  # not longer: while it lives, no other event loop runs in its thread
def browser():
    """A real browser; without one, or without playwright, the test skips. Neither is installed here."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium and no Chrome is installed")
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=sandbox)
        yield browser
        browser.close()
