"""The pictures that a run of `vae train` leaves in its folder."""

from pathlib import Path

from keras.callbacks import History

from vae.data import Dataset
from vae.figures.digits import plot_digit_grid, plot_reconstructions
from vae.figures.labels import names_of_labels
from vae.figures.latent import plot_latent_space
from vae.figures.losses import plot_loss
from vae.figures.mosaic import to_sheet
from vae.model import VAE

_GRID_PIXELS = 2000  # of the digit grid: large images are fewer, but 10 x 10 at least


def draw_run(folder: Path, model: VAE, data: Dataset, history: History) -> None:
    """Write loss.png, reconstructions.png, and how new images and the latent space look."""
    shape, latent_dim, labels = data.x_test.shape[1:], model.decoder.input_shape[-1], names_of_labels(data)
    plot_loss(history).savefig(folder / "loss.png")
    plot_reconstructions(model, data.x_test, labels).savefig(folder / "reconstructions.png")
    if latent_dim == 2:
        n = min(30, max(10, _GRID_PIXELS // max(shape[:2])))
        plot_digit_grid(model, n, image_shape=shape).savefig(folder / "digit_grid.png")
    else:
        (folder / "generated.png").write_bytes(to_sheet(model.generate(100, seed=0), shape))
    z_mean, _ = model.encode(data.x_test)
    # A plane needs two dimensions; of more, a large beta may press all points into one.
    if latent_dim == 2 or (latent_dim > 2 and (z_mean != z_mean[0]).any()):
        plot_latent_space(z_mean, labels, static=True).savefig(folder / "latent_space.png")
