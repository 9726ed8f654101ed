"""The latent-space page: one HTML file in which a trained model's latent plane can be walked."""

from vae.explorer.page import Page, explore

__all__ = ["Page", "explore"]
