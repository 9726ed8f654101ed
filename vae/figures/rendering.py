"""From Graphviz text to pictures.

The wheels of `pygraphviz` carry Graphviz itself, so that no system program is needed; where there is no
wheel, an installed `dot` serves.
"""

import contextlib
import html
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from matplotlib import get_data_path

from vae._keras import stderr_held_back


def render(text: str, file_format: str) -> bytes:
    """Return a drawing of Graphviz text as a file of the format "svg", "png" or "pdf"."""
    failures = []
    with _bundled_fonts(), stderr_held_back():  # fontconfig grumbles there about files of the system
        for draw in (_draw_with_pygraphviz, _draw_with_program):
            try:
                return draw(text, file_format)
            except Exception as error:  # whatever goes wrong with the one, the other may work
                failures.append(f"{type(error).__name__}: {error}")
    raise RuntimeError(
        "Drawing a model needs Graphviz: run `pip install pygraphviz`, whose wheels contain it, or install "
        f"Graphviz's program `dot`. What was tried: {'; '.join(failures)}"
    )


def _draw_with_pygraphviz(text: str, file_format: str) -> bytes:
    import pygraphviz  # has no wheel for some machines

    return pygraphviz.AGraph(string=text).draw(format=file_format, prog="dot")


def _draw_with_program(text: str, file_format: str) -> bytes:
    import graphviz

    return graphviz.Source(text).pipe(format=file_format, quiet=True)


@contextlib.contextmanager
def _bundled_fonts() -> Iterator[None]:
    """Let Graphviz find matplotlib's fonts: a bare container has no others and would draw empty boxes."""
    if "FONTCONFIG_FILE" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "fonts.conf")
        config.write_text(
            '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
            '<include ignore_missing="yes">/etc/fonts/fonts.conf</include>'
            f"<dir>{html.escape(get_data_path())}/fonts/ttf</dir></fontconfig>",
            encoding="utf-8",
        )
        os.environ["FONTCONFIG_FILE"] = str(config)
        try:
            yield
        finally:
            del os.environ["FONTCONFIG_FILE"]
