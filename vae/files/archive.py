"""The archive of a model file: a zip of three members, read whole, and each of them as its checksum says.

What Keras gets to see is packed anew from the members that were looked at. So no oddity of the zip format can
show Keras another file than was checked here.
"""

import io
import os
import stat
import struct
import zipfile
import zlib

METADATA, CONFIGURATION, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"

_MOST_BYTES = {METADATA: 2**16, CONFIGURATION: 2**21, WEIGHTS: 2**29}  # unpacked
_MOST_BYTES_OF_FILE = sum(_MOST_BYTES.values())
_MOST_PACKED = 100  # ratio of unpacked to packed; weights hardly shrink at all


def read_archive(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Return the members of a model file by name; raise `ValueError`, or what `os` and `zipfile` have."""
    return _unpack(_read(path))


def pack_archive(members: dict[str, bytes]) -> bytes:
    """Return a sound archive of the members, and empty the dictionary: they may take much memory."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        for name in _MOST_BYTES:
            zipped.writestr(name, members.pop(name))
    return archive.getvalue()


def _read(path: str | os.PathLike[str]) -> bytes:
    # Opened first and asked then, so that nothing can be put in its place; a pipe must not be waited for.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        if status.st_size > _MOST_BYTES_OF_FILE:
            raise ValueError(f"more than {_MOST_BYTES_OF_FILE:,} bytes")
        return file.read(status.st_size)


def _unpack(content: bytes) -> dict[str, bytes]:
    """Return the members, each of them known, whole and as its checksum says."""
    # The directory's size is read by hand, as `zipfile` reads a directory of any size. With no comment and
    # no 64-bit record, both read the same one.
    if len(content) < 42 or content[-22:-18] != b"PK\5\6" or content[-2:] != b"\0\0":
        raise ValueError("not a .keras archive")
    entries, size, start = struct.unpack("<HII", content[-12:-2])
    if entries != len(_MOST_BYTES) or size > 2**12 or start + size + 22 != len(content):
        raise ValueError("its archive is damaged, or has other members than a model's")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
        if sorted(info.filename for info in infos) != sorted(_MOST_BYTES):
            raise ValueError("its archive has other members than a model's")
        end = 0
        for info in infos:
            if info.header_offset != end:
                raise ValueError("its members overlap, or there is something between them")
            # Of the local header only the lengths matter here; `zipfile` compares the names.
            lengths = struct.unpack("<HH", content[end + 26 : end + 30])
            end += 30 + sum(lengths) + info.compress_size
        if end != start:
            raise ValueError("its members overlap, or there is something behind them")
        return {info.filename: _member(archive, info) for info in infos}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} is encrypted, or packed as Keras never does")
    if kind not in (0, stat.S_IFREG):
        raise ValueError(f"{info.filename} is a link or no file")
    if info.file_size > min(_MOST_BYTES[info.filename], _MOST_PACKED * info.compress_size + 2**20):
        raise ValueError(f"{info.filename} is too large: {info.file_size:,} bytes")
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)
    stored = info.compress_type == zipfile.ZIP_STORED
    sizes = {len(data), info.file_size, info.compress_size if stored else len(data)}
    if len(sizes) > 1 or zlib.crc32(data) != info.CRC:
        raise ValueError(f"{info.filename} is damaged")
    return data
