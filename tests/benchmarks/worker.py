"""Measure one competitor in a process of its own and print JSON: python worker.py WHAT ARGUMENTS.

A Keras backend is chosen once a process, so each is measured in a fresh one.
"""

import itertools
import json
import os
import sys
import threading
import time

import numpy as np

SIZES = (784, 64, 16, 8)
EPOCHS = 6  # the first, which compiles, is left out


def images(n=60_000):
    """Return the embedded digits over and over: on noise, gradients die and slow denormal numbers come up."""
    import vae

    return np.resize(vae.load_digits().x_train.reshape(-1, 784), (n, 784))


def clock():
    """Return a callback that notes the seconds of each epoch, and the list that it fills."""
    import keras

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seconds = []

        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(time.perf_counter() - self.start)

    return Clock()


def build():
    import vae

    return vae.VAE(vae.build_encoder(), vae.build_decoder())


def library(batch_size, n=60_000, path=None):
    """`VAE.fit` as a user calls it."""
    x = images(n) if path is None else np.load(path, mmap_mode="r")
    model, times = build(), clock()
    model.compile("adam")
    model.fit(x, batch_size=batch_size, epochs=EPOCHS, verbose=0, callbacks=[times])
    return times.seconds[1:]


def plain(batch_size):
    """Keras 3's own fit of the same model, without chunks."""
    import keras

    model, times = build(), clock()
    model.compile("adam", steps_per_execution=1)
    x = images().astype("float32") / 255
    keras.Model.fit(model, x, batch_size=batch_size, epochs=EPOCHS, verbose=0, callbacks=[times])
    return times.seconds[1:]


def floor(batch_size):
    """The whole epoch as one hand-written scan, data shuffled before it: what the machine can do."""
    import jax
    from jax import numpy as jnp

    x, rng = images(), np.random.default_rng(0)
    pairs = [*itertools.pairwise(SIZES), (8, 2), (8, 2), (2, 8), *zip(SIZES[:0:-1], SIZES[-2::-1])]
    weights = [
        (jnp.asarray(rng.normal(0, (2 / a) ** 0.5, (a, b)), "float32"), jnp.zeros(b)) for a, b in pairs
    ]

    def dense(h, layer):
        return h @ layer[0] + layer[1]

    def loss(weights, x, key):
        x = h = x.astype("float32") / 255
        for layer in weights[:3]:
            h = jax.nn.silu(dense(h, layer))
        mean, log_sigma = dense(h, weights[3]), jnp.clip(dense(h, weights[4]), -15, 2)
        h = mean + jnp.exp(log_sigma) * jax.random.normal(key, mean.shape)
        for layer in weights[5:8]:
            h = jax.nn.silu(dense(h, layer))
        reconstruction = jnp.sum((x - jax.nn.sigmoid(dense(h, weights[8]))) ** 2, axis=1)
        kl = 0.5 * jnp.sum(mean**2 + jnp.expm1(2 * log_sigma) - 2 * log_sigma, axis=1)
        return jnp.mean(reconstruction + kl)

    def step(state, x):
        weights, m, v, t, key = state
        key, now = jax.random.split(key)
        value, gradient = jax.value_and_grad(loss)(weights, x, now)
        t = t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradient)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradient)
        rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, m, v)
        return (weights, m, v, t, key), value

    epoch = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches), donate_argnums=0)
    zeros = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
    state, seconds = (weights, *zeros, jnp.float32(0), jax.random.key(0)), []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        order = rng.permutation(len(x))[: len(x) // batch_size * batch_size]
        state, values = epoch(state, x[order].reshape(-1, batch_size, 784))
        values.block_until_ready()
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def eager_torch(batch_size):
    """An eager PyTorch loop over tensors in memory."""
    import torch
    from torch import nn

    def stack(sizes):
        layers = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
        return nn.Sequential(*layers)

    body, heads = stack(SIZES), nn.ModuleList([nn.Linear(8, 2), nn.Linear(8, 2)])
    decoder = nn.Sequential(stack((2, *SIZES[:0:-1])), nn.Linear(64, 784), nn.Sigmoid())
    parameters = [p for module in (body, heads, decoder) for p in module.parameters()]
    optimizer = torch.optim.Adam(parameters)
    x, seconds = torch.from_numpy(images().astype("float32") / 255), []
    for _ in range(min(EPOCHS, 4) if batch_size < 64 else EPOCHS):
        start = time.perf_counter()
        for rows in torch.randperm(len(x)).split(batch_size):
            batch = x[rows]
            hidden = body(batch)
            mean, log_sigma = heads[0](hidden), heads[1](hidden).clamp(-15, 2)
            reconstruction = decoder(mean + log_sigma.exp() * torch.randn_like(mean))
            kl = 0.5 * (mean**2 + torch.expm1(2 * log_sigma) - 2 * log_sigma).sum()
            loss = (((batch - reconstruction) ** 2).sum() + kl) / len(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def run_of(how):
    """Seconds of a whole run of 25 epochs, compilation included."""
    import keras

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
    model.fit(images(20_000), batch_size=128, epochs=8, verbose=0)  # the backend itself, compiled
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
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    what, *arguments = sys.argv[1:]
    print(json.dumps(globals()[what](*(int(a) if a.isdigit() else a for a in arguments))))
