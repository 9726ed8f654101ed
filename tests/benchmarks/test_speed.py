"""How long an epoch takes, beside what else there is. Run on a quiet machine:

    pytest tests/benchmarks -m benchmark --benchmark-disable-gc -s

Everything is measured in one run on one machine, each in a fresh process, competitors in turn, and
repeated; the table holds medians and their ratios.
"""

import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.benchmark
WORKER = pathlib.Path(__file__).with_name("worker.py")
INSTALLED = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
ROUNDS = 2


def measure(what, *arguments, backend="tensorflow"):
    """Run the worker and return its numbers."""
    result = subprocess.run(
        [sys.executable, str(WORKER), what, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout.splitlines()[-1])


def competitors():
    yield "one hand-written scan (floor)", "floor", "jax"
    for backend in INSTALLED:
        yield f"vae on {backend}", "library", backend
    if "torch" in INSTALLED:
        yield "eager PyTorch", "eager_torch", "torch"
    yield "plain Keras fit on tensorflow", "plain", "tensorflow"


@pytest.mark.parametrize("batch_size", [128, 16])
def test_seconds_an_epoch(benchmark, batch_size):
    pytest.importorskip("jax")
    seconds = {name: [] for name, _, _ in competitors()}

    def all_in_turn():
        for name, what, backend in competitors():
            seconds[name] += measure(what, batch_size, backend=backend)

    benchmark.pedantic(all_in_turn, rounds=ROUNDS)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    floor = medians["one hand-written scan (floor)"]
    print(f"\nbatch {batch_size}: seconds an epoch, over the floor")
    for name, median in medians.items():
        print(f"{name:32} {median:7.3f} {median / floor:7.2f}")
    benchmark.extra_info.update(medians)
    assert all(median > 0 for median in medians.values())


def test_a_whole_run_by_the_recipe(benchmark):
    seconds = {}

    def both():
        for how in ("recipe", "plain"):
            seconds.setdefault(how, []).extend(measure("run_of", how))

    benchmark.pedantic(both, rounds=ROUNDS)
    ratio = statistics.median(seconds["recipe"]) / statistics.median(seconds["plain"])
    print(f"\n25 epochs by the recipe / 25 epochs of plain Keras fit at batch 128: {ratio:.2f}", seconds)
    assert ratio > 0


@pytest.mark.parametrize("backend", [name for name in INSTALLED if name != "torch"])
def test_growth_with_the_number_of_images(benchmark, tmp_path, backend):
    sizes, seconds, peaks = (6_000, 60_000, 600_000), {}, {}
    for n in sizes:
        np.save(tmp_path / f"{n}.npy", np.random.default_rng(0).integers(0, 256, (n, 784), dtype=np.uint8))

    def grow():
        for n in sizes:
            path = tmp_path / f"{n}.npy"
            seconds[n] = statistics.median(measure("library", 128, n, path, backend=backend))
            peaks[n] = measure("memory", path, backend=backend)[0]

    benchmark.pedantic(grow, rounds=1)
    print(f"\n{backend}: images, seconds an epoch, peak MB above the data")
    for n in sizes:
        print(f"{n:8} {seconds[n]:8.3f} {peaks[n]:8.0f}")
    print(f"time for 600,000 / 10 x time for 60,000: {seconds[600_000] / (10 * seconds[60_000]):.2f}")
    assert peaks[600_000] < peaks[60_000] + 500


def test_decoding_the_grid(benchmark):
    pytest.importorskip("jax")
    ratios = benchmark.pedantic(lambda: measure("grid"), rounds=1)
    print(f"\n900 digits, warm: vae on tensorflow / one compiled decode: {ratios[0]:.2f}")
    assert ratios[0] > 0
