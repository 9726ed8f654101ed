from .builders import build_autoencoder, build_decoder, build_encoder
from .callbacks import EpochLog
from .data import (
    Dataset,
    DatasetIntegrityError,
    DatasetUnavailableError,
    flatten,
    load_dataset,
    load_digits,
    load_mnist,
)
from .device import describe_device
from .figures.algorithms import plot_algorithms
from .figures.diagrams import plot_architecture, plot_model
from .figures.digits import plot_digit, plot_digit_grid, plot_digits, plot_reconstructions
from .figures.display import show
from .figures.latent import plot_latent_intuition, plot_latent_space
from .figures.losses import plot_loss
from .layers import Sampling
from .losses import kl_divergence, reconstruction_loss, vae_loss
from .model import VAE, load_model

__version__: str
__all__ = [
    "VAE",
    "Dataset",
    "DatasetIntegrityError",
    "DatasetUnavailableError",
    "EpochLog",
    "Sampling",
    "build_autoencoder",
    "build_decoder",
    "build_encoder",
    "describe_device",
    "flatten",
    "kl_divergence",
    "load_dataset",
    "load_digits",
    "load_mnist",
    "load_model",
    "plot_algorithms",
    "plot_architecture",
    "plot_digit",
    "plot_digit_grid",
    "plot_digits",
    "plot_latent_intuition",
    "plot_latent_space",
    "plot_loss",
    "plot_model",
    "plot_reconstructions",
    "reconstruction_loss",
    "show",
    "vae_loss",
]
