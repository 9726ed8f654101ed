"""Weights that are not all there, not finite, or elsewhere: refused."""

import contextlib

import h5py
import numpy as np
import pytest
from model_files import assert_refused, make_model, pack, saved, with_weights

import vae

KERNEL = "decoder/layers/dense/vars/0"


def replace(weights, name=KERNEL, **kwargs):
    data = weights[name][()]
    del weights[name]
    weights.create_dataset(name, data=data, **kwargs)


def external_storage(weights):
    shape = weights[KERNEL].shape
    del weights[KERNEL]
    weights.create_dataset(KERNEL, shape, "f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def virtual(weights):
    shape = weights[KERNEL].shape
    del weights[KERNEL]
    layout = h5py.VirtualLayout(shape=shape, dtype="f4")
    layout[...] = h5py.VirtualSource("/tmp/other.h5", "data", shape=shape)
    weights.create_virtual_dataset(KERNEL, layout)


def relink(make):
    def change(weights):
        del weights[KERNEL]
        weights[KERNEL] = make()

    return change


def fill(value, name=KERNEL):
    def change(weights):
        weights[name][...] = value

    return change


def bomb(weights):
    weights.create_dataset("bomb", (2**14, 2**14), "f4", compression="gzip", chunks=True)


def unwritten(weights):
    weights.create_dataset("bomb", (2**20, 2**20), "f4")


def resize(weights):
    del weights[KERNEL]
    weights[KERNEL] = np.zeros((2, 3), "f4")


def drop(weights):
    del weights["decoder/layers/dense"]


def ring(weights):
    weights["decoder/layers/ring"] = weights["decoder"]


def alias(weights):
    weights["big"] = np.zeros(10_000, "f4")
    for i in range(100):
        weights[f"alias{i}"] = weights["big"]


def strings(weights):
    del weights[KERNEL]
    weights.create_dataset(KERNEL, data=["a", "b"], dtype=h5py.string_dtype())


def compound(weights):
    del weights[KERNEL]
    weights[KERNEL] = np.zeros((1, 3), [("a", "f4"), ("b", "f4")])


def overflow(weights):
    del weights[KERNEL]
    weights[KERNEL] = np.full((1, 3), 1e300)


def many(weights):
    for i in range(30_000):
        weights.create_group(f"g{i}")


WEIGHTS = {
    "nan": fill(np.nan),
    "infinity": fill(-np.inf),
    "nan in beta": fill(np.nan, "vars/0"),
    "another beta": fill(-5.0, "vars/0"),
    "too large for float32": overflow,
    "soft link": relink(lambda: h5py.SoftLink("/decoder/vars")),
    "dangling soft link": relink(lambda: h5py.SoftLink("/nowhere")),
    "external link": relink(lambda: h5py.ExternalLink("/etc/passwd", "/x")),
    "external storage": external_storage,
    "virtual": virtual,
    "chunked": lambda w: replace(w, chunks=True),
    "compressed": lambda w: replace(w, compression="gzip"),
    "compressed bomb": bomb,
    "unwritten": unwritten,
    "wrong shape": resize,
    "missing": drop,
    "ring": ring,
    "alias": alias,
    "strings": strings,
    "compound": compound,
    "named type": relink(lambda: np.dtype("f4")),
    "many groups": many,
}


@pytest.mark.parametrize("case", WEIGHTS)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_hostile_weights_are_refused(case, good, tmp_path):
    assert_refused(tmp_path, with_weights(good, WEIGHTS[case]))


def test_nan_in_the_optimizer_is_refused(tmp_path):
    model = make_model()
    model.compile("adam")
    model.fit(np.zeros((4, 4)), verbose=0)
    good = saved(model, tmp_path / "model.keras")
    assert_refused(tmp_path, with_weights(good, fill(np.nan, "optimizer/vars/3")), "NaN")


@pytest.mark.parametrize("content", [b"", b"x" * 999, b"\x89HDF\r\n\x1a\n" + bytes(999)])
def test_weights_that_are_no_hdf5_are_refused(content, good, tmp_path):
    assert_refused(tmp_path, pack({**good, "model.weights.h5": content}))


@pytest.mark.slow
def test_damaged_weights_with_a_right_checksum_crash_nothing(good, tmp_path):
    path, rng = tmp_path / "bad.keras", np.random.default_rng(0)
    for _ in range(500):
        content = bytearray(good["model.weights.h5"])
        for place in rng.integers(0, len(content), rng.integers(1, 4)):
            content[place] = rng.integers(256)
        path.write_bytes(pack({**good, "model.weights.h5": bytes(content)}))
        with contextlib.suppress(vae.ModelFileError):
            vae.load_model(path)
