from . import builders as builders
from . import evaluation as evaluation
from . import layers as layers
from . import losses as losses
from .backends.device import describe_device
from .builders import (
    build_autoencoder,
    build_conv_decoder,
    build_conv_encoder,
    build_decoder,
    build_encoder,
)
from .callbacks import BetaWarmUp, EpochLog, TrainingFilm
from .data import Dataset, flatten, load_dataset
from .data.digits import load_digits
from .data.folder import load_images
from .data.mnist import DatasetIntegrityError, DatasetUnavailableError, load_mnist
from .evaluation import (
    SampleQuality,
    active_units,
    anomaly_score,
    elbo,
    exact_log_likelihood,
    frechet_distance,
    log_likelihood,
    nearest_neighbor_accuracy,
)
from .explorer import explore
from .figures.algorithms import plot_algorithms
from .figures.architecture import plot_architecture
from .figures.code import show_code
from .figures.comparison import plot_comparison
from .figures.diagrams import plot_model
from .figures.digits import plot_digit, plot_digit_grid
from .figures.display import show
from .figures.film import plot_training_film
from .figures.latent import plot_latent_intuition, plot_latent_space
from .figures.losses import plot_loss
from .figures.rows import plot_digits, plot_reconstructions, plot_rows
from .files import ModelFileError
from .files.model_file import load_model
from .latent import class_center, interpolate
from .layers import Sampling, reparameterize
from .losses import bernoulli_loss, kl_divergence, reconstruction_loss, vae_loss
from .model import VAE, Autoencoder

__version__: str
__all__ = [
    "VAE",
    "Autoencoder",
    "BetaWarmUp",
    "Dataset",
    "DatasetIntegrityError",
    "DatasetUnavailableError",
    "EpochLog",
    "ModelFileError",
    "SampleQuality",
    "Sampling",
    "TrainingFilm",
    "active_units",
    "anomaly_score",
    "bernoulli_loss",
    "build_autoencoder",
    "build_conv_decoder",
    "build_conv_encoder",
    "build_decoder",
    "build_encoder",
    "builders",
    "class_center",
    "describe_device",
    "elbo",
    "evaluation",
    "exact_log_likelihood",
    "explore",
    "flatten",
    "frechet_distance",
    "interpolate",
    "kl_divergence",
    "layers",
    "load_dataset",
    "load_digits",
    "load_images",
    "load_mnist",
    "load_model",
    "log_likelihood",
    "losses",
    "nearest_neighbor_accuracy",
    "plot_algorithms",
    "plot_architecture",
    "plot_comparison",
    "plot_digit",
    "plot_digit_grid",
    "plot_digits",
    "plot_latent_intuition",
    "plot_latent_space",
    "plot_loss",
    "plot_model",
    "plot_reconstructions",
    "plot_rows",
    "plot_training_film",
    "reconstruction_loss",
    "reparameterize",
    "show",
    "show_code",
    "vae_loss",
]
