"""Labelled points, and what figures draw of them."""

import numpy as np


def cloud(n=300, latent_dim=2, classes=10):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % classes
    scale = np.linspace(3, 1, latent_dim)
    return (rng.normal(size=(n, latent_dim)) * scale + labels[:, None]).astype("float32"), labels


def dots(figure):
    """The traces of points, without those of names."""
    return [trace for trace in figure.data if trace.mode == "markers"]
