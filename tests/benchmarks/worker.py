"""Measure one competitor in a process of its own and print JSON: python worker.py WHAT ARGUMENTS.

A Keras backend is chosen once a process, so each is measured in a fresh one. "first" are the seconds from
after the imports to the end of the first epoch.
"""

import dataclasses
import functools
import json
import sys
import threading
import time

import keras
import numpy as np

import vae

EPOCHS = 6  # the first, which compiles, counts by itself


@dataclasses.dataclass(frozen=True)
class Network:
    """What is trained, and on how many images; with `filters`, as the convolutional builders make it."""

    shape: tuple
    n: int  # training images
    encoded: int
    generated: int
    units: tuple  # of the encoder's hidden dense layers
    decoder_units: tuple
    filters: tuple = ()


NETWORKS = {
    "dense": Network((784,), 60_000, 60_000, 10_000, (64, 16, 8), (8, 16, 64)),
    "wide": Network((784,), 60_000, 60_000, 10_000, (256, 128, 64), (64, 128, 256)),
    "conv28": Network((28, 28, 1), 2_560, 60_000, 10_000, (16,), (64,), (32, 64)),
    "conv64": Network((64, 64, 3), 640, 2_560, 1_000, (16,), (64,), (32, 64)),
}


def network_of(name, n=None):
    """Return a network by its name, to be trained on n images where n is given."""
    return dataclasses.replace(NETWORKS[name], n=n or NETWORKS[name].n)


def images(shape=(784,), n=60_000):
    """Return the embedded digits over and over: on noise, gradients die and slow denormal numbers come up."""
    x = vae.load_digits().x_train.reshape(-1, 28, 28, 1)
    if shape == (64, 64, 3):
        x = np.pad(x.repeat(2, 1).repeat(2, 2).repeat(3, 3), ((0, 0), (4, 4), (4, 4), (0, 0)))
    return np.resize(x.reshape(-1, *shape), (n, *shape))


def clock():
    """Return a callback that notes the seconds of each epoch, and the list that it fills."""

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seconds = []

        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(time.perf_counter() - self.start)

    return Clock()


def build(network=NETWORKS["dense"]):
    encoder, decoder = {"hidden_units": network.units}, {"hidden_units": network.decoder_units}
    if not network.filters:
        return vae.VAE(vae.build_encoder(**encoder), vae.build_decoder(**decoder))
    encoder |= {"filters": network.filters, "image_shape": network.shape}
    decoder |= {"filters": network.filters[::-1], "image_shape": network.shape}
    return vae.VAE(vae.build_conv_encoder(**encoder), vae.build_conv_decoder(**decoder))


def best_of_two(function, *arguments):
    seconds = []
    for _ in range(3):  # the first compiles
        start = time.perf_counter()
        function(*arguments)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def result_of(before, seconds, model):
    weights = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    return {"first": before + seconds[0], "epochs": seconds[1:], "weights": weights}


def library(name, batch_size, n=None, path=None):
    """`VAE.fit` as users call it, then `evaluate`, `encode` and `generate`."""
    start, network = time.perf_counter(), network_of(name, n)
    x = images(network.shape, network.n) if path is None else np.load(path, mmap_mode="r")
    model, times = build(network), clock()
    model.compile("adam")
    before = time.perf_counter() - start
    model.fit(x, batch_size=batch_size, epochs=EPOCHS, verbose=0, callbacks=[times])
    result = result_of(before, times.seconds, model)
    if path is None:
        many = images(network.shape, network.encoded)
        result["evaluate"] = best_of_two(functools.partial(model.evaluate, x, verbose=0))
        result["encode"] = best_of_two(model.encode, many)
        result["generate"] = best_of_two(model.generate, network.generated)
    return result


def plain(name, batch_size):
    """Keras 3's own fit of the same model, without chunks."""
    start, network = time.perf_counter(), NETWORKS[name]
    model, times = build(network), clock()
    model.compile("adam", steps_per_execution=1)
    x = images(network.shape, network.n).astype("float32") / 255
    before = time.perf_counter() - start
    keras.Model.fit(model, x, batch_size=batch_size, epochs=EPOCHS, verbose=0, callbacks=[times])
    return result_of(before, times.seconds, model)


def floor(name, batch_size, n=None):
    """The whole epoch as one hand-written scan, data shuffled before it: what the machine can do."""
    import by_hand_jax

    return by_hand_jax.train(network_of(name, n), images, batch_size, EPOCHS)


def eager_torch(name, batch_size, n=None):
    """An eager PyTorch loop over tensors in memory."""
    import by_hand_torch

    return by_hand_torch.train(network_of(name, n), images, batch_size, EPOCHS)


def graph_torch(name, batch_size, n=None):
    """The same steps as one CUDA graph; without a GPU, on the same static memory, step by step."""
    import by_hand_torch

    return by_hand_torch.train(network_of(name, n), images, batch_size, EPOCHS, graph=True)


def run_of(how):
    """Seconds of a whole run of 25 epochs, compilation included."""
    x, start = images(), time.perf_counter()
    model = build()
    if how == "recipe":
        model.compile()
        model.fit(x, epochs=25, verbose=0)
    else:
        model.compile("adam", steps_per_execution=1)
        x = x.astype("float32") / 255
        start = time.perf_counter()
        keras.Model.fit(model, x, batch_size=128, epochs=25, verbose=0)
    return [time.perf_counter() - start]


def memory(path):
    """Growth in MB of the process's own memory over three epochs on a memmap, at its peak.

    Anonymous memory is counted, and not the pages of the mapped file, which are the data themselves.
    """
    model = build()
    model.compile("adam")
    model.fit(images(n=20_000), batch_size=128, epochs=8, verbose=0)  # the backend itself, compiled
    x = np.load(path, mmap_mode="r")
    before, peak, done = anonymous_mb(), [0.0], threading.Event()

    def watch():
        while not done.wait(0.02):
            peak[0] = max(peak[0], anonymous_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    model.fit(x, batch_size=128, epochs=3, verbose=0)
    done.set()
    watcher.join()
    return [peak[0] - before]


def anonymous_mb():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def grid():
    """The 900-digit decode through the library, over one compiled decode of 900 points, both warm."""
    model = build()
    z = np.random.default_rng(0).standard_normal((900, 2)).astype("float32")

    def best(function):
        function()
        times = []
        for _ in range(30):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
        return float(np.median(times))

    import jax
    import jax.numpy as jnp

    layers = [(layer.kernel, layer.bias) for layer in model.decoder.layers if layer.weights]
    layers = [(jnp.asarray(np.asarray(k)), jnp.asarray(np.asarray(b))) for k, b in layers]

    @jax.jit
    def decode(h):
        for kernel, bias in layers[:-1]:
            h = jax.nn.silu(h @ kernel + bias)
        return jax.nn.sigmoid(h @ layers[-1][0] + layers[-1][1])

    return [best(lambda: model.decode(z)) / best(lambda: np.asarray(decode(z)))]


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    print(json.dumps(globals()[what](*(int(a) if a.isdigit() else a for a in arguments))))
