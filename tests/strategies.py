"""Inputs for the property tests, and how they are tried."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny import PIXELS

SLOWER = pytest.mark.parametrize("times", [1, pytest.param(40, marks=pytest.mark.slow)])
tried: Counter = Counter()  # inputs, by test


@pytest.fixture(scope="module", autouse=True)
def report(request):
    yield
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")  # of xdist's workers, none
    if reporter is not None:
        reporter.write_line(f"\n{request.module.__name__}: {sum(tried.values()):,} inputs tried")


def for_all(times, *strategies, quick=50):
    """Try a function, as its decorator, on `quick` inputs, or on so many times more."""

    def run(holds):
        def counted(drawn):
            tried[holds.__qualname__] += 1
            holds(*drawn)

        settings(
            max_examples=quick * times,
            derandomize=times == 1,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )(given(st.tuples(*strategies))(counted))()

    return run


SQUARES = [(PIXELS,), (6, 6), (6, 6, 1)]


@st.composite
def images(draw, n=None, shapes=(*SQUARES, (4, 9), (3, 4, 3))):
    """Valid images in every form: flat or not, uint8 or a float type."""
    n = draw(st.integers(1, 5)) if n is None else n
    shape = (n, *draw(st.sampled_from(shapes)))
    dtype = np.dtype(draw(st.sampled_from(["uint8", "<f2", "<f4", "<f8", ">f4", ">f8", "longdouble"])))
    top = 255 if dtype == np.uint8 else 1
    values = np.random.default_rng(draw(st.integers(0, 2**32))).random(shape) * top
    chosen = draw(st.sampled_from(["grey", "black and white", "black", "white"]))
    if chosen != "grey":
        values = {"black and white": np.rint(values / top), "black": 0 * values}.get(chosen, values**0) * top
    array = values.astype(dtype)
    return {"as it is": array, "backwards": array[::-1], "Fortran": np.asfortranarray(array)}[
        draw(st.sampled_from(["as it is", "backwards", "Fortran"]))
    ]


def codes(low, high):
    """Arrays (z_mean, z_log_sigma) of one shape."""
    number = st.one_of(st.floats(low, high, width=32), st.floats(-0.125, 0.125, width=32), st.just(0.0))
    shapes = st.tuples(st.integers(1, 4), st.integers(1, 4))
    return shapes.flatmap(
        lambda shape: st.tuples(*2 * [hnp.arrays(np.float32, shape, elements=number, fill=st.nothing())])
    )
