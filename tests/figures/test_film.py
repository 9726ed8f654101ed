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
    assert "epoch 5, loss" in figure.frames[-1].layout.title.subtitle.text
    assert figure.layout.title.text == figure.frames[-1].layout.title.text  # what the page is called


def test_there_is_a_play_button_and_a_slider(film):
    layout = vae.plot_training_film(film).layout
    assert [button.label for button in layout.updatemenus[0].buttons] == ["Play", "Pause"]
    assert [step.label for step in layout.sliders[0].steps] == ["0", "1", "2", "3", "4", "5"]


def recorded(film, epochs):
    """The film's frames as if they had been recorded at other epochs."""
    other = vae.TrainingFilm(film.x, film.labels, n=film.n)
    other.epochs = list(epochs)
    for name in ("z_mean", "grids", "losses"):
        setattr(other, name, getattr(film, name)[: len(epochs)])
    return other


@pytest.mark.parametrize(
    ("epochs", "stills"),
    [
        ((0, 1, 2, 3, 4, 5), [0, 1, 3, 5]),
        ((0, 2, 4, 6, 8), [0, 2, 4, 8]),
        ((0, 12, 24, 36, 300), [0, 12, 24, 300]),
        ((0, 1), [0, 1]),
        ((0,), [0]),
    ],
)
def test_the_twin_shows_the_first_epochs_and_the_last(epochs, stills, film):
    figure = vae.plot_training_film(recorded(film, epochs), static=True)
    assert isinstance(figure, Figure)
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert titles[0] == "before training"
    assert [title.split(",")[0] for title in titles[1:]] == [f"epoch {epoch}" for epoch in stills[1:]]
    assert figure.alt.endswith(f"{'; '.join(titles)}.")


def test_both_fit_a_cell_of_a_notebook(film):
    layout = vae.plot_training_film(film).layout
    width, height = vae.plot_training_film(film, static=True).get_size_inches()
    assert layout.width == 800
    assert width / height == pytest.approx(layout.width / layout.height)


def test_a_frame_costs_little_more_than_its_points_and_its_grid(film):
    figure = vae.plot_training_film(film)
    with_one = vae.plot_training_film(recorded(film, (0,)))
    a_frame = (len(figure.to_json()) - len(with_one.to_json())) / 5
    assert a_frame < 11 * len(film.x) + 20_000


def test_epochs_that_come_again_have_frames_of_their_own(film):
    figure = vae.plot_training_film(recorded(film, (0, 1, 2, 1, 2)))
    assert len({frame.name for frame in figure.frames}) == 5
    steps = figure.layout.sliders[0].steps
    assert [step.label for step in steps] == ["0", "1", "2", "1", "2"]
    assert [step.args[0][0] for step in steps] == [frame.name for frame in figure.frames]


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
