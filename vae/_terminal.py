"""What depends on whether somebody watches a terminal: progress lines, and the end of a progress bar."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_PATIENCE = 2.0  # seconds; shorter work says nothing


def on_terminal() -> bool:
    """Tell whether what is printed goes to a terminal; there may be no output at all."""
    return bool(getattr(sys.stdout, "isatty", bool)())


def progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield `items`, and say how far it has come once the work has taken a while.

    On a terminal one line is rewritten; elsewhere there is one every quarter.

    Args:
        items: What is worked through.
        total: How many there are.
        what: What is done, such as "Reading images".

    Yields:
        The items.
    """
    rewrites = on_terminal()
    start, step = time.monotonic(), max(1, total // (100 if rewrites else 4))
    for done, item in enumerate(items, start=1):
        yield item
        if (done % step == 0 or done == total) and time.monotonic() - start > _PATIENCE:
            print(
                f"{what}: {done:,} of {total:,}", end="\r" if rewrites and done < total else "\n", flush=True
            )
