import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

import vae


@pytest.fixture(scope="module")
def film(digits):
    keras.utils.set_random_seed(0)
    model = vae.VAE(vae.build_encoder(seed=1), vae.build_decoder())
    model.compile()
    film = vae.TrainingFilm(digits.x_test, digits.y_test, n=6)
    model.fit(digits.x_train, epochs=5, verbose=0, callbacks=[film])
    return film


def test_every_epoch_is_a_frame_with_its_own_points_and_grid(film):
    figure = vae.plot_training_film(film)
    assert [frame.name for frame in figure.frames] == ["0", "1", "2", "3", "4", "5"]
    assert len(figure.data) == 10
    last = np.concatenate([np.c_[trace.x, trace.y] for trace in figure.frames[-1].data])
    np.testing.assert_allclose(np.sort(last, axis=0), np.sort(film.z_mean[-1], axis=0), atol=1e-6)
    sources = {frame.layout.images[0].source for frame in figure.frames}
    assert len(sources) == 6
    assert "epoch 5, loss" in figure.frames[-1].layout.title.text


def test_there_is_a_play_button_and_a_slider(film):
    layout = vae.plot_training_film(film).layout
    assert [button.label for button in layout.updatemenus[0].buttons] == ["Play", "Pause"]
    assert [step.label for step in layout.sliders[0].steps] == ["0", "1", "2", "3", "4", "5"]


def test_the_twin_shows_first_and_last(film):
    figure = vae.plot_training_film(film, static=True)
    assert isinstance(figure, Figure)
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles[0] == "before training"
    assert titles[-1].startswith("epoch 5, loss")


def test_it_can_be_shown(film, capsys):
    vae.show(vae.plot_training_film, film)
    assert "Interactive figure" in capsys.readouterr().out


def test_color_images_and_no_labels():
    x = np.random.default_rng(0).random((8, 6, 5, 3), dtype="float32")
    model = vae.VAE(vae.build_conv_encoder((6, 5, 3), (4,)), vae.build_conv_decoder(2, (4,), (6, 5, 3)))
    model.compile()
    film = vae.TrainingFilm(x, n=3)
    model.fit(x, verbose=0, callbacks=[film])
    assert len(vae.plot_training_film(film).data) == 1
    assert vae.plot_training_film(film, static=True).axes


def test_what_is_no_film_is_refused():
    with pytest.raises(TypeError, match="film must be a"):
        vae.plot_training_film("film")
    with pytest.raises(ValueError, match="film must hold frames"):
        vae.plot_training_film(vae.TrainingFilm(np.zeros((2, 784))))
