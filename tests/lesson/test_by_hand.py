"""A VAE by hand, in plain Keras layers and a training loop of a few lines: what `VAE.fit` does, all in sight.

Both start from the same weights, see the same batches, and draw the same noise. So they must land on the same
losses and the same weights, or one of them is no VAE.
"""

import keras
import numpy as np
from gradients import value_and_gradients
from keras import layers, ops

import vae

# 32 images of 6 x 6 pixels, one picture in many shades; each is squeezed into 2 numbers by way of 8.
PIXELS, HIDDEN, LATENT = 36, 8, 2
rng = np.random.default_rng(0)
IMAGES = rng.random((32, 1), np.float32) * rng.random((1, PIXELS), np.float32)
BATCH, EPOCHS, RATE, BETA, SEED = 8, 5, 0.02, 0.5, 5


class VAEByHand:
    """The networks: an encoder q(z|x), which answers with a Gaussian, and a decoder p(x|z)."""

    def __init__(self):
        self.hidden = layers.Dense(HIDDEN, "silu")
        self.z_mean = layers.Dense(LATENT)
        self.z_log_sigma = layers.Dense(LATENT)
        self.hidden_again = layers.Dense(HIDDEN, "silu")
        self.pixels = layers.Dense(PIXELS, "sigmoid")
        self.layers = [self.hidden, self.z_mean, self.z_log_sigma, self.hidden_again, self.pixels]
        for layer, size in zip(self.layers, [PIXELS, HIDDEN, HIDDEN, LATENT, HIDDEN], strict=True):
            layer.build((None, size))
        self.weights = [weight for layer in self.layers for weight in layer.trainable_variables]

    def losses(self, x, epsilon):
        """Return both terms of the loss for a batch: each the mean over its images, in nats."""
        # Encode: where in the latent space is each image, and how sure are we?
        h = self.hidden(x)  # (batch, HIDDEN)
        z_mean, z_log_sigma = self.z_mean(h), self.z_log_sigma(h)  # (batch, LATENT)

        # Sample z from N(z_mean, sigma^2). The randomness comes from outside, as epsilon, so that z is a
        # plain function of the weights and has derivatives by them: the reparameterisation trick.
        z = z_mean + ops.exp(z_log_sigma) * epsilon  # (batch, LATENT)

        # Decode.
        reconstruction = self.pixels(self.hidden_again(z))  # (batch, PIXELS)

        # How far is the reconstruction from the image, and how far the Gaussian from the prior N(0, I)?
        squared_error = ops.sum((x - reconstruction) ** 2, axis=1)  # (batch,)
        sigma_squared = ops.exp(2 * z_log_sigma)  # (batch, LATENT)
        kl = -0.5 * ops.sum(1 + 2 * z_log_sigma - z_mean**2 - sigma_squared, axis=1)  # (batch,)
        return ops.mean(squared_error), ops.mean(kl)


def train(model):
    """Train by plain gradient descent; return the losses of each epoch."""
    noise, history = keras.random.SeedGenerator(SEED), []
    for _ in range(EPOCHS):
        steps = []
        for start in range(0, len(IMAGES), BATCH):
            x = ops.convert_to_tensor(IMAGES[start : start + BATCH])
            epsilon = keras.random.normal((BATCH, LATENT), seed=noise)

            def loss(x=x, epsilon=epsilon):
                reconstruction, kl = model.losses(x, epsilon)
                return reconstruction + BETA * kl

            steps.append([ops.convert_to_numpy(term) for term in model.losses(x, epsilon)])
            _, gradients = value_and_gradients(loss, model.weights)
            for weight, gradient in zip(model.weights, gradients, strict=True):
                weight.assign(weight - RATE * gradient)  # a step downhill
        history.append(np.mean(steps, axis=0))
    return np.array(history)  # (EPOCHS, 2)


def test_fit_does_what_this_loop_does():
    keras.utils.set_random_seed(0)
    encoder = vae.build_encoder(PIXELS, (HIDDEN,), LATENT, seed=SEED)
    decoder = vae.build_decoder(LATENT, (HIDDEN,), PIXELS)
    model = vae.VAE(encoder, decoder, beta=BETA)
    model.compile(keras.optimizers.SGD(RATE))

    by_hand = VAEByHand()
    for weight, start in zip(by_hand.weights, model.trainable_variables, strict=True):
        weight.assign(start)

    losses = train(by_hand)
    history = model.fit(IMAGES, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0).history

    np.testing.assert_allclose(history["reconstruction_loss"], losses[:, 0], rtol=1e-4)
    np.testing.assert_allclose(history["kl_loss"], losses[:, 1], rtol=1e-4)
    np.testing.assert_allclose(history["loss"], losses[:, 0] + BETA * losses[:, 1], rtol=1e-4)
    for weight, trained in zip(by_hand.weights, model.trainable_variables, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(weight), ops.convert_to_numpy(trained), rtol=1e-3, atol=1e-5
        )
    assert losses[-1].sum() < losses[0].sum()  # and it learns
