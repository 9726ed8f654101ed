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
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vae._checks import check_path
from vae.data import Dataset
from vae.data.download import download
from vae.files.atomic import write_whole


class DatasetUnavailableError(OSError):
    """MNIST is neither on this machine nor to be downloaded; the text names three ways out.

    Attributes:
        tried: For each place, and for the download, why MNIST was not to be had from there.
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
    mnist, _ = find_mnist(path)
    return mnist


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
    unavailable = DatasetUnavailableError(
        "\n  - ".join(["MNIST could not be had:", *tried]) + f"\n{_WAYS_OUT}"
    )
    unavailable.tried = tuple(tried)
    raise unavailable


def _keras_cache() -> str:
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    return os.path.expanduser(os.path.join(home, "datasets", "mnist.npz"))


def _read_place(place: str) -> Dataset | None:
    """Read MNIST from a file or a folder; None where there is none."""
    if os.path.isdir(place) and os.path.basename(place) != "mnist.npz":
        file = os.path.join(place, "mnist.npz")
        return _read_npz(file) if os.path.lexists(file) else _read_idx_folder(place)
    return _read_npz(place) if os.path.lexists(place) else None


def _download() -> Dataset:
    """Download MNIST and keep it in Keras's cache; an OSError says why that failed."""
    print("Downloading MNIST (11 MB) ...", flush=True)
    with tempfile.TemporaryDirectory(prefix="vae-", ignore_cleanup_errors=True) as folder:
        file = os.path.join(folder, "mnist.npz")
        download(_ORIGIN, _SHA256, file)
        mnist = _read_npz(file)
        _keep(file, _keras_cache())
    return mnist


def _keep(file: str, target: str) -> None:
    """Copy `file` to `target`, whole or not at all, and never over what is there already."""
    if os.path.lexists(target):
        return
    with contextlib.suppress(OSError):  # where the cache cannot be written, do without it
        write_whole(Path(target), Path(file).read_bytes())


# Reading


@contextlib.contextmanager
def _naming_file(file: str) -> Iterator[None]:
    """Turn what zipfile, zlib, NumPy or the checks here raise into an error that names `file`."""
    try:
        yield
    except Exception as error:
        fault = textwrap.shorten(str(error) or type(error).__name__, 300)
        raise DatasetIntegrityError(
            f"{file} cannot be used as MNIST: {fault}. It was left as it is; put a sound copy in its place."
        ) from error


def _read_file(file: str, limit: int) -> bytes:
    if not os.path.isfile(file):  # a folder, a broken link, or a pipe, whose end might never come
        raise ValueError("not a regular file")
    with open(file, "rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"more than {limit:,} bytes")
    return data


def _read_npz(file: str) -> Dataset:
    with _naming_file(file):
        data = _read_file(file, sum(array.size for array in _MNIST.values()) + _OVERHEAD)
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
    with _naming_file(file):
        data = _read_file(file, length + _OVERHEAD)
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
