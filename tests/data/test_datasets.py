"""The data module: what it loads, what it refuses, and how it behaves where the network does not.

Formats are tried on small arrays with sums of their own. Tests of MNIST itself take it from the
folder in VAE_DATA_DIR, and are skipped where that is not set. Nothing here leaves this machine.
"""

import contextlib
import doctest
import gc
import gzip
import hashlib
import io
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from archives import zip_bytes

import vae.data as data
from vae.data import DatasetIntegrityError, DatasetUnavailableError

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


# Helpers


@pytest.fixture(autouse=True)
def clean_place(tmp_path, monkeypatch):
    """No data, no proxy, and a Keras cache and a temporary folder of the test's own."""
    for name in ("VAE_DATA_DIR", *PROXIES, *map(str.upper, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))


@pytest.fixture
def offline(monkeypatch):
    def fetch(file):
        raise OSError("no route to host")

    monkeypatch.setattr(data, "_fetch", fetch)


def idx_bytes(array):
    header = struct.pack(">HBB", 0, 8, array.ndim) + b"".join(struct.pack(">I", n) for n in array.shape)
    return header + array.tobytes()


def make_arrays(seed, train=48, test=12):
    rng = np.random.default_rng(seed)
    shapes = ((train, 28, 28), (train,), (test, 28, 28), (test,))
    return {key: rng.integers(0, 256, shape, dtype=np.uint8) for key, shape in zip(KEYS, shapes, strict=True)}


@pytest.fixture
def small(monkeypatch):
    """Small arrays that pass for MNIST."""
    arrays = make_arrays(seed=1)
    published = {
        key: data._Published(name, arrays[key].shape, hashlib.md5(idx_bytes(arrays[key])).hexdigest())
        for key, name in zip(KEYS, IDX_NAMES, strict=True)
    }
    monkeypatch.setattr(data, "_MNIST", published)
    return arrays


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


def assert_refused(place, file, match):
    """Loading `place` blames `file` for the fault `match`, and leaves everything as it was."""
    before = on_disk(place.parent)
    with pytest.raises(DatasetIntegrityError, match=match) as caught:
        data.load_mnist(place)
    assert str(file) in str(caught.value)
    assert on_disk(place.parent) == before


# Reading: what is accepted


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("as_folder", [True, False])
@pytest.mark.parametrize("kind", [str, Path])
def test_npz_is_loaded(small, tmp_path, save, as_folder, kind):
    file = write_npz(tmp_path / "d", npz_bytes(small, save))
    assert_same(data.load_mnist(kind(file.parent if as_folder else file)), small)


@pytest.mark.parametrize("sign", ["-", "."])
@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_loaded(small, tmp_path, sign, packed):
    assert_same(data.load_mnist(write_idx(tmp_path / "d", small, sign, packed)), small)


def test_idx_spellings_may_be_mixed_and_a_browser_may_have_unpacked_one(small, tmp_path):
    folder = write_idx(tmp_path / "d", small)
    (folder / IDX_NAMES[0]).rename(folder / f"{IDX_NAMES[0]}.gz")  # plain, called .gz
    (folder / IDX_NAMES[3]).rename(folder / "t10k-labels.idx1-ubyte")
    assert_same(data.load_mnist(folder), small)


def test_file_may_have_any_name_and_home_is_expanded(small, tmp_path, monkeypatch):
    write_npz(tmp_path, npz_bytes(small)).rename(tmp_path / "digits of 1998.npz")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert_same(data.load_mnist("~/digits of 1998.npz"), small)


def test_order_of_the_sources(small, tmp_path, monkeypatch, offline):
    folders = {name: tmp_path / name for name in ("path", "env")}
    cache = tmp_path / "keras" / "datasets"
    for folder in (*folders.values(), cache):
        write_npz(folder, npz_bytes(small))
    monkeypatch.setenv("VAE_DATA_DIR", str(folders["env"]))
    places = []
    real = data._read_npz
    monkeypatch.setattr(data, "_read_npz", lambda file: places.append(Path(file).parent) or real(file))

    data.load_mnist(folders["path"])
    data.load_mnist()
    (folders["env"] / "mnist.npz").unlink()
    data.load_mnist()
    monkeypatch.delenv("VAE_DATA_DIR")
    data.load_mnist()
    assert places == [folders["path"], folders["env"], cache, cache]


def test_keras_cache_is_under_home_unless_keras_home_says_otherwise(monkeypatch, tmp_path):
    assert data._keras_cache() == str(tmp_path / "keras" / "datasets" / "mnist.npz")
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert data._keras_cache() == str(tmp_path / ".keras" / "datasets" / "mnist.npz")


# Reading: what is refused


def without(arrays, key):
    return {name: array for name, array in arrays.items() if name != key}


class Canary:
    """Unpickling this raises the alarm."""

    alarms = 0

    def __reduce__(self):
        return Canary.raise_alarm, ()

    @staticmethod
    def raise_alarm():
        Canary.alarms += 1


def object_array():
    array = np.empty(48, dtype=object)
    array[:] = Canary()
    return array


DAMAGED_NPZ = {
    "empty": (lambda a: b"", "not a zip file"),
    "text": (lambda a: b"<html>404</html>" * 99, "not a zip file"),
    "truncated": (lambda a: npz_bytes(a)[:-40], "not a zip file|zip"),
    "half": (lambda a: npz_bytes(a)[: len(npz_bytes(a)) // 2], "not a zip file"),
    "single npy": (lambda a: npy_bytes(a["x_train"]), "not a zip file"),
    "IDX file": (lambda a: idx_bytes(a["x_train"]), "not a zip file"),
    "too large": (lambda a: npz_bytes(a) + bytes(2**21), "more than .* bytes"),
    "missing key": (lambda a: npz_bytes(without(a, "y_test")), "y_test"),
    "swapped parts": (
        lambda a: npz_bytes({"x_train": a["x_test"], "x_test": a["x_train"], **without(a, "x_train")}),
        r"x_train must be uint8 of shape \(48, 28, 28\); got uint8 of shape \(12, 28, 28\)",
    ),
    "another set": (lambda a: npz_bytes(make_arrays(seed=2)), "x_train is damaged or of another data set"),
    "one label": (lambda a: npz_bytes({**a, "y_test": a["y_test"] ^ 1}), "y_test is damaged"),
    "int64": (lambda a: npz_bytes({**a, "y_train": a["y_train"].astype(int)}), "y_train .* got int64"),
    "float": (lambda a: npz_bytes({**a, "x_test": a["x_test"] / 255}), "x_test .* got float64"),
    "flat": (lambda a: npz_bytes({**a, "x_test": a["x_test"].reshape(12, -1)}), r"\(12, 784\)"),
    "Fortran": (lambda a: npz_bytes({**a, "x_test": np.asfortranarray(a["x_test"])}), "Fortran"),
    "pickled": (lambda a: npz_bytes({**a, "y_train": object_array()}), "y_train .* got object"),
    "pickle itself": (lambda a: pickle.dumps(Canary()), "not a zip file"),
    "lzma": (
        lambda a: zip_bytes({f"{k}.npy": npy_bytes(a[k]) for k in KEYS}, zipfile.ZIP_LZMA),
        "compressed as NumPy never does",
    ),
    "no npy": (lambda a: zip_bytes({f"{key}.npy": b"nothing" for key in KEYS}), "magic"),
    "empty npy": (lambda a: zip_bytes({f"{key}.npy": b"" for key in KEYS}), "x|magic|EOF"),
    "short npy": (
        lambda a: zip_bytes({f"{key}.npy": npy_bytes(a[key])[:-1] for key in KEYS}),
        r"x_train is damaged .* 37,631 bytes .* published 37,632",
    ),
    "long npy": (
        lambda a: zip_bytes({f"{key}.npy": npy_bytes(a[key]) + b"\0" for key in KEYS}),
        r"x_train is damaged .* 37,633 bytes .* published 37,632",
    ),
    "absurd shape": (
        lambda a: zip_bytes(
            {f"{key}.npy": npy_bytes(a[key]).replace(b"(48,", b"(9999999999999,") for key in KEYS}
        ),
        "cannot be used",
    ),
    "header of code": (
        lambda a: zip_bytes({"x_train.npy": npy_with_header("__import__('os').abort()")}),
        "malformed|header",
    ),
    "nested header": (lambda a: zip_bytes({"x_train.npy": npy_with_header("(" * 9000)}), "cannot be used"),
    "long header": (lambda a: zip_bytes({"x_train.npy": npy_with_header(" " * 60000)}), "Header"),
    "negative shape": (
        lambda a: zip_bytes(
            {
                "x_train.npy": npy_with_header(
                    "{'descr': '|u1', 'fortran_order': False, 'shape': (-48, 28, 28)}"
                )
            }
        ),
        r"\(-48, 28, 28\)",
    ),
    "many entries": (lambda a: zip_bytes({f"{i}.npy": b"" for i in range(200)}), "too many entries"),
}


@pytest.mark.parametrize("case", DAMAGED_NPZ)
def test_damaged_npz_is_refused(small, tmp_path, case):
    make, match = DAMAGED_NPZ[case]
    file = write_npz(tmp_path / "d", make(small))
    Canary.alarms = 0
    for place in (file, file.parent):
        assert_refused(place, file, match)
    assert Canary.alarms == 0


def test_encrypted_npz_is_refused(small, tmp_path):
    content = bytearray(npz_bytes(small))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(signature) + offset] |= 1
    file = write_npz(tmp_path / "d", bytes(content))
    assert_refused(file, file, "encrypted")


@pytest.mark.parametrize("packed", [True, False])
def test_no_bit_flip_gives_wrong_data(small, tmp_path, packed):
    good = npz_bytes(small, np.savez_compressed if packed else np.savez)
    file = write_npz(tmp_path / "d", good)
    rng = np.random.default_rng(3)
    tail = len(good) - 600  # the directory of the archive, where most faults hide
    refused = 0
    for place in (*rng.integers(0, len(good), 150), *rng.integers(tail, len(good), 150)):
        content = bytearray(good)
        content[place] ^= 1 << rng.integers(8)
        file.write_bytes(content)
        try:
            assert_same(data.load_mnist(file), small)  # a date or an attribute: harmless
        except DatasetIntegrityError as error:
            refused += str(file) in str(error)
    assert refused > 150


def test_every_truncation_is_refused(small, tmp_path):
    good = npz_bytes(small)
    file = write_npz(tmp_path / "d", good)
    for length in (*range(0, len(good), 997), len(good) - 1):
        file.write_bytes(good[:length])
        with pytest.raises(DatasetIntegrityError):
            data.load_mnist(file)


DAMAGED_IDX = {
    "empty": (lambda c: b"", "not an IDX file"),
    "header only": (lambda c: c[:16], "damaged .* 0 bytes"),
    "cut": (lambda c: c[:-1], "damaged .* 37,631 bytes"),
    "too long": (lambda c: c + b"\0", "damaged .* 37,633 bytes"),
    "far too long": (lambda c: c + bytes(2**21), "more than .* bytes"),
    "flipped": (lambda c: c[:999] + bytes([c[999] ^ 4]) + c[1000:], "damaged"),
    "foreign": (lambda c: idx_bytes(make_arrays(seed=2)["x_train"]), "another data set"),
    "absurd size": (lambda c: c[:4] + b"\xff" * 12 + c[16:], "not an IDX file"),
    "gz cut": (lambda c: gzip.compress(c)[:-9], "end-of-stream|ended before"),
    "gz flipped": (lambda c: gzip.compress(c)[:-5] + b"\0\0\0\0\0", "CRC|length"),
    "gz of nothing": (lambda c: gzip.compress(b""), "not an IDX file"),
    "gz magic alone": (lambda c: b"\x1f\x8b", "cannot be used"),
    "gz of garbage": (lambda c: b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xff" * 99, "cannot be used"),
}


@pytest.mark.parametrize("case", DAMAGED_IDX)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_damaged_idx_is_refused(small, tmp_path, case, suffix):
    make, match = DAMAGED_IDX[case]
    folder = write_idx(tmp_path / "d", small)
    (folder / IDX_NAMES[0]).unlink()
    bad = folder / f"{IDX_NAMES[0]}{suffix}"
    bad.write_bytes(make(idx_bytes(small["x_train"])))
    assert_refused(folder, bad, match)


def test_swapped_idx_files_are_refused(small, tmp_path):
    folder = write_idx(tmp_path / "d", small)
    train, test = folder / IDX_NAMES[0], folder / IDX_NAMES[2]
    content = train.read_bytes()
    train.write_bytes(test.read_bytes())
    test.write_bytes(content)
    assert_refused(folder, train, r"not an IDX file of uint8 of shape \(48, 28, 28\)")


@pytest.mark.parametrize("name", IDX_NAMES)
def test_incomplete_set_of_idx_files_is_refused(small, tmp_path, name):
    folder = write_idx(tmp_path / "d", small)
    (folder / name).unlink()
    assert_refused(folder, folder, f"lacks {name}")


@pytest.mark.parametrize("name", ["mnist.npz", IDX_NAMES[0]])
@pytest.mark.parametrize(
    "make", [os.mkdir, lambda file: os.symlink("nowhere", file), getattr(os, "mkfifo", None)]
)
def test_what_is_no_file_is_refused(small, tmp_path, name, make):
    if make is None:
        pytest.skip("no named pipes here")
    folder = write_idx(tmp_path / "d", small)
    (folder / IDX_NAMES[0]).unlink()
    make(folder / name)
    assert_refused(folder, folder / name, "not a regular file")
    if name == "mnist.npz":
        assert_refused(folder / name, folder / name, "not a regular file")


def test_unreadable_file_is_refused(small, tmp_path, monkeypatch):
    file = write_npz(tmp_path / "d", npz_bytes(small))

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(data, "open", refuse, raising=False)
    assert_refused(file, file, "Permission denied")


def zip_bomb():
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (48, 28, 28)}"
    return zip_bytes({"x_train.npy": npy_with_header(header, bytes(200_000_000))})


def gz_bomb():
    return gzip.compress(idx_bytes(np.zeros((48, 28, 28), np.uint8)) + bytes(200_000_000), 1)


@pytest.mark.parametrize("make", [zip_bomb, gz_bomb])
def test_bomb_is_refused_and_takes_no_memory(small, tmp_path, make):
    name = "mnist.npz" if make is zip_bomb else f"{IDX_NAMES[0]}.gz"
    folder = write_idx(tmp_path / "d", small)
    (folder / IDX_NAMES[0]).unlink()
    (folder / name).write_bytes(make())
    tracemalloc.start()
    try:
        with pytest.raises(DatasetIntegrityError, match=r"x_train is damaged .* 37,633 bytes"):
            data.load_mnist(folder)
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("place", ["env", "cache"])
def test_damaged_file_is_never_passed_over(small, tmp_path, monkeypatch, offline, place):
    write_npz(tmp_path / "keras" / "datasets", npz_bytes(small))
    folder = tmp_path / "env" if place == "env" else tmp_path / "keras" / "datasets"
    file = write_npz(folder, b"damaged")
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path / "env"))
    before = on_disk(tmp_path)
    for load in (data.load_mnist, data.load_dataset, lambda: data.load_dataset("mnist")):
        with pytest.raises(DatasetIntegrityError) as caught:
            load()
        assert str(file) in str(caught.value)
    assert on_disk(tmp_path) == before


# Where there is no MNIST


@pytest.mark.parametrize("place", ["nowhere", "nowhere/mnist.npz", ".", "", "null\0byte"])
def test_path_is_final(small, tmp_path, monkeypatch, place):
    write_npz(tmp_path / "env", npz_bytes(small))
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path / "env"))
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(DatasetUnavailableError) as caught:
        data.load_mnist(place)
    message = str(caught.value)
    assert place in message
    assert "VAE_DATA_DIR:" not in message  # it was not asked
    assert_three_ways_out(message)


@pytest.mark.parametrize("path", [3, True, b"bytes", ["a"], io.BytesIO()])
def test_path_of_a_wrong_type(path):
    with pytest.raises(TypeError, match="path must be a string or a path object; got"):
        data.load_mnist(path)


def assert_three_ways_out(message):
    for way in ("1. put mnist.npz", "load_mnist(path=", "2. set", "VAE_DATA_DIR", "3. use", "load_digits()"):
        assert way in message


def test_error_lists_what_was_tried(tmp_path, monkeypatch, offline, capsys):
    (tmp_path / "env").mkdir()
    monkeypatch.setenv("VAE_DATA_DIR", str(tmp_path / "env"))
    before = on_disk(tmp_path)
    with pytest.raises(DatasetUnavailableError) as caught:
        data.load_mnist()
    lines = str(caught.value).splitlines()
    assert lines[1:4] == [
        f"  - VAE_DATA_DIR: no MNIST at {tmp_path / 'env'}",
        f"  - Keras's cache: no MNIST at {tmp_path / 'keras' / 'datasets' / 'mnist.npz'}",
        "  - download: no route to host",
    ]
    assert_three_ways_out(str(caught.value))
    assert isinstance(caught.value, OSError)
    assert on_disk(tmp_path) == before
    assert capsys.readouterr().out == "Downloading MNIST (11 MB) ...\n"


# Downloading: a server on this machine stands in for the real one


@contextlib.contextmanager
def server(answer):
    """Serve every connection with `answer(connection)`; yields the address and the connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                connections.append(connection)
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection):
        with contextlib.suppress(OSError):
            if answer is not hang:
                connection.recv(65536)
            answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", connections
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        listener.close()
        for connection in connections:
            connection.close()


def hang(connection):
    """Accept, and never answer."""


def send(content, piece=None, pause=0.0, stop_at=None):
    """An answer that sends `content`, in pieces with pauses between, or only up to `stop_at`."""

    def answer(connection):
        head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode())
        for start in range(0, len(content[:stop_at]), piece or len(content)):
            connection.sendall(content[:stop_at][start : start + (piece or len(content))])
            time.sleep(pause)
        if stop_at is None:
            connection.close()

    return answer


@pytest.fixture
def origin(monkeypatch):
    """Point the download at an address, expecting this content."""

    def point(address, content=b""):
        monkeypatch.setattr(data, "_ORIGIN", f"{address}/mnist.npz")
        monkeypatch.setattr(data, "_SHA256", hashlib.sha256(content).hexdigest())

    yield point
    # Downloads that were left behind end now, with the server. Python's own urllib does not close every
    # socket of a failed request: collected here, so that no later test is blamed for it.
    for thread in threading.enumerate():
        if "(run)" in thread.name:
            thread.join(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_download_is_cached_and_prints_one_plain_line(small, tmp_path, origin, capfd):
    content = npz_bytes(small)
    with server(send(content)) as (address, connections):
        origin(address, content)
        assert_same(data.load_mnist(), small)
        assert len(connections) == 2  # a question whether anyone is there, and the download
        assert capfd.readouterr().out == "Downloading MNIST (11 MB) ...\n"
        assert_same(data.load_mnist(), small)
        assert len(connections) == 2
    assert capfd.readouterr().out == ""
    cache = tmp_path / "keras" / "datasets"
    assert list(on_disk(cache).items()) == [(cache / "mnist.npz", content)]
    assert on_disk(tmp_path / "tmp") == {}


def test_download_appears_in_the_cache_whole(small, tmp_path, origin, monkeypatch):
    """It is moved there by os.replace, from the same folder, and only after the check."""
    content = npz_bytes(small)
    target = tmp_path / "keras" / "datasets" / "mnist.npz"
    moves = []
    real = os.replace

    def replace(source, destination):
        moves.append((Path(source).read_bytes(), Path(source).parents[1], Path(destination)))
        assert not target.exists()
        real(source, destination)

    monkeypatch.setattr(data.os, "replace", replace)
    with server(send(content)) as (address, _):
        origin(address, content)
        data.load_mnist()
    assert moves == [(content, target.parent, target)]


def test_cache_that_cannot_be_written_is_done_without(small, tmp_path, origin, monkeypatch):
    (tmp_path / "file").write_bytes(b"no folder")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    content = npz_bytes(small)
    before = on_disk(tmp_path)
    with server(send(content)) as (address, _):
        origin(address, content)
        assert_same(data.load_mnist(), small)
    assert on_disk(tmp_path) == before


def test_nothing_is_written_over(tmp_path):
    new, target = tmp_path / "new.npz", tmp_path / "cache" / "mnist.npz"
    new.write_bytes(b"new")
    target.parent.mkdir()
    target.symlink_to("nowhere")
    data._keep(str(new), str(target))
    assert target.is_symlink()
    target.unlink()
    target.write_bytes(b"old")
    data._keep(str(new), str(target))
    assert on_disk(target.parent) == {target: b"old"}


def test_slow_download_goes_on(small, origin, monkeypatch):
    content = npz_bytes(small)
    monkeypatch.setattr(data, "_STALL_SECONDS", 0.6)
    started = time.monotonic()
    with server(send(content, piece=8192, pause=0.3)) as (address, _):
        origin(address, content)
        assert_same(data.load_mnist(), small)
    assert time.monotonic() - started > 1.2


def half(content):
    return send(content, stop_at=len(content) // 2)


@pytest.mark.parametrize("answer", [lambda content: hang, half], ids=["no answer", "stall"])
def test_stalled_download_gives_up(small, tmp_path, origin, monkeypatch, capfd, answer):
    monkeypatch.setattr(data, "_STALL_SECONDS", 0.5)
    content = npz_bytes(small)
    before = on_disk(tmp_path)
    with server(answer(content)) as (address, connections):
        origin(address, content)
        started = time.monotonic()
        with pytest.raises(DatasetUnavailableError, match=r"nothing came from .* for 0\.5 seconds"):
            data.load_mnist()
        assert 0.5 < time.monotonic() - started < 3
        for connection in connections:  # the rest comes after all, when nobody waits for it
            with contextlib.suppress(OSError):
                connection.sendall(content[len(content) // 2 :])
        time.sleep(0.3)
    assert on_disk(tmp_path) == before
    assert capfd.readouterr() == ("Downloading MNIST (11 MB) ...\n", "")


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (send(b"<html>please log in</html>"), "hash"),
        (
            lambda connection: connection.sendall(b"HTTP/1.0 404 Not Found\r\n\r\n") or connection.close(),
            "404",
        ),
        (lambda connection: connection.close(), "download: "),
        (lambda connection: connection.sendall(b"rubbish\r\n\r\n") or connection.close(), "download: "),
    ],
    ids=["login page", "404", "closed", "no HTTP"],
)
def test_wrong_answers_are_reported(tmp_path, origin, answer, match):
    before = on_disk(tmp_path)
    with server(answer) as (address, _):
        origin(address)
        with pytest.raises(DatasetUnavailableError, match=match):
            data.load_mnist()
    assert on_disk(tmp_path) == before


def test_refused_connection_fails_at_once(tmp_path, origin):
    before = on_disk(tmp_path)
    origin("http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(DatasetUnavailableError, match="refused"):
        data.load_mnist()
    assert time.monotonic() - started < 3
    assert on_disk(tmp_path) == before


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_is_heard_and_leaves_nothing(small, tmp_path, origin):
    import keras  # noqa: F401  # whose first import writes its settings

    before = on_disk(tmp_path)
    content = npz_bytes(small)
    with server(half(content)) as (address, _):
        origin(address, content)
        # A shell has what it runs in the background ignore the signal.
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        started = time.monotonic()
        try:
            with pytest.raises(KeyboardInterrupt):
                data.load_mnist()
        finally:
            timer.cancel()
            signal.signal(signal.SIGINT, handler)
        assert time.monotonic() - started < 3
    assert on_disk(tmp_path) == before


# In a process of its own


def python(code, home, **environment):
    """Run `code` with an empty home; returns the finished process and its seconds."""
    home.mkdir(exist_ok=True)
    keep = {key: os.environ[key] for key in ("PATH", "SYSTEMROOT") if key in os.environ}
    root = str(Path(data.__file__).parents[2])
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**keep, "HOME": str(home), "USERPROFILE": str(home), "PYTHONPATH": root, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done, time.monotonic() - started


def test_proxy_that_never_answers(tmp_path):
    """The whole call in a fresh process; Keras and its backend are not even imported."""
    with server(hang) as (address, connections):
        proxies = {name: address for proxy in PROXIES[:2] for name in (proxy, proxy.upper())}
        done, seconds = python("import vae; vae.load_mnist()", tmp_path / "home", **proxies)
    assert done.returncode == 1
    assert len(connections) == 1
    assert seconds < 12
    assert done.stdout == "Downloading MNIST (11 MB) ...\n"
    assert "DatasetUnavailableError: MNIST could not be had:" in done.stderr
    assert_three_ways_out(done.stderr)
    assert on_disk(tmp_path / "home") == {}


@pytest.mark.slow
def test_auto_behind_a_refusing_proxy(tmp_path):
    proxies = {name: "http://127.0.0.1:9" for name in ("https_proxy", "HTTPS_PROXY")}
    code = "import vae; print(vae.load_dataset())"
    done, seconds = python(code, tmp_path / "home", **proxies)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert seconds < 12
    assert lines[0] == "Downloading MNIST (11 MB) ..."
    assert lines[1].startswith(f"{lines[2]}; from scikit-learn, because MNIST could not be had (")
    assert "refused" in lines[1]
    assert lines[2].startswith("Dataset 'digits'")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_killed_download_leaves_no_half_file(tmp_path):
    with server(send(bytes(10**6), stop_at=500_000)) as (address, connections):
        script = f"import vae.data as data; data._ORIGIN = '{address}/mnist.npz'; data.load_mnist()"
        environment = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")}
        environment["PYTHONPATH"] = str(Path(data.__file__).parents[2])
        process = subprocess.Popen([sys.executable, "-c", script], env=environment)
        deadline = time.monotonic() + 30
        while len(connections) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        process.kill()
        process.wait()
    assert len(connections) == 2
    assert not list(tmp_path.glob("keras/**/mnist.npz"))


@needs_mnist
def test_reading_loads_no_keras(tmp_path):
    code = """
import sys, vae
print(vae.load_dataset("mnist"))
print(sorted({"keras", "tensorflow", "jax", "torch", "sklearn", "matplotlib"} & set(sys.modules)))
"""
    done, _ = python(code, tmp_path / "home", VAE_DATA_DIR=MNIST_DIR)
    assert done.stdout.splitlines()[1:] == [
        "Dataset 'mnist': 60,000 training and 10,000 test images of 28 x 28",
        "[]",
    ], done.stderr
    assert on_disk(tmp_path / "home") == {}


# MNIST itself


@pytest.fixture(scope="module")
def mnist():
    return data.load_mnist(MNIST_DIR)


@needs_mnist
def test_mnist_is_the_published_set(mnist):
    assert mnist.x_train.shape == (60000, 28, 28)
    assert mnist.x_test.shape == (10000, 28, 28)
    assert mnist.y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    sums = {key: hashlib.md5(idx_bytes(getattr(mnist, key))).hexdigest() for key in KEYS}
    assert sums == {
        "x_train": "6bbc9ace898e44ae57da46a324031adb",
        "y_train": "a25bea736e30d166cdddb491f175f624",
        "x_test": "2646ac647ad5339dbf082846283269ea",
        "y_test": "27ae3e4e09519cfbb04c329615203637",
    }


@needs_mnist
def test_mnist_from_idx_files(mnist, tmp_path):
    arrays = {key: getattr(mnist, key) for key in KEYS}
    assert_same(data.load_mnist(write_idx(tmp_path / "d", arrays)), arrays)


@needs_mnist
def test_one_changed_pixel_of_mnist_is_found(mnist, tmp_path):
    arrays = {key: getattr(mnist, key).copy() for key in KEYS}
    arrays["x_train"][30000, 14, 14] ^= 1
    file = write_npz(tmp_path / "d", npz_bytes(arrays, np.savez))
    assert_refused(file, file, "x_train is damaged or of another data set")


@needs_mnist
def test_load_dataset_says_where_mnist_came_from(monkeypatch, capsys):
    monkeypatch.setenv("VAE_DATA_DIR", MNIST_DIR)
    for name in ("auto", "mnist"):
        dataset = data.load_dataset(name)
        assert capsys.readouterr().out == f"{dataset}; from VAE_DATA_DIR.\n"


# The embedded digits


@pytest.fixture(scope="module")
def digits():
    return data.load_digits()


def test_digits_have_the_form_of_mnist(digits):
    assert digits.x_train.shape == (1437, 28, 28)
    assert digits.x_test.shape == (360, 28, 28)
    assert digits.y_train.shape == (1437,)
    assert digits.y_test.shape == (360,)
    for key in KEYS:
        array = getattr(digits, key)
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
        assert array.flags.writeable
    assert repr(digits) == "Dataset 'digits': 1,437 training and 360 test images of 28 x 28"


def test_digits_look_like_mnist(digits):
    """White on black, an empty margin of 4, and smooth: grey stands between black and white."""
    x = digits.x_train
    inside = np.zeros((28, 28), bool)
    inside[4:24, 4:24] = True
    assert x[:, ~inside].max() == 0
    assert x.max() == 255
    assert 0.15 < (x > 0).mean() < 0.25  # MNIST: 0.19
    assert 30 < x.mean() < 45  # MNIST: 33
    levels = [np.mean((x[:, inside] >= low) & (x[:, inside] < high)) for low, high in ((0, 32), (224, 256))]
    assert min(levels) > 0.15
    assert 1 - sum(levels) > 0.1


def test_digits_are_those_of_scikit_learn(digits):
    """Averaged back to 8 x 8, each image is most like the one it was made from."""
    from sklearn import datasets

    source = datasets.load_digits()
    labels = np.concatenate([digits.y_train, digits.y_test])
    np.testing.assert_array_equal(np.bincount(labels), np.bincount(source.target))
    train = np.flatnonzero(~np.isin(np.arange(1797), np.argsort(source.target, kind="stable")[1::5]))
    np.testing.assert_array_equal(digits.y_train, source.target[train])  # the original order
    blurred = digits.x_train[:, 4:24, 4:24].repeat(2, 1).repeat(2, 2).reshape(-1, 8, 5, 8, 5).mean((2, 4))
    a, b = blurred.reshape(len(train), -1), source.images[train].reshape(len(train), -1)
    correlation = [np.corrcoef(one, other)[0, 1] for one, other in zip(a, b, strict=True)]
    assert min(correlation) > 0.9


def test_digits_are_split_evenly_and_always_alike(digits):
    train, test = np.bincount(digits.y_train), np.bincount(digits.y_test)
    assert len(train) == len(test) == 10
    shares = test / (train + test)
    assert shares.min() > 0.19
    assert shares.max() < 0.21
    assert len(set(digits.y_train[:10])) >= 8
    everything = np.concatenate([digits.x_train, digits.x_test]).reshape(1797, -1)
    assert len(np.unique(everything, axis=0)) == 1797  # nothing stands in both parts
    again = data.load_digits()
    for key in KEYS:
        np.testing.assert_array_equal(getattr(again, key), getattr(digits, key))


# load_dataset, Dataset, flatten


def test_load_dataset_digits(capsys):
    dataset = data.load_dataset("digits")
    assert dataset.name == "digits"
    assert capsys.readouterr().out == f"{dataset}; from scikit-learn, as asked.\n"


def test_load_dataset_auto_gives_mnist_where_it_is(small, tmp_path, monkeypatch, capsys):
    write_npz(tmp_path / "keras" / "datasets", npz_bytes(small))
    assert_same(data.load_dataset(), small)
    line = "Dataset 'mnist': 48 training and 12 test images of 28 x 28; from Keras's cache.\n"
    assert capsys.readouterr().out == line


def test_load_dataset_auto_gives_digits_otherwise_and_says_why(offline, capsys):
    assert data.load_dataset("auto").name == "digits"
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Downloading MNIST (11 MB) ..."
    assert second.startswith("Dataset 'digits': 1,437 training and 360 test images of 28 x 28; from")
    assert "because MNIST could not be had (VAE_DATA_DIR: not set; Keras's cache: no MNIST at" in second
    assert second.endswith("download: no route to host).")


def test_load_dataset_mnist_does_not_fall_back(offline):
    with pytest.raises(DatasetUnavailableError, match="no route to host"):
        data.load_dataset("mnist")


@pytest.mark.parametrize("name", ["MNIST", "fashion", "", None, 3])
def test_load_dataset_unknown_name(name):
    with pytest.raises(ValueError, match="name must be 'auto' or 'mnist' or 'digits'; got"):
        data.load_dataset(name)


def test_dataset_is_frozen_and_compares_by_identity(digits):
    with pytest.raises(AttributeError):
        digits.name = "mnist"
    assert digits == digits
    assert digits != data.Dataset(digits.x_train, digits.y_train, digits.x_test, digits.y_test, "digits")


def test_flatten_scales_uint8():
    images = np.arange(256, dtype=np.uint8).repeat(4).reshape(64, 4, 4)
    before = images.copy()
    rows = data.flatten(images)
    assert rows.shape == (64, 16)
    assert rows.dtype == np.float32
    assert rows.min() == 0
    assert rows.max() == 1
    np.testing.assert_array_equal(rows, before.reshape(64, 16) / np.float32(255))
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("shape", [(5, 12), (5, 3, 4), (5, 2, 2, 3)])
def test_flatten_takes_floats_of_every_shape(dtype, shape):
    images = np.linspace(0, 1, 60).reshape(shape).astype(dtype)
    rows = data.flatten(images)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, images.reshape(5, 12), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 4)])
def test_flatten_gives_a_new_contiguous_array(dtype, shape):
    images = np.asfortranarray(np.ones(shape, dtype))
    for given in (images, images[::2], images[..., ::-1], np.ascontiguousarray(images)):
        given.setflags(write=False)
        rows = data.flatten(given)
        assert rows.flags.c_contiguous
        assert rows.flags.writeable
        assert not np.shares_memory(rows, given)


@pytest.mark.parametrize(
    ("images", "error"),
    [
        (np.full((2, 4), 255.0), ValueError),
        (np.full((2, 4), np.nan), ValueError),
        (np.zeros((2, 4), int), TypeError),
        (np.zeros(4), ValueError),
        (np.zeros((0, 4)), ValueError),
        ("images", ValueError),
    ],
)
def test_flatten_names_its_argument(images, error):
    with pytest.raises(error, match="images must"):
        data.flatten(images)


@pytest.mark.parametrize("function", ["load_mnist", "load_digits", "load_dataset", "flatten"])
def test_docstring_examples_run(function, monkeypatch):
    if function == "load_mnist":
        if not MNIST_DIR:
            pytest.skip("MNIST itself: set VAE_DATA_DIR to its folder")
        monkeypatch.setenv("VAE_DATA_DIR", MNIST_DIR)
    (test,) = doctest.DocTestFinder().find(getattr(data, function), function, globs={})
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0
