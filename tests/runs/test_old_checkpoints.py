"""Checkpoints that 0.1.0 wrote, cut off after epoch 1 of 3: this version ends their runs as that one did.

`checkpoint_<backend>_end.npz` holds how they ended: the losses, and the weights. The recipe of that version
had another learning rate, of which its checkpoints say nothing, and it clipped z_log_sigma elsewhere.
"""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

import vae
from vae import layers
from vae.runs import checkpoint
from vae.training import recipe

pytestmark = pytest.mark.skipif(
    keras.__version__.rpartition(".")[0] != "3.15",
    reason="a checkpoint holds its model's configuration as Keras 3.15 words it",
)

WRITTEN = pathlib.Path(__file__).parents[1] / "files" / "written_by_0_1_0"


class Break(keras.callbacks.Callback):
    """What broke the run off; the checkpoint knows callbacks by their names."""


@pytest.fixture
def folder(tmp_path):
    """A copy of the old run's folder."""
    backend = keras.backend.backend()
    if not (WRITTEN / f"checkpoint_{backend}").exists():
        pytest.skip(f"0.1.0 left no checkpoint of {backend}")
    shutil.copytree(WRITTEN / f"checkpoint_{backend}", tmp_path / "run")
    return tmp_path / "run"


def resume(folder):
    """Return the model and the history of the old run, taken up and ended."""
    with np.load(WRITTEN / "expected.npz") as expected:
        x = expected["x"]
    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(36, (8,), 2), vae.build_decoder(2, (8,), 36), beta=2.0)
    model.compile()
    callbacks = [keras.callbacks.EarlyStopping("loss", patience=50), vae.BetaWarmUp(2), Break()]
    history = model.fit(x, epochs=3, batch_size=8, verbose=0, callbacks=callbacks, checkpoint=folder)
    return model, history


@pytest.fixture
def end():
    with np.load(WRITTEN / f"checkpoint_{keras.backend.backend()}_end.npz") as end:
        return dict(end)


def test_an_old_run_is_not_ended_by_another_recipe(folder):
    with pytest.raises(ValueError, match=r"differs in recipe: None in the checkpoint"):
        resume(folder)


def test_an_old_run_goes_on_from_its_epoch_and_ends_as_it_would_have(folder, end, monkeypatch):
    old = recipe.RECIPE._replace(learning_rate=3e-3)
    for module in (recipe, checkpoint):
        monkeypatch.setattr(module, "RECIPE", old)
    monkeypatch.setattr(layers, "LOG_SIGMA_RANGE", (-15.0, 15.0))
    with np.load(folder / "checkpoint.npz") as file:
        arrays = dict(file)
    kept = json.loads(arrays["json"].tobytes())
    kept["settings"]["recipe"] = old._asdict()
    arrays["json"] = np.frombuffer(json.dumps(kept).encode(), np.uint8)
    np.savez(folder / "checkpoint.npz", **arrays)
    model, history = resume(folder)
    assert history.epoch == [0, 1, 2]
    assert model.beta == 2
    # On the machine that wrote them the same in every bit; elsewhere sums are taken in another order.
    np.testing.assert_allclose(history.history["loss"], end["loss"], rtol=1e-4)
    for i, weights in enumerate(model.get_weights()):
        np.testing.assert_allclose(weights, end[f"arr_{i}"], rtol=1e-4, atol=1e-6)
    print("in every bit:", np.array_equal(history.history["loss"], end["loss"]))
