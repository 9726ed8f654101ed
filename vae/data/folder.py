"""A folder of images as a data set: found, labelled, read and split.

Files are read as if a stranger had put them there: in six formats, known by content, never through a link
that leads out of the folder, never above Pillow's limit of pixels.
"""

import contextlib
import heapq
import os
import textwrap
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vae._checks import as_float, check_choice, check_path, check_positive_int, check_seed
from vae._terminal import progress
from vae.data import Dataset

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "HEIF")
_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_HEIF_SUFFIXES = (".heic", ".heif", ".hif")  # of phones; read where `pillow-heif` is installed
_UNREAD_SUFFIXES = (
    *(".avif", ".jp2", ".jxl", ".pbm", ".pgm", ".ppm", ".psd", ".svg", ".tga"),
    *(".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".raw", ".rw2"),  # of cameras
)
_MODES = {"grayscale": "L", "rgb": "RGB"}  # Pillow's names
_LISTED = 10  # of the skipped files, in a message
_NEEDS_HEIF = "HEIC is read where pillow-heif is installed: pip install pillow-heif"


def load_images(
    folder: str | os.PathLike[str],
    size: Sequence[int] = (28, 28),
    color: str = "grayscale",
    *,
    test_share: float = 0.2,
    seed: int | None = 0,
) -> Dataset:
    """Load every image below a folder, all brought to one size; print one line on what was found.

    Subfolders of the first level, with all below them, are classes: those that hold images get the labels
    0, 1, ... in sorted order. Where all images lie directly in `folder`, each has the label 0.

    Read are PNG, JPEG, BMP, GIF (its first frame), TIFF and WebP, and HEIC where `pillow-heif` is installed,
    in the order of their paths; names that begin with a dot are not. An image is turned as its EXIF
    orientation says, laid on black where it is transparent, cropped around its centre to the wanted ratio
    of height to width, and resized (Lanczos); one of the wanted size keeps its pixels. Of 16 bits the upper
    8 are kept.

    A file that cannot be read, or has more pixels than Pillow's `Image.MAX_IMAGE_PIXELS`, is skipped,
    and so are images of other kinds, and a link that leads out of `folder` or to a folder that is read
    anyway. One warning gives their number, and ten of them with the reason.

    Args:
        folder: Where the images lie.
        size: (height, width) of the result, in pixels.
        color: "grayscale" or "rgb".
        test_share: Share of each class to test on, from 0 to below 1; one image or more stays for training.
        seed: Of the split; None for a new one each time.

    Returns:
        A `Dataset` named as the folder, with the names of the classes, if there are any. Images are uint8,
        for "rgb" of shape (n, height, width, 3); labels are uint8, above 256 classes int32.

    Raises:
        FileNotFoundError: There is no such folder.
        NotADirectoryError: `folder` is a file.
        ValueError: No image below `folder` can be read, or some lie in class subfolders and some
            beside these; or a wrong `size`, `color`, `test_share` or `seed`.
        TypeError: `folder` is neither a string nor a path object.

    Example:
        >>> import os, tempfile, vae
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("cats", "dogs"):
        ...         os.mkdir(os.path.join(folder, name))
        ...         Image.new("RGB", (40, 30)).save(os.path.join(folder, name, "1.png"))
        ...     pets = vae.load_images(folder, size=(24, 32))  # doctest: +ELLIPSIS
        Dataset '...': 2 training and 0 test images of 24 x 32, 2 classes; from '...'.
        >>> pets.x_train.shape, pets.y_train.tolist(), pets.class_names
        ((2, 24, 32), [0, 1], ('cats', 'dogs'))
    """
    sizes = tuple(size) if np.iterable(size) and not isinstance(size, str) else ()
    if len(sizes) != 2:
        raise ValueError(f"size must be (height, width), such as (28, 28); got {size!r}.")
    height, width = (check_positive_int(f"size[{i}]", value) for i, value in enumerate(sizes))
    color, share, seed = check_choice("color", color, _MODES), as_float(test_share), check_seed("seed", seed)
    if not 0 <= share < 1:
        raise ValueError(f"test_share must be a number from 0 to below 1; got {test_share!r}.")
    root = os.path.expanduser(check_path("folder", folder))
    if not os.path.exists(root):
        raise FileNotFoundError(f"folder must be a folder of images; there is none at {root!r}.")
    if not os.path.isdir(root):
        raise NotADirectoryError(f"folder must be a folder of images; {root!r} is a file.")
    paths, skipped, others = _find(root, _suffixes())
    names, y = _classes(root, paths)
    x, faults = _read_all(root, paths, (height, width), _MODES[color])
    skipped |= {path: fault for path, fault in zip(paths, faults, strict=True) if fault}
    read = np.array([not fault for fault in faults], bool)
    if not read.any():
        raise ValueError(_nothing(root, skipped, others))
    if skipped:
        images = _count(int(read.sum()), "image")
        text = f"{len(skipped):,} skipped below {root!r}, {images} read:{_listing(skipped)}"
        warnings.warn(text, stacklevel=2)
    train, test = _split(y, read, share, seed)
    name = os.path.basename(os.path.abspath(root))
    dataset = Dataset(x[train], y[train], x[test], y[test], name, names)
    found = [str(dataset), *([_count(len(names), "class", "es")] if names else [])]
    beside = f", beside {_count(others, 'other file')}" if others else ""
    print(f"{', '.join(found)}; from {root!r}{beside}.")
    return dataset


# Finding


def _suffixes() -> tuple[str, ...]:
    """Return how names of images end that can be read."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return _SUFFIXES
    register_heif_opener()
    return (*_SUFFIXES, *_HEIF_SUFFIXES)


def _find(root: str, suffixes: tuple[str, ...]) -> tuple[list[str], dict[str, str], int]:
    """Return the sorted paths of images, joined by "/"; what is skipped and why; how many other files."""
    real_root, seen = os.path.realpath(root), set()  # every real folder is read once: rings of links end
    paths, skipped, others = [], {}, 0
    # A heap of folders: links last, so that what they lead to is found under its own name where it has one.
    folders = [(False, "")]
    while folders:
        _, folder = heapq.heappop(folders)
        real = os.path.realpath(os.path.join(root, folder))
        if real in seen or not Path(real).is_relative_to(real_root):
            skipped[folder] = "folder that is read anyway" if real in seen else "link out of the folder"
            continue
        seen.add(real)
        try:
            with os.scandir(real) as found:
                entries = [entry for entry in found if not entry.name.startswith(".")]
        except OSError as error:
            skipped[folder or "."] = _why_unreadable(error)
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}".lstrip("/")
            try:
                kind = _kind(entry, real_root, suffixes)
            except OSError as error:  # a link to itself
                kind = _why_unreadable(error)
            if kind == "folder":
                heapq.heappush(folders, (entry.is_symlink(), name))
            elif kind == "image":
                paths.append(name)
            elif kind == "other":
                others += 1
            else:
                skipped[name] = kind
    return sorted(paths, key=_parts), skipped, others


def _kind(entry: os.DirEntry[str], real_root: str, suffixes: tuple[str, ...]) -> str:
    """Return "folder", "image", "other", or why an image cannot be read."""
    suffix = os.path.splitext(entry.name)[1].lower()
    image = suffix in suffixes
    if entry.is_dir():
        return "folder"
    if not entry.is_file():  # a pipe, say: to open it might take for ever
        return "broken link" if entry.is_symlink() else "not a regular file" if image else "other"
    if image and entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(real_root):
        return "link out of the folder"
    if image:
        return "image"
    if suffix in _HEIF_SUFFIXES:
        return _NEEDS_HEIF
    return f"{suffix} is not read" if suffix in _UNREAD_SUFFIXES else "other"


def _parts(path: str) -> list[str]:
    return path.split("/")  # compared part by part, classes come in the order of their names


def _classes(root: str, paths: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the classes, in order, and the label of each path."""
    direct = [path for path in paths if "/" not in path]
    if direct and len(direct) < len(paths):
        inside = next(path for path in paths if "/" in path)
        raise ValueError(
            f"folder must hold its images either all in class subfolders or all directly; got {root!r} with "
            f"{len(direct):,} directly, such as {direct[0]!r}, and {len(paths) - len(direct):,} in "
            f"subfolders, such as {inside!r}."
        )
    if direct:
        return (), np.zeros(len(paths), np.uint8)
    names, y = np.unique([_parts(path)[0] for path in paths], return_inverse=True)
    return tuple(names.tolist()), y.astype(np.uint8 if len(names) <= 256 else np.int32)


# Reading


def _read_all(root: str, paths: list[str], size: tuple[int, int], mode: str) -> tuple[np.ndarray, list[str]]:
    """Return all images in one array, and for each path why it could not be read, or ""."""
    n = len(paths)
    x = np.empty((n, *size, *((3,) if mode == "RGB" else ())), np.uint8)

    def read(start: int) -> list[str]:
        return [_read_into(x[i], os.path.join(root, paths[i])) for i in range(start, min(n, start + step))]

    step = max(1, min(32, n // 64))  # files a task: some, as a task takes a kilobyte; one for few files
    threads = ThreadPoolExecutor(min(8, 1 + (os.cpu_count() or 1)))  # each may hold an image in full size
    with warnings.catch_warnings():  # the filters are the whole process's, so they are set here, once
        warnings.simplefilter("ignore")  # remarks on metadata, which would be errors for who made them so
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            faults = chain.from_iterable(threads.map(read, range(0, n, step)))
            return x, list(progress(faults, n, "Reading images"))
        finally:
            threads.shutdown(cancel_futures=True)  # after Ctrl-C, too: only what is begun is ended


def _read_into(pixels: np.ndarray, path: str) -> str:
    """Fill `pixels` from a file as `load_images` promises; return "", or why that is not possible."""
    (height, width), mode = pixels.shape[:2], "L" if pixels.ndim == 2 else "RGB"
    try:
        # Given a name instead of a stream, Pillow maps plain TIFF files into memory, and garbles turned ones.
        with open(path, "rb") as stream, Image.open(stream, formats=_FORMATS) as file:
            # A JPEG decodes at 1/2, 1/4 or 1/8 at once; twice the size leaves the filter something to do.
            file.draft(mode, (2 * max(height, width), 2 * max(height, width)))
            file.load()  # some formats have their EXIF data behind the pixels
            if file.format != "TIFF":  # `load` has turned it already; Pillow 10.0 would turn it again
                with contextlib.suppress(Exception):  # damaged metadata; the pixels are sound
                    ImageOps.exif_transpose(file, in_place=True)  # a copy would be lost with its metadata
            pixels[...] = ImageOps.fit(_to_mode(file, mode), (width, height), Image.Resampling.LANCZOS)
    except Exception as error:  # Pillow raises nearly everything on damaged files
        return _why_unreadable(error)
    return ""


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):  # I: Pillow 10
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))  # Pillow would clip at 255
    elif image.mode in ("I", "F"):
        raise ValueError("neither 8 nor 16 bits a pixel")
    elif "transparency" in image.info or image.mode in ("LA", "PA", "RGBA"):
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    elif image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")  # first, as not every mode goes to grey directly
    return image.convert(mode)


def _why_unreadable(error: Exception) -> str:
    """Return in a few words why a file or folder could not be read."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels"
    return textwrap.shorten(str(getattr(error, "strerror", "") or error) or type(error).__name__, 60)


def _count(n: int, what: str, plural: str = "s") -> str:
    return f"{n:,} {what}{plural if n != 1 else ''}"


def _listing(skipped: dict[str, str]) -> str:
    lines = [f"\n  {path!r}: {skipped[path]}" for path in sorted(skipped, key=_parts)]
    more = f"\n  and {len(lines) - _LISTED:,} more" if len(lines) > _LISTED else ""
    return "".join(lines[:_LISTED]) + more


def _nothing(root: str, skipped: dict[str, str], others: int) -> str:
    found = [f"{others:,} of other kinds"] if others else []
    if skipped:
        found.append(f"{len(skipped):,} that cannot be read:{_listing(skipped)}")
    wanted = f"folder must hold images that can be read ({', '.join(_SUFFIXES)})"
    return f"{wanted}; got {root!r} with {' and '.join(found) or 'nothing'}{'' if skipped else '.'}"


# Splitting


def _split(y: np.ndarray, read: np.ndarray, share: float, seed: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows for training and those for testing, each in order."""
    rng, test = np.random.default_rng(seed), np.zeros(len(y), bool)
    for label in np.unique(y[read]):
        members = np.flatnonzero(read & (y == label))
        n_test = min(round(share * len(members)), len(members) - 1)
        test[rng.permutation(members)[:n_test]] = True
    return np.flatnonzero(read & ~test), np.flatnonzero(test)
