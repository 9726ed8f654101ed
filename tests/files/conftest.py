import pytest
from model_files import make_model, pack, saved


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The members of a small model's file, by name."""
    return saved(make_model(), tmp_path_factory.mktemp("good") / "model.keras")


@pytest.fixture(scope="module")
def sound(good):
    """The file."""
    return pack(good)
