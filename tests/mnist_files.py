"""Files that pass for MNIST, whole and in every state, and what tests say about them."""

import gzip
import io
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

MNIST_DIR = os.environ.get("VAE_DATA_DIR")
needs_mnist = pytest.mark.skipif(not MNIST_DIR, reason="MNIST itself: set VAE_DATA_DIR to its folder")
KEYS = ("x_train", "y_train", "x_test", "y_test")
IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def idx_bytes(array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + b"".join(struct.pack(">I", n) for n in array.shape)
    return header + array.tobytes()


def make_arrays(seed, train=48, test=12):
    rng = np.random.default_rng(seed)
    shapes = ((train, 28, 28), (train,), (test, 28, 28), (test,))
    return {key: rng.integers(0, 256, shape, dtype=np.uint8) for key, shape in zip(KEYS, shapes, strict=True)}


def npz_bytes(arrays, save=np.savez_compressed):
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


def npy_bytes(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npy_with_header(text, content=b""):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + content


def write_npz(folder, content):
    folder.mkdir(exist_ok=True, parents=True)
    file = folder / "mnist.npz"
    file.write_bytes(content)
    return file


def write_idx(folder, arrays, sign="-", packed=False):
    folder.mkdir(exist_ok=True)
    for key, name in zip(KEYS, IDX_NAMES, strict=True):
        content = idx_bytes(arrays[key])
        file = folder / (name.replace("-idx", f"{sign}idx") + (".gz" if packed else ""))
        file.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return folder


def assert_same(dataset, arrays):
    assert dataset.name == "mnist"
    for key in KEYS:
        got = getattr(dataset, key)
        assert got.dtype == np.uint8
        assert got.flags.writeable
        np.testing.assert_array_equal(got, arrays[key])


def on_disk(folder):
    """Every path under `folder`, with the content of each file."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def assert_three_ways_out(message):
    for way in ("1. put mnist.npz", "load_mnist(path=", "2. set", "VAE_DATA_DIR", "3. use", "load_digits()"):
        assert way in message


def python(code, home, **environment):
    """Run `code` with an empty home; returns the finished process and its seconds."""
    home.mkdir(exist_ok=True)
    keep = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}
    root = str(Path(__file__).parents[1])
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**keep, "HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": root, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done, time.monotonic() - started
