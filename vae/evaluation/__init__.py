"""How good a model is, in numbers: likelihoods, measures of the latent space and of generated images."""

from vae.evaluation.exact import exact_log_likelihood
from vae.evaluation.likelihoods import anomaly_score, elbo, log_likelihood
from vae.evaluation.measures import SampleQuality, active_units, frechet_distance, nearest_neighbor_accuracy

__all__ = [
    "SampleQuality",
    "active_units",
    "anomaly_score",
    "elbo",
    "exact_log_likelihood",
    "frechet_distance",
    "log_likelihood",
    "nearest_neighbor_accuracy",
]
