"""The same networks in JAX without Keras: each epoch one `lax.scan` over shuffled batches."""

import itertools
import time

import jax
import numpy as np
from jax import numpy as jnp

KERNEL = (3, 3)
LAYOUT = ("NHWC", "HWIO", "NHWC")


def new_weights(rng, *sizes):
    values = rng.normal(0, (2 / np.prod(sizes[:-1])) ** 0.5, sizes)
    return jnp.asarray(values, "float32"), jnp.zeros(sizes[-1])


def dense_network(network, rng):
    sizes = (784, *network.units)
    pairs = [*itertools.pairwise(sizes), (sizes[-1], 2), (sizes[-1], 2)]
    back = [*itertools.pairwise((2, *network.decoder_units, 784))]
    count = len(network.units)

    def encode(weights, x):
        for layer in weights[:count]:
            x = jax.nn.silu(dense(x, layer))
        return dense(x, weights[count]), dense(x, weights[count + 1])

    def decode(weights, z):
        for layer in weights[count + 2 : -1]:
            z = jax.nn.silu(dense(z, layer))
        return jax.nn.sigmoid(dense(z, weights[-1]))

    return [new_weights(rng, *pair) for pair in (*pairs, *back)], encode, decode


def conv_network(network, rng):
    rows, columns, channels = network.shape
    rows, columns, (few, many) = rows // 4, columns // 4, network.filters
    flat, (units,), (decoder_units,) = rows * columns * many, network.units, network.decoder_units
    down = [(*KERNEL, channels, few), (*KERNEL, few, many), (flat, units), (units, 2), (units, 2)]
    up = [(2, decoder_units), (decoder_units, flat), (*KERNEL, many, many), (*KERNEL, many, few)]

    def encode(weights, x):
        for layer in weights[:2]:
            x = jax.nn.silu(conv(x, layer, 2))
        x = jax.nn.silu(dense(x.reshape(len(x), -1), weights[2]))
        return dense(x, weights[3]), dense(x, weights[4])

    def decode(weights, z):
        for layer in weights[5:7]:
            z = jax.nn.silu(dense(z, layer))
        x = z.reshape(-1, rows, columns, many)
        for layer in weights[7:9]:
            x = jax.nn.silu(conv(x, layer, 1)).repeat(2, 1).repeat(2, 2)
        return jax.nn.sigmoid(conv(x, weights[9], 1))

    return [new_weights(rng, *each) for each in (*down, *up, (*KERNEL, few, channels))], encode, decode


def dense(x, layer):
    return x @ layer[0] + layer[1]


def conv(x, layer, stride):
    y = jax.lax.conv_general_dilated(x, layer[0], (stride, stride), "SAME", dimension_numbers=LAYOUT)
    return y + layer[1]


def train(network, images, batch_size, epochs):
    start, rng = time.perf_counter(), np.random.default_rng(0)
    x = images(network.shape, network.n)
    weights, encode, decode = (conv_network if network.filters else dense_network)(network, rng)

    def loss(weights, x, key):
        x = x.astype("float32") / 255
        mean, log_sigma = encode(weights, x)
        log_sigma = jnp.clip(log_sigma, -15, 2)
        y = decode(weights, mean + jnp.exp(log_sigma) * jax.random.normal(key, mean.shape))
        kl = 0.5 * jnp.sum(mean**2 + jnp.expm1(2 * log_sigma) - 2 * log_sigma)
        return (jnp.sum((x - y) ** 2) + kl) / len(x)

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
    before = time.perf_counter() - start
    for _ in range(epochs):
        start = time.perf_counter()
        order = rng.permutation(len(x))[: len(x) // batch_size * batch_size]
        state, values = epoch(state, x[order].reshape(-1, batch_size, *network.shape))
        values.block_until_ready()
        seconds.append(time.perf_counter() - start)
    count = sum(array.size for array in jax.tree.leaves(state[0]))
    return {"first": before + seconds[0], "epochs": seconds[1:], "weights": count}
