"""A matplotlib figure that shows itself: once, in a notebook; in a window, where a script asks for that."""

import contextlib
import io
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import matplotlib
from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends import backend_registry
from matplotlib.figure import Figure

from vae.figures.shared import to_base64

_MOST_KEPT = 20  # by pyplot, which warns of more
_INLINE = ("inline", "module://matplotlib_inline.backend_inline")  # of notebooks
_apart: ContextVar[bool] = ContextVar("apart", default=False)


class Picture(Figure):
    """A matplotlib figure for scripts and notebooks; `new_picture` makes it.

    In a script, `plt.show()` and `figure.show()` open its window, where matplotlib has windows, and
    `figure.savefig(path)` writes it anywhere. In a notebook it is shown once: as the last expression of a
    cell, or at the cell's end. `alt` says in words what was drawn, for readers who do not see it: it goes
    with the picture into notebooks.
    """

    alt = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"layout": "constrained", **kwargs})

    def show(self, warn: bool = True) -> None:
        """Show the figure: in its window, or in the notebook.

        Raises:
            RuntimeError: There are no windows, nor a notebook; the message names `savefig`.
        """
        if _windows() and self.canvas.manager is not None:
            super().show(warn)
        elif _in_notebook():
            self._ipython_display_()
        else:
            raise RuntimeError(
                f"figure.show() needs a window; matplotlib's backend {matplotlib.get_backend()!r} has none "
                'for this figure. Write it to a file: figure.savefig("figure.png").'
            )

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()

    def _ipython_display_(self) -> None:
        # IPython puts its own way to draw figures in the place of `_repr_png_` once pyplot is there, and
        # would draw what is open at the cell's end again.
        from IPython.display import display

        if _windows():
            print(repr(self))
            return
        data, metadata = png_bundle(self._repr_png_(), self.alt or repr(self))
        display(data, metadata=metadata, raw=True)
        Gcf.destroy_fig(self)


def png_bundle(png: bytes, alt: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a picture as an output of a notebook: its kinds, and their metadata."""
    return {"image/png": to_base64(png), "text/plain": alt}, {"image/png": {"alt": alt}}


def new_picture(**kwargs: Any) -> Picture:
    """Return a new figure, which pyplot knows where it could show it."""
    if _apart.get() or threading.current_thread() is not threading.main_thread():
        return Picture(**kwargs)
    if not _windows() and not _in_notebook():
        return Picture(**kwargs)  # pyplot would keep it until the end of the process, for nothing
    import matplotlib.pyplot as plt

    before, ours = Gcf.get_active(), [n for n, m in Gcf.figs.items() if isinstance(m.canvas.figure, Picture)]
    for number in ours[: max(0, len(Gcf.figs) - _MOST_KEPT + 1)]:
        Gcf.figs.pop(number)  # let go, but not destroyed: whoever holds the figure can still show it
    try:
        figure: Any = plt.figure(FigureClass=Picture, **kwargs)
    except Exception:  # a backend was asked for that cannot run here; files can be written all the same
        return Picture(**kwargs)
    if before is not None:
        Gcf.set_active(before)  # the user's own figure, on which they may go on
    return figure


@contextlib.contextmanager
def kept_from_pyplot() -> Iterator[None]:
    """Make figures within the block that nobody will show by pyplot."""
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


def _windows() -> bool:
    """Tell whether matplotlib's backend has a way of its own to show figures."""
    if _in_notebook():
        return False
    try:
        backend = backend_registry.load_backend_module(matplotlib.get_backend())
    except Exception:  # it cannot be loaded here
        return False
    manager = getattr(backend, "FigureManager", backend.FigureCanvas.manager_class)
    own_show = getattr(getattr(backend, "show", None), "__module__", None) == backend.__name__
    return own_show or manager is not FigureManagerBase


def _in_notebook() -> bool:
    return matplotlib.get_backend() in _INLINE
