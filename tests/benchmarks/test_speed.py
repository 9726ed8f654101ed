"""How long an epoch takes, beside what else there is. Run on a quiet machine:

    pytest tests/benchmarks -m benchmark --benchmark-disable-gc -s

Everything is measured in one run on one machine, each in a fresh process, competitors in turn; the tables
hold medians, in seconds, and their ratios. "first" is the time from after the imports to the end of the first
epoch; the sizes are in `NETWORKS` in worker.py.
"""

import importlib.util
import statistics

import numpy as np
import pytest
from benchmarks.gpu import measure

pytestmark = pytest.mark.benchmark
INSTALLED = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
ROUNDS = 1  # of five epochs each


def competitors(network):
    """Yield what is measured: its name, the worker's function, the backend."""
    if network in ("dense", "wide") and "jax" in INSTALLED:  # XLA's convolutions are slow in loops on CPUs
        yield "one hand-written scan", "floor", "jax"
    for backend in INSTALLED:
        yield f"vae on {backend}", "library", backend
    if "torch" in INSTALLED:
        yield "eager PyTorch", "eager_torch", "torch"
    yield "plain Keras fit on tensorflow", "plain", "tensorflow"


@pytest.mark.parametrize(
    ("network", "batch_size"),
    [
        *(("conv28", 128), ("conv64", 128), ("dense", 128), ("dense", 16), ("wide", 128), ("conv28", 32)),
        *(("conv64", 32), ("dense", 32), ("wide", 32)),
    ],
)
def test_training_and_use(benchmark, network, batch_size):
    results = {name: [] for name, _, _ in competitors(network)}

    def all_in_turn():
        for name, what, backend in competitors(network):
            results[name].append(measure(what, network, batch_size, backend=backend))

    benchmark.pedantic(all_in_turn, rounds=ROUNDS)
    rows = {name: medians(several) for name, several in results.items()}
    others = [name for name in ("one hand-written scan", "eager PyTorch") if name in rows]
    columns = ["epoch", *(f"/ {name}" for name in others), "first", "evaluate", "encode", "generate"]
    print(f"\n| {network}, batch {batch_size} | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}")
    for name, row in rows.items():
        ratios = {f"/ {other}": row["epoch"] / rows[other]["epoch"] for other in others}
        values = [{**row, **ratios}.get(column) for column in columns]
        print(f"| {name} | {' | '.join('' if value is None else f'{value:.2f}' for value in values)} |")
    benchmark.extra_info.update({name: row["epoch"] for name, row in rows.items()})
    assert len({row["weights"] for row in rows.values()}) == 1, "they do not train the same network"


def medians(results):
    epochs = [seconds for result in results for seconds in result["epochs"]]
    others = {key for result in results for key in result} - {"epochs"}
    return {
        "epoch": statistics.median(epochs),
        **{key: statistics.median(result[key] for result in results) for key in others},
    }


def test_a_whole_run_by_the_recipe(benchmark):
    seconds = {}

    def both():
        for how in ("recipe", "plain"):
            seconds.setdefault(how, []).extend(measure("run_of", how, backend="tensorflow"))

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
            seconds[n] = medians([measure("library", "dense", 128, n, path, backend=backend)])["epoch"]
            peaks[n] = measure("memory", path, backend=backend)[0]

    benchmark.pedantic(grow, rounds=1)
    print(f"\n{backend}: images, seconds an epoch, peak MB above the data")
    for n in sizes:
        print(f"{n:8} {seconds[n]:8.3f} {peaks[n]:8.0f}")
    print(f"time for 600,000 / 10 x time for 60,000: {seconds[600_000] / (10 * seconds[60_000]):.2f}")
    assert peaks[600_000] < peaks[60_000] + 500


def test_decoding_the_grid(benchmark):
    pytest.importorskip("jax")
    ratios = benchmark.pedantic(lambda: measure("grid", backend="tensorflow"), rounds=1)
    print(f"\n900 digits, warm: vae on tensorflow / one compiled decode: {ratios[0]:.2f}")
    assert ratios[0] > 0
