"""How models train: images in and no targets, many steps in one call, by a measured recipe.

`image_model` is what `Autoencoder` and `VAE` have in common; it stands on `chunked`, Keras's model with
steps in compiled chunks. Nothing here knows what a VAE is.
"""
