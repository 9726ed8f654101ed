"""The weights of a model file: an HDF5 file of plain arrays, all of them there, and finite."""

import io
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

_MOST_PIECES = 20_000  # groups and datasets


def count_numbers(content: bytes) -> int:
    """Return how many numbers an HDF5 file holds; raise `ValueError` where it is not what Keras writes."""
    numbers, claimed = 0, 0
    with h5py.File(io.BytesIO(content), "r") as file:
        for dataset in _datasets(file):
            claimed += _bytes_in_place(dataset)
            numbers += dataset.size
            if claimed > len(content):  # several that share their bytes
                raise ValueError("its weights claim more bytes than there are")
            if not _is_finite(dataset):
                raise ValueError("its weights hold NaN or infinity")
    return numbers


def _datasets(file: h5py.File) -> Iterator[Any]:
    """Yield what is in the groups of a file, without following a link out of it or round in a ring."""
    groups, pieces = [file], 0
    while groups:
        group = groups.pop()
        pieces += len(group)
        if pieces > _MOST_PIECES:  # or a ring of groups
            raise ValueError("its weights are in too many pieces")
        for name in group:
            if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
                raise ValueError("its weights have links, perhaps to other files")
            item = group[name]
            if isinstance(item, h5py.Group):
                groups.append(item)
            else:
                yield item


def _bytes_in_place(dataset: Any) -> int:
    """Return the bytes of a dataset, which must all be in the file, and as they are."""
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError("its weights hold something that is no array")
    plist = dataset.id.get_create_plist()
    whole = plist.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
    if not whole or plist.get_external_count() or plist.get_nfilters():
        raise ValueError("its weights are packed, in pieces or in other files")
    if dataset.dtype.kind not in "fiub" and dataset.dtype != np.dtype("V2"):
        raise ValueError("its weights are no numbers")
    size: int = dataset.size * dataset.dtype.itemsize
    if dataset.id.get_storage_size() != size:
        raise ValueError("its weights are not all there")
    return size


def _is_finite(dataset: Any) -> bool:
    if dataset.dtype.kind == "V":  # bfloat16, whose eight bits of exponent are those of float32
        return not ((np.asarray(dataset[()]).view(np.uint16) & 0x7F80) == 0x7F80).any()
    return dataset.dtype.kind != "f" or bool(np.isfinite(dataset[()]).all())
