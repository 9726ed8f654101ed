"""Training on a GPU, in under ten minutes: python tests/benchmarks/gpu.py > table.md

The package on each installed backend, beside one hand-written scan in JAX, an eager PyTorch loop, and a
PyTorch loop whose step is one CUDA graph. Each runs in a process of its own; the table grows as they end.
Without a GPU it runs on the CPU: `gpu.py 50`, with a fiftieth of the images, tries the script.
"""

import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

WORKER = pathlib.Path(__file__).with_name("worker.py")
DEADLINE, LIMIT = (
    time.monotonic() + 570,
    60,
)  # seconds for all, and for one: XLA's loops on a CPU take minutes
RUNS = [("dense", 128), ("conv64", 128), ("dense", 1024), ("dense", 32)]
IMAGES = {"dense": 60_000, "conv64": 12_800}
COMPETITORS = [  # name, the worker's function, the backend
    ("hand-written scan", "floor", "jax"),
    ("vae on jax", "library", "jax"),
    ("eager PyTorch", "eager_torch", "torch"),
    ("PyTorch, CUDA graph", "graph_torch", "torch"),
    ("vae on torch", "library", "torch"),
    ("vae on tensorflow", "library", "tensorflow"),
]


def measure(what, *arguments, backend, timeout=None):
    """Run the worker in a process of its own and return its numbers."""
    result = subprocess.run(
        [sys.executable, str(WORKER), what, *map(str, arguments)],
        env={"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=True,
    )
    return json.loads(result.stdout.splitlines()[-1])


def measure_or_say_why_not(*arguments, backend):
    left = min(LIMIT, DEADLINE - time.monotonic())
    try:
        return measure(*arguments, backend=backend, timeout=max(left, 0))
    except subprocess.TimeoutExpired:
        return f"over {left:.0f} s" if left > 0 else "no time left"
    except subprocess.CalledProcessError as error:
        return (error.stderr.strip().splitlines() or ["failed without a word"])[-1]


def main(less=1):
    print("| network, batch | what | seconds an epoch | / scan | / eager | first epoch |")
    print("| --- | --- | --- | --- | --- | --- |")
    for network, batch_size in RUNS:
        medians = {}
        for name, what, backend in COMPETITORS:
            if not importlib.util.find_spec(backend):
                continue
            result = measure_or_say_why_not(
                what, network, batch_size, IMAGES[network] // less, backend=backend
            )
            if isinstance(result, str):
                print(f"| {network}, {batch_size} | {name} | {result} | | | |", flush=True)
                continue
            medians[name] = statistics.median(result["epochs"])
            beside = [
                f"{medians[name] / medians[other]:.2f}" if other in medians else ""
                for other in ("hand-written scan", "eager PyTorch")
            ]
            cells = [
                f"{network}, {batch_size}",
                name,
                f"{medians[name]:.3f}",
                *beside,
                f"{result['first']:.1f}",
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
