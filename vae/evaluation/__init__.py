"""How good a model is, in numbers: likelihoods, measures of the latent space and of generated images."""

from vae.evaluation.latent_space import active_units, nearest_neighbor_accuracy
from vae.evaluation.likelihoods import elbo, log_likelihood
from vae.evaluation.samples import SampleQuality, frechet_distance

__all__ = [
    "SampleQuality",
    "active_units",
    "elbo",
    "frechet_distance",
    "log_likelihood",
    "nearest_neighbor_accuracy",
]
