from types import SimpleNamespace

import keras
import pytest
from explorer.browsing import data_of, opened

import vae
from vae.explorer import explore


@pytest.fixture(scope="package")
def made(digits, tmp_path_factory):
    """A lightly trained VAE and autoencoder, and their page."""
    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(seed=1), vae.build_decoder())
    model.compile("adam")
    model.fit(digits.x_train, epochs=8, verbose=0)
    autoencoder = vae.build_autoencoder()
    autoencoder.compile("adam")
    autoencoder.fit(digits.x_train, epochs=3, verbose=0)
    path = tmp_path_factory.mktemp("page") / "latent plane.html"
    page = explore(model, digits.x_test, digits.y_test, autoencoder=autoencoder, path=path)
    data = data_of(page.content)
    return SimpleNamespace(
        model=model,
        autoencoder=autoencoder,
        page=page,
        url=path.as_uri(),
        data=data,
        start=data["start"],  # all images can be chosen, so that this is its index, too
        x=digits.x_test,
        y=digits.y_test,
    )


@pytest.fixture
def tab(browser, made):
    with opened(browser, made.url) as tab:
        yield tab
