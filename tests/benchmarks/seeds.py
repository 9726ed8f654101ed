"""What the default models reach on MNIST's test images, seed by seed: the tables of README.md beside this.

    KERAS_BACKEND=jax VAE_DATA_DIR=folder python tests/benchmarks/seeds.py vae 0 1 2 3 4

The first argument names a model (see `MODELS`), the others are seeds. One line a seed, then median and worst.
The loss of "gaussian" is the negative ELBO.
"""

import itertools
import statistics
import sys
from functools import partial

import keras

import vae


def default(reconstruction="mse"):
    return vae.VAE(vae.build_encoder(), vae.build_decoder(), reconstruction=reconstruction)


def pytorch_example():
    """784-400-20, as PyTorch's example has it, with the builders' initialisers."""
    encoder = vae.build_encoder(hidden_units=(400,), latent_dim=20, activation="relu")
    decoder = vae.build_decoder(latent_dim=20, hidden_units=(400,), activation="relu")
    return vae.VAE(encoder, decoder, reconstruction="bernoulli")


MODELS = {  # how it is built, what `compile` and `fit` are given
    "vae": (default, {}, {"epochs": 25}),
    "gaussian": (partial(default, "gaussian"), {}, {"epochs": 25}),
    "autoencoder": (vae.build_autoencoder, {}, {"epochs": 25}),
    "pytorch_example": (pytorch_example, {"optimizer": "adam"}, {"epochs": 10, "batch_size": 128}),
}


def main(name, *seeds):
    build, compiled, fitted = MODELS[name]
    data, losses = vae.load_mnist(), []
    for seed in map(int, seeds):
        keras.utils.set_random_seed(seed)
        model = build()
        model.compile(**compiled)
        history = model.fit(data.x_train, verbose=0, **fitted).history["loss"]
        rise = max(b - a for a, b in itertools.pairwise(history[1:]))  # after the second epoch
        result = model.evaluate(data.x_test, verbose=0, return_dict=True)
        losses.append(result["loss"])
        terms = ", ".join(f"{term} {value:.2f}" for term, value in result.items())
        print(f"{name}, seed {seed}: {terms}; largest rise of the training loss {rise:.2f}", flush=True)
    print(f"{name}: median {statistics.median(losses):.2f}, worst {max(losses):.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
