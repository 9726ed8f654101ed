"""MNIST, found on this machine or downloaded, and held byte for byte against its published MD5 sums.

Files are read as if a stranger had made them: nothing is unpickled, no more is unpacked than MNIST
holds. NumPy alone reads them; Keras loads only for a download.
"""

import contextlib
import gzip
import hashlib
import io
import math
import os
import struct
import tempfile
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vae._checks import check_path
from vae._terminal import say
from vae.data import Dataset
from vae.files.atomic import write_whole


class DatasetUnavailableError(OSError):
    """MNIST is neither on this machine nor to be downloaded; the text names three ways out.

    `tried` holds, for each place and for the download, why MNIST was not to be had from there.
    """

    tried: tuple[str, ...] = ()


class DatasetIntegrityError(ValueError):
    """A file was found that is not MNIST as published; the text names it and what is wrong."""


class _Published(NamedTuple):
    """What is published about one of MNIST's four arrays."""

    idx_name: str
    shape: tuple[int, ...]
    md5: str  # of the uncompressed IDX file

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def idx_header(self) -> bytes:  # magic number (8 for uint8, then the dimensions' number), dimensions
        return struct.pack(f">{1 + len(self.shape)}I", 0x800 + len(self.shape), *self.shape)


_MNIST = {
    "x_train": _Published("train-images-idx3-ubyte", (60000, 28, 28), "6bbc9ace898e44ae57da46a324031adb"),
    "y_train": _Published("train-labels-idx1-ubyte", (60000,), "a25bea736e30d166cdddb491f175f624"),
    "x_test": _Published("t10k-images-idx3-ubyte", (10000, 28, 28), "2646ac647ad5339dbf082846283269ea"),
    "y_test": _Published("t10k-labels-idx1-ubyte", (10000,), "27ae3e4e09519cfbb04c329615203637"),
}
_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_OVERHEAD = 2**20  # bytes that a file may have beyond the arrays in it
_STALL_SECONDS = 6.0  # a resolver takes 5 to give up a dead name server and ask the next
_WAYS_OUT = """Three ways out:
  1. put mnist.npz (or the four IDX files) into a folder and pass it: load_mnist(path="that/folder")
  2. set the environment variable VAE_DATA_DIR to that folder
  3. use the digits embedded in scikit-learn: load_digits() or load_dataset("digits")"""


def load_mnist(path: str | os.PathLike[str] | None = None) -> Dataset:
    """Load MNIST: 60,000 training and 10,000 test images of handwritten digits, 28 x 28.

    Looks at `path`, in the folder that the environment variable `VAE_DATA_DIR` names, and in
    Keras's cache, and last downloads the set (11 MB) through Keras into that cache. The content
    is checked against the published MD5 sums; no file that is there already is ever changed.

    Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits", CC BY-SA 3.0.

    Args:
        path: `mnist.npz`, or a folder that holds it or the four IDX files, plain or `.gz`.
            Where given, it is final: nothing else is tried.

    Returns:
        A `Dataset` named "mnist".

    Raises:
        DatasetUnavailableError: MNIST was not found and could not be downloaded.
        DatasetIntegrityError: A file was found that is damaged or another data set.
        TypeError: `path` is neither a string nor a path object.

    Example:
        >>> import vae
        >>> vae.load_mnist()
        Dataset 'mnist': 60,000 training and 10,000 test images of 28 x 28
    """
    return find_mnist(path)[0]


# Finding


def find_mnist(path: str | os.PathLike[str] | None = None) -> tuple[Dataset, str]:
    """Return what `load_mnist` returns, and where it came from, in words."""
    if path is None:
        places = {"VAE_DATA_DIR": os.environ.get("VAE_DATA_DIR", ""), "Keras's cache": _keras_cache()}
    else:
        with contextlib.suppress(ValueError):  # a name that no file can have is one more not found
            check_path("path", path)
        places = {"path": os.fspath(path)}
    tried = []
    for label, place in places.items():
        mnist = _read_place(os.path.expanduser(place))
        if mnist is not None:
            return mnist, label
        tried.append(f"{label}: no MNIST at {place}" if place else f"{label}: not set")
    if path is None:
        try:
            return _download(), "a download"
        except OSError as error:
            tried.append(f"download: {textwrap.shorten(str(error), 300)}")
    reasons = "\n  - ".join(["MNIST could not be had:", *tried])
    unavailable = DatasetUnavailableError(f"{reasons}\n{_WAYS_OUT}")
    unavailable.tried = tuple(tried)
    raise unavailable


def _keras_cache() -> str:
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    return os.path.expanduser(os.path.join(home, "datasets", "mnist.npz"))


def _read_place(place: str) -> Dataset | None:
    """Read MNIST from a file or a folder; None where there is none."""
    is_folder = os.path.isdir(place) and os.path.basename(place) != "mnist.npz"
    file = os.path.join(place, "mnist.npz") if is_folder else place
    if os.path.lexists(file):
        return _read_npz(file)
    return _read_idx_folder(place) if is_folder else None


# Downloading


def _download() -> Dataset:
    """Download MNIST and keep it in Keras's cache; an OSError says why that failed."""
    say("Downloading MNIST (11 MB) ...")
    with tempfile.TemporaryDirectory(prefix="vae-", ignore_cleanup_errors=True) as folder:
        file = os.path.join(folder, "mnist.npz")
        _fetch(file)
        mnist = _read_npz(file)
        _keep(file, _keras_cache())
    return mnist


def _keep(file: str, target: str) -> None:
    """Copy `file` to `target`, whole or not at all, and never over what is there already."""
    if not os.path.lexists(target):
        with contextlib.suppress(OSError):  # where the cache cannot be written, do without it
            write_whole(Path(target), Path(file).read_bytes())


def _fetch(file: str) -> None:
    """Let Keras download MNIST to `file`; an OSError says why that failed."""
    from urllib.request import urlopen

    # Asked first, because offline it would be a pity to wait for the import of Keras, too.
    _watch(lambda: urlopen(_ORIGIN, timeout=2 * _STALL_SECONDS).close(), file)
    from vae._keras import keras

    def get_file() -> None:
        keras.config.disable_interactive_logging()  # for this thread: no progress bar
        folder, name = os.path.split(file)
        keras.utils.get_file(name, _ORIGIN, file_hash=_SHA256, cache_dir=folder, cache_subdir="")

    _watch(get_file, file)


def _watch(work: Callable[[], None], file: str) -> None:
    """Run `work`; an OSError says why it failed, or that `file` has not grown for a while."""
    # Where a proxy or a name server never answers, `work` may wait forever and cannot be told not to. So it
    # runs in a thread of its own, which is left behind when nothing moves any more.
    errors: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    size, since = 0, time.monotonic()
    while worker.is_alive():
        worker.join(0.1)  # short, so that Ctrl-C is heard
        with contextlib.suppress(FileNotFoundError):  # before the first byte, and after a failure
            if os.path.getsize(file) != size:
                size, since = os.path.getsize(file), time.monotonic()
        if time.monotonic() - since > _STALL_SECONDS:
            raise TimeoutError(f"nothing came from {_ORIGIN} for {_STALL_SECONDS:g} seconds")
    if errors:
        raise OSError(str(errors[0])) from errors[0]


# Reading


@contextlib.contextmanager
def _content(file: str, limit: int) -> Iterator[bytes]:
    """Yield what is in a file; what reading it raises becomes an error that names it."""
    try:
        if not os.path.isfile(file):  # a folder, a broken link, or a pipe, whose end might never come
            raise ValueError("not a regular file")
        with open(file, "rb") as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise ValueError(f"more than {limit:,} bytes")
        yield data
    except Exception as error:  # of zipfile, zlib, NumPy or the checks here
        fault = textwrap.shorten(str(error) or type(error).__name__, 300)
        raise DatasetIntegrityError(
            f"{file} cannot be used as MNIST: {fault}. It was left as it is; put a sound copy in its place."
        ) from error


def _read_npz(file: str) -> Dataset:
    with _content(file, sum(array.size for array in _MNIST.values()) + _OVERHEAD) as data:
        if data.count(b"PK\x01\x02") > 100:  # zipfile takes 500 bytes of memory for every entry
            raise ValueError("too many entries")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            arrays = {key: _read_member(archive, key) for key in _MNIST}
    return Dataset(**arrays, name="mnist", class_names=())


def _read_member(archive: zipfile.ZipFile, key: str) -> np.ndarray:
    """Read one array as far as MNIST goes; `np.load` would unpack and allocate whatever the file says."""
    published, member = _MNIST[key], archive.getinfo(f"{key}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{key} is compressed as NumPy never does")  # LZMA could ask for 4 GB
    with archive.open(member) as stream:
        np.lib.format.read_magic(stream)
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
        if shape != published.shape or dtype != np.uint8 or fortran_order:
            got = f"{dtype} of shape {shape}{' in Fortran order' if fortran_order else ''}"
            raise ValueError(f"{key} must be uint8 of shape {published.shape}; got {got}")
        return _from_idx(key, published.idx_header + stream.read(published.size + 1))


def _read_idx_folder(folder: str) -> Dataset | None:
    files = {}
    for key, (name, _, _) in _MNIST.items():
        spellings = [stem + suffix for stem in (name, name.replace("-idx", ".idx")) for suffix in ("", ".gz")]
        paths = [os.path.join(folder, spelling) for spelling in spellings]
        files[key] = next(filter(os.path.lexists, paths), "")
    missing = [_MNIST[key].idx_name for key, file in files.items() if not file]
    if len(missing) == len(files):
        return None
    if missing:
        raise DatasetIntegrityError(f"{folder} holds a part of MNIST only; it lacks {', '.join(missing)}.")
    arrays = {key: _read_idx(file, key) for key, file in files.items()}
    return Dataset(**arrays, name="mnist", class_names=())


def _read_idx(file: str, key: str) -> np.ndarray:
    length = len(_MNIST[key].idx_header) + _MNIST[key].size
    with _content(file, length + _OVERHEAD) as data:
        if data.startswith(b"\x1f\x8b"):  # gzip, whatever the name: browsers unpack files and keep ".gz"
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                data = stream.read(length + 1)
        return _from_idx(key, data)


def _from_idx(key: str, data: bytes) -> np.ndarray:
    """Return one array from the bytes of its IDX file, if they are the published ones."""
    published, header = _MNIST[key], _MNIST[key].idx_header
    if not data.startswith(header):
        raise ValueError(f"not an IDX file of uint8 of shape {published.shape}")
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if md5 != published.md5:
        raise ValueError(
            f"{key} is damaged or of another data set: {len(data) - len(header):,} bytes with MD5 {md5}, "
            f"published {published.size:,} with {published.md5}"
        )
    array = np.frombuffer(data, np.uint8, offset=len(header)).reshape(published.shape)
    return array.copy()  # the bytes themselves are read-only
