"""The same networks in PyTorch without Keras: eager steps, or each step as one CUDA graph."""

import itertools
import time

import torch
from torch import nn


def dense_layers(*sizes):
    layers = [layer for a, b in itertools.pairwise(sizes) for layer in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*layers)


def dense_network(network):
    decoder = dense_layers(2, *network.decoder_units), nn.Linear(network.decoder_units[-1], 784)
    return dense_layers(784, *network.units), nn.Sequential(*decoder, nn.Sigmoid())


def conv_network(network):
    rows, columns, channels = network.shape
    rows, columns, (few, many) = rows // 4, columns // 4, network.filters
    flat = rows * columns * many
    down = nn.Conv2d(channels, few, 3, 2, 1), nn.SiLU(), nn.Conv2d(few, many, 3, 2, 1), nn.SiLU()
    up = nn.Conv2d(many, many, 3, 1, 1), nn.SiLU(), nn.Upsample(None, 2)
    up += nn.Conv2d(many, few, 3, 1, 1), nn.SiLU(), nn.Upsample(None, 2)
    up += nn.Conv2d(few, channels, 3, 1, 1), nn.Sigmoid()
    layout = dense_layers(2, *network.decoder_units, flat), nn.Unflatten(1, (many, rows, columns))
    return nn.Sequential(*down, nn.Flatten(), dense_layers(flat, *network.units)), nn.Sequential(*layout, *up)


def train(network, images, batch_size, epochs, graph=False):
    start, device = time.perf_counter(), "cuda" if torch.cuda.is_available() else "cpu"
    body, decoder = (conv_network if network.filters else dense_network)(network)
    heads = nn.ModuleList([nn.Linear(network.units[-1], 2) for _ in range(2)])
    modules = [module.to(device) for module in (body, heads, decoder)]
    parameters = [p for module in modules for p in module.parameters()]
    optimizer = torch.optim.Adam(parameters, capturable=graph and device == "cuda")
    x = torch.from_numpy(images(network.shape, network.n).astype("float32") / 255).to(device)
    if network.filters:
        x = x.permute(0, 3, 1, 2).contiguous()
    x = x[: len(x) // batch_size * batch_size] if graph else x  # a graph has one size

    def step(batch):
        hidden = body(batch)
        mean, log_sigma = heads[0](hidden), heads[1](hidden).clamp(-15, 2)
        reconstruction = decoder(mean + log_sigma.exp() * torch.randn_like(mean))
        kl = 0.5 * (mean**2 + torch.expm1(2 * log_sigma) - 2 * log_sigma).sum()
        loss = (((batch - reconstruction) ** 2).sum() + kl) / len(batch)
        optimizer.zero_grad(set_to_none=not graph)
        loss.backward()
        optimizer.step()
        return loss

    step = on_static_memory(step, x[:batch_size]) if graph else step
    before, seconds = time.perf_counter() - start, []
    for _ in range(epochs):
        start = time.perf_counter()
        for rows in torch.randperm(len(x), device=device).split(batch_size):
            loss = step(x[rows])
        loss.item()  # waits for the GPU
        seconds.append(time.perf_counter() - start)
    return {
        "first": before + seconds[0],
        "epochs": seconds[1:],
        "weights": sum(p.numel() for p in parameters),
    }


def on_static_memory(step, example):
    """Return the step as one CUDA graph, or, without CUDA, called on the same memory each time."""
    batch = example.clone()
    if batch.device.type == "cuda":
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # a graph cannot hold the calls that first set things up
            for _ in range(3):
                step(batch)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = step(batch)

    def replay(rows):
        batch.copy_(rows)
        if batch.device.type == "cuda":
            graph.replay()
            return loss
        return step(batch)

    return replay
