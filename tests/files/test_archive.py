"""Files that are no archive of a model: refused, whatever their zip directory says."""

import io
import os
import struct
import warnings
import zipfile

import pytest
from model_files import NAMES, assert_refused, pack

import vae


def infos(good, change, method=zipfile.ZIP_STORED):
    """Return an archive whose members' entries are changed by a function of name and entry."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in good.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            change(info)
            archive.writestr(info, content)
    return file.getvalue()


def duplicated(good):
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for name in ("config.json", "config.json", "model.weights.h5"):
            archive.writestr(name, good[name])
    return file.getvalue()


def overlapping(good):
    """All entries of the directory point to the first member."""
    content = bytearray(pack(good))
    place = content.index(b"PK\1\2")
    while content[place : place + 4] == b"PK\1\2":
        content[place + 42 : place + 46] = bytes(4)
        lengths = struct.unpack("<HHH", content[place + 28 : place + 34])
        place += 46 + sum(lengths)
    return bytes(content)


def link(info):
    info.external_attr = 0o120777 << 16 if info.filename == "model.weights.h5" else 0


ARCHIVES = {
    "empty": lambda g: b"",
    "text": lambda g: b"not a zip" * 99,
    "hdf5": lambda g: g["model.weights.h5"],
    "png": lambda g: b"\x89PNG\r\n\x1a\n" + bytes(500),
    "no members": lambda g: pack({}),
    "no weights": lambda g: pack({n: g[n] for n in NAMES[:2]}),
    "no config": lambda g: pack({n: g[n] for n in NAMES if n != "config.json"}),
    "path traversal": lambda g: pack({**g, "../../evil": b"x"}),
    "traversal in place of metadata": lambda g: pack(
        {"../metadata.json": b"{}", **{n: g[n] for n in NAMES[1:]}}
    ),
    "absolute": lambda g: pack({**g, "/tmp/evil": b"x"}),
    "assets": lambda g: pack({**g, "assets/x": b"x"}),
    "npz weights": lambda g: pack({**{n: g[n] for n in NAMES[:2]}, "model.weights.npz": b"x"}),
    "duplicate": duplicated,
    "tiny members": lambda g: pack({**g, **{f"a{i}": b"" for i in range(60_000)}}),
    "link": lambda g: infos(g, link),
    "overlap": overlapping,
    "prefix": lambda g: b"#!/bin/sh\n" + pack(g),
    "suffix": lambda g: pack(g) + b"x",
    "bzip2": lambda g: pack(g, zipfile.ZIP_BZIP2),
    "lzma": lambda g: pack(g, zipfile.ZIP_LZMA),
    "config bomb": lambda g: pack(
        {**g, "config.json": g["config.json"] + b" " * 2**27}, zipfile.ZIP_DEFLATED
    ),
    "weights bomb": lambda g: pack(
        {**g, "model.weights.h5": g["model.weights.h5"] + bytes(2**28)}, zipfile.ZIP_DEFLATED
    ),
    "padded config": lambda g: pack({**g, "config.json": g["config.json"] + b" " * 2**22}),
    "metadata bomb": lambda g: pack({**g, "metadata.json": b" " * 2**22}),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_hostile_archives_are_refused(case, good, tmp_path):
    assert_refused(tmp_path, ARCHIVES[case](good))
    assert [path.name for path in tmp_path.iterdir()] == ["bad.keras"]


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(vae.ModelFileError, match=r"not a regular file|Is a directory|Permission"):
        vae.load_model(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.keras")
        with pytest.raises(vae.ModelFileError, match="not a regular file"):
            vae.load_model(tmp_path / "pipe.keras")
    with pytest.raises(FileNotFoundError, match="there is none at"):
        vae.load_model(tmp_path / "none.keras")


def test_a_file_of_absurd_size_is_refused_unread(tmp_path):
    path = tmp_path / "sparse.keras"
    with open(path, "wb") as file:
        file.truncate(2**40)
    with pytest.raises(vae.ModelFileError, match="more than"):
        vae.load_model(path)


def test_an_unreadable_file_is_refused(sound, tmp_path, monkeypatch):
    from vae.files import archive

    path = tmp_path / "model.keras"
    path.write_bytes(sound)

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(archive.os, "open", refuse)
    with pytest.raises(vae.ModelFileError, match="Permission denied"):
        vae.load_model(path)


@pytest.mark.parametrize("name", ["x" * 3000, "a\0b", "a\nb" * 40])
def test_odd_paths_give_short_errors(name):
    with pytest.raises((vae.ModelFileError, FileNotFoundError)):
        vae.load_model(name)
