"""Long and heavy runs at flat memory, each in a process of its own. Minutes: run with `pytest -m slow -s`."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[1]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from /proc"),
]

# What is mapped from files, as a memmap is, can be dropped at any time and does not count.
PRELUDE = """
import sys, threading, time, keras, numpy as np, vae

def memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

peak = 0.0
def watch():
    global peak
    while True:
        peak = max(peak, memory())
        time.sleep(0.02)

keras.utils.set_random_seed(0)
def build():
    model = vae.VAE(vae.build_encoder(), vae.build_decoder())
    model.compile()
    return model

def start_watching():
    global before
    before = memory()
    threading.Thread(target=watch, daemon=True).start()
"""


def growth_of(code, *args):
    """Run code after the prelude, and return by how many MB memory grew at most after it began to watch."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        f"{PRELUDE}\n{code}\nprint(peak - before)",
        *map(str, args),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return float(result.stdout.split()[-1])


def report(what, growth):
    print(f"{what}: memory grew by {growth:.0f} MB")


def test_600_000_images_of_a_memmap(tmp_path):
    path = tmp_path / "images.npy"
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (600_000, 784))
    rng = np.random.default_rng(0)
    for start in range(0, len(images), 10_000):
        images[start : start + 10_000] = rng.integers(0, 256, (10_000, 784), np.uint8)
    images.flush()
    growth = growth_of(
        """
images = np.load(sys.argv[1], mmap_mode="r")
class Watch(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        self.chunks = getattr(self, "chunks", 0) + 1
        if self.chunks == 20:  # all that there is to compile is compiled
            start_watching()
build().fit(images, epochs=3, batch_size=128, verbose=0, callbacks=[Watch()])
""",
        path,
    )
    report("3 epochs of 600,000 images in a memmap, after the first 20 chunks", growth)
    assert growth < 100


def test_1_000_000_generated_images(tmp_path):
    growth = growth_of(
        """
out = np.lib.format.open_memmap(sys.argv[1], "w+", np.uint8, (1_000_000, 784))
model = build()
model.generate(10_000, out=out[:10_000])
start_watching()
model.generate(1_000_000, seed=0, out=out)
assert out[-1].any()
""",
        tmp_path / "generated.npy",
    )
    report("1,000,000 images generated into a memmap", growth)
    assert growth < 100


def test_100_fits_of_one_model():
    growth = growth_of(
        """
x, model = vae.load_digits().x_train, build()
for _ in range(5):
    model.fit(x, epochs=1, verbose=0)
start_watching()
for _ in range(100):
    model.fit(x, epochs=1, verbose=0)
"""
    )
    report("100 fits of one model", growth)
    assert growth < 50


def test_20_new_models_are_measured():
    growth = growth_of(
        """
import gc
x = vae.load_digits().x_train
build().fit(x, epochs=1, verbose=0)
start_watching()
for _ in range(20):
    build().fit(x, epochs=1, verbose=0)
    gc.collect()
"""
    )
    report("20 new models, each fitted once (TensorFlow keeps what it compiled)", growth)
    assert growth < 20 * 100
