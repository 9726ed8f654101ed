"""The images that the lesson learns from: MNIST, and the digits embedded in scikit-learn.

What is called MNIST here has the published content byte for byte: every array is held against
its published MD5 sum. Files are read with NumPy alone (Keras loads only for a download), and as
if a stranger had made them: nothing is unpickled, no more is unpacked than MNIST holds.
"""

import contextlib
import gzip
import hashlib
import io
import math
import os
import shutil
import struct
import tempfile
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vae._checks import check_choice, check_images, check_path


class DatasetUnavailableError(OSError):
    """MNIST is neither on this machine nor to be downloaded; the text names three ways out."""


class DatasetIntegrityError(ValueError):
    """A file was found that is not MNIST as published; the text names it and what is wrong."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels, split into a training and a test part.

    Attributes:
        x_train: Images to learn from, uint8, shape (n, height, width), 0 black to 255 white.
        y_train: Their labels, uint8, shape (n,).
        x_test: Images kept apart, like `x_train`.
        y_test: Their labels, like `y_train`.
        name: "mnist", "digits", or the name of the folder that the images came from.
        class_names: The name of each label, in order; empty where labels have none, as digits.

    Example:
        >>> import vae
        >>> digits = vae.load_digits()
        >>> digits.x_test.shape, digits.y_test.shape
        ((360, 28, 28), (360,))
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    name: str
    class_names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Name, numbers of images and their size; the arrays themselves would fill pages."""
        parts = f"{len(self.x_train):,} training and {len(self.x_test):,} test images"
        return f"Dataset {self.name!r}: {parts} of {' x '.join(map(str, self.x_train.shape[1:]))}"


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
_STALL_SECONDS = 6.0  # a resolver takes 5 to give up a dead name server and ask the next
_OVERHEAD = 2**20  # bytes that a file may have beyond the arrays in it
_NAMES = ("auto", "mnist", "digits")
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
    dataset, report = _find_mnist(path)
    if dataset is None:
        raise _unavailable(report)
    return dataset


def load_digits() -> Dataset:
    """Load the 1,797 handwritten digits that ship inside scikit-learn, made to look like MNIST.

    The 8 x 8 images are enlarged to 20 x 20, sharpened, and set in the middle of 28 x 28, as
    MNIST's are. A fifth of each digit is for testing; both parts keep the original order.

    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998, CC BY 4.0.

    Returns:
        A `Dataset` named "digits", the same at every call.

    Example:
        >>> import vae
        >>> vae.load_digits()
        Dataset 'digits': 1,437 training and 360 test images of 28 x 28
    """
    from scipy import ndimage
    from sklearn import datasets

    source = datasets.load_digits()
    zoom = (1, 2.5, 2.5)  # (1797, 8, 8) -> (1797, 20, 20)
    images = ndimage.zoom(source.images / 16, zoom, order=3, mode="grid-constant", grid_mode=True)
    images = unscale(2 * images - 0.5)  # twice the contrast: without it the strokes are blurred
    images = np.pad(images, ((0, 0), (4, 4), (4, 4)))
    labels = source.target.astype(np.uint8)
    test = np.zeros(len(labels), dtype=bool)
    test[np.argsort(labels, kind="stable")[1::5]] = True  # in order of the digits, every fifth
    return Dataset(images[~test], labels[~test], images[test], labels[test], "digits")


def load_dataset(name: str = "auto") -> Dataset:
    """Load a data set by name, and print one line that says which one came, from where and why.

    Args:
        name: "mnist", "digits", or "auto": MNIST where it can be had, else the embedded digits.

    Returns:
        A `Dataset`; its `name` is "mnist" or "digits".

    Raises:
        DatasetUnavailableError: "mnist" was asked for and cannot be had.
        DatasetIntegrityError: A damaged MNIST was found, also under "auto".
        ValueError: `name` is none of the three.

    Example:
        >>> import vae
        >>> digits = vae.load_dataset("digits")
        Dataset 'digits': 1,437 training and 360 test images of 28 x 28; from scikit-learn, as asked.
    """
    name = check_choice("name", name, _NAMES)
    why = "as asked"
    if name != "digits":
        mnist, report = _find_mnist(None)
        if mnist is not None:
            print(f"{mnist}; from {report[-1]}.")
            return mnist
        if name == "mnist":
            raise _unavailable(report)
        why = f"because MNIST could not be had ({'; '.join(report)})"
    digits = load_digits()
    print(f"{digits}; from scikit-learn, {why}.")
    return digits


def flatten(images: Any) -> np.ndarray:
    """Turn images into rows of pixels in [0, 1], as the dense encoder takes them.

    Args:
        images: Shape (n, pixels), (n, height, width) or (n, height, width, channels); uint8, or
            floats in [0, 1].

    Returns:
        A new array of shape (n, pixels), float32; uint8 is divided by 255.

    Raises:
        ValueError: Another shape, no images, or floats outside [0, 1].
        TypeError: Neither uint8 nor floats.

    Example:
        >>> import vae
        >>> vae.flatten(vae.load_digits().x_train).shape
        (1437, 784)
    """
    array = check_images("images", images)
    return scale(array.reshape(len(array), -1))


def scale(images: np.ndarray) -> np.ndarray:
    """Return checked images as a new float32 array: uint8 is divided by 255, floats stay as they are."""
    if images.dtype == np.uint8:
        return np.divide(images, 255, dtype=np.float32, order="C")
    return np.array(images, dtype=np.float32, order="C")


def unscale(images: np.ndarray) -> np.ndarray:
    """Return images as uint8, the inverse of `scale`; what oversteps [0, 1] is clipped."""
    return np.rint(255 * np.clip(images, 0, 1)).astype(np.uint8)


def _find_mnist(path: Any) -> tuple[Dataset | None, list[str]]:
    """Return MNIST or None, and a report: what was tried in vain, then where MNIST came from."""
    if path is None:
        places = {"VAE_DATA_DIR": os.environ.get("VAE_DATA_DIR", ""), "Keras's cache": _keras_cache()}
    else:
        try:
            places = {"path": check_path("path", path)}
        except ValueError:  # no file has such a name
            return None, [f"path: no MNIST at {os.fspath(path)}"]
    report: list[str] = []
    for label, place in places.items():
        arrays = _read_place(os.path.expanduser(place))
        if arrays is not None:
            return Dataset(**arrays, name="mnist", class_names=()), [*report, label]
        report.append(f"{label}: no MNIST at {place}" if place else f"{label}: not set")
    if path is None:
        try:
            return Dataset(**_download(), name="mnist", class_names=()), [*report, "a download"]
        except OSError as error:
            report.append(f"download: {textwrap.shorten(str(error), 300)}")
    return None, report


def _keras_cache() -> str:
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    return os.path.expanduser(os.path.join(home, "datasets", "mnist.npz"))


def _unavailable(report: list[str]) -> DatasetUnavailableError:
    return DatasetUnavailableError("\n  - ".join(["MNIST could not be had:", *report]) + f"\n{_WAYS_OUT}")


@contextlib.contextmanager
def _blaming(file: str) -> Iterator[None]:
    """Turn what zipfile, zlib, NumPy or the checks here raise into an error that names `file`."""
    try:
        yield
    except Exception as error:
        fault = textwrap.shorten(str(error) or type(error).__name__, 300)
        raise DatasetIntegrityError(
            f"{file} cannot be used as MNIST: {fault}. It was left as it is; put a sound copy in its place."
        ) from error


def _read_place(place: str) -> dict[str, np.ndarray] | None:
    """Read MNIST from a file or a folder; None where there is none."""
    if os.path.isdir(place) and os.path.basename(place) != "mnist.npz":
        file = os.path.join(place, "mnist.npz")
        return _read_npz(file) if os.path.lexists(file) else _read_idx_folder(place)
    return _read_npz(place) if os.path.lexists(place) else None


def _read_file(file: str, limit: int) -> bytes:
    if not os.path.isfile(file):  # a folder, a broken link, or a pipe, whose end might never come
        raise ValueError("not a regular file")
    with open(file, "rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"more than {limit:,} bytes")
    return data


def _read_npz(file: str) -> dict[str, np.ndarray]:
    with _blaming(file):
        data = _read_file(file, sum(array.size for array in _MNIST.values()) + _OVERHEAD)
        if data.count(b"PK\x01\x02") > 100:  # zipfile takes 500 bytes of memory for every entry
            raise ValueError("too many entries")
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {key: _read_member(archive, key) for key in _MNIST}


def _read_member(archive: zipfile.ZipFile, key: str) -> np.ndarray:
    """Read one array; its header is judged before its content is unpacked."""
    member = archive.getinfo(f"{key}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{key} is compressed as NumPy never does")  # LZMA could ask for 4 GB
    with archive.open(member) as stream:
        np.lib.format.read_magic(stream)
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
        if shape != _MNIST[key].shape or dtype != np.uint8 or fortran_order:
            got = f"{dtype} of shape {shape}{' in Fortran order' if fortran_order else ''}"
            raise ValueError(f"{key} must be uint8 of shape {_MNIST[key].shape}; got {got}")
        return _checked(key, stream.read(_MNIST[key].size + 1))


def _read_idx_folder(folder: str) -> dict[str, np.ndarray] | None:
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
    return {key: _read_idx(file, key) for key, file in files.items()}


def _read_idx(file: str, key: str) -> np.ndarray:
    header, size = _MNIST[key].idx_header, _MNIST[key].size
    with _blaming(file):
        data = _read_file(file, size + _OVERHEAD)
        if data.startswith(b"\x1f\x8b"):  # gzip, whatever the name: browsers unpack files and keep ".gz"
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                data = stream.read(len(header) + size + 1)
        if not data.startswith(header):
            raise ValueError(f"not an IDX file of uint8 of shape {_MNIST[key].shape}")
        return _checked(key, data[len(header) :])


def _checked(key: str, content: bytes) -> np.ndarray:
    """Return one array from its bytes, if they are the published ones."""
    published = _MNIST[key]
    md5 = hashlib.md5(published.idx_header, usedforsecurity=False)
    md5.update(content)
    if len(content) != published.size or md5.hexdigest() != published.md5:
        raise ValueError(
            f"{key} is damaged or of another data set: {len(content):,} bytes with MD5 {md5.hexdigest()}, "
            f"published {published.size:,} with {published.md5}"
        )
    return np.frombuffer(bytearray(content), np.uint8).reshape(published.shape)  # bytes were read-only


def _download() -> dict[str, np.ndarray]:
    """Download MNIST and keep it in Keras's cache; an OSError says why that failed."""
    print("Downloading MNIST (11 MB) ...", flush=True)
    with tempfile.TemporaryDirectory(prefix="vae-", ignore_cleanup_errors=True) as folder:
        file = os.path.join(folder, "mnist.npz")
        _fetch(file)
        arrays = _read_npz(file)
        _keep(file, _keras_cache())
    return arrays


def _fetch(file: str) -> None:
    """Let Keras download to `file`, once the server has answered and for as long as the file grows."""
    from urllib.request import urlopen

    # Asked first, because offline it would be a pity to wait for the import of Keras, too.
    _watch(lambda: urlopen(_ORIGIN, timeout=2 * _STALL_SECONDS).close(), file)
    from vae._keras import keras

    def download() -> None:
        keras.config.disable_interactive_logging()  # for this thread: no progress bar
        folder, name = os.path.split(file)
        keras.utils.get_file(name, _ORIGIN, file_hash=_SHA256, cache_dir=folder, cache_subdir="")

    _watch(download, file)


def _watch(work: Callable[[], None], file: str) -> None:
    """Run `work`; an OSError says why it failed, or that `file` has not grown for a while.

    Where a proxy or a name server never answers, `work` may wait forever and cannot be told not
    to. So it runs in a thread of its own, which is left behind when nothing moves any more.
    """
    errors: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    size, last_size, since = 0, 0, time.monotonic()
    while worker.is_alive():
        worker.join(0.1)  # short, so that Ctrl-C is heard
        with contextlib.suppress(FileNotFoundError):  # before the first byte, and after a failure
            size = os.path.getsize(file)
        if size != last_size:
            last_size, since = size, time.monotonic()
        elif time.monotonic() - since > _STALL_SECONDS:
            raise TimeoutError(f"nothing came from {_ORIGIN} for {_STALL_SECONDS:g} seconds")
    if errors:
        raise OSError(str(errors[0])) from errors[0]


def _keep(file: str, target: str) -> None:
    """Copy `file` to `target`, whole or not at all, and never over what is there already."""
    with contextlib.suppress(OSError):  # where the cache cannot be written, do without it
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".vae-", dir=os.path.dirname(target)) as beside:
            copy = shutil.copy(file, beside)
            if not os.path.lexists(target):  # another process may have been faster
                os.replace(copy, target)
