"""Progress of long work in one line: on a terminal it is rewritten, elsewhere there is one every quarter."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_PATIENCE = 2.0  # seconds; shorter work says nothing


def progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield `items`, and say how far it has come once the work has taken a while.

    Args:
        items: What is worked through.
        total: How many there are.
        what: What is done, such as "Reading images".

    Yields:
        The items.
    """
    on_terminal = sys.stdout is not None and sys.stdout.isatty()
    start, step = time.monotonic(), max(1, total // (100 if on_terminal else 4))
    for done, item in enumerate(items, start=1):
        yield item
        if (done % step == 0 or done == total) and time.monotonic() - start > _PATIENCE:
            rewritten = on_terminal and done < total
            print(f"{what}: {done:,} of {total:,}", end="\r" if rewritten else "\n", flush=True)
