import hashlib
import tempfile

import pytest
from mnist_files import IDX_NAMES, KEYS, PROXIES, idx_bytes, make_arrays

from vae.data import mnist


@pytest.fixture
def clean_place(tmp_path, monkeypatch):
    """No data, no proxy, and a Keras cache and a temporary folder of the test's own."""
    for name in ("VAE_DATA_DIR", *PROXIES, *map(str.upper, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture
def offline(monkeypatch):
    def fetch(file):
        raise OSError("no route to host")

    monkeypatch.setattr(mnist, "_fetch", fetch)


@pytest.fixture
def small(monkeypatch):
    """Small arrays that pass for MNIST."""
    arrays = make_arrays(seed=1)
    published = {
        key: mnist._Published(name, arrays[key].shape, hashlib.md5(idx_bytes(arrays[key])).hexdigest())
        for key, name in zip(KEYS, IDX_NAMES, strict=True)
    }
    monkeypatch.setattr(mnist, "_MNIST", published)
    return arrays
