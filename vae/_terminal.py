"""What is printed, and how: a terminal may watch, or a file, or nobody; there may be no output at all.

Under `pythonw`, and in services, `sys.stdout` and `sys.stderr` are None. What others put in their place may
lack `isatty` or `flush`.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_PATIENCE = 2.0  # seconds; shorter work says nothing


def on_terminal() -> bool:
    """Tell whether what is printed goes to a terminal."""
    return bars_are_possible() and bool(getattr(sys.stdout, "isatty", bool)())


def bars_are_possible() -> bool:
    """Tell whether Keras could draw a progress bar, for which it writes and flushes."""
    return hasattr(sys.stdout, "write") and hasattr(sys.stdout, "flush")


def say(text: str, end: str = "\n") -> None:
    """Print at once, where there is somewhere to print to."""
    print(text, end=end)
    flush(sys.stdout)


def flush(stream: Any) -> None:
    """Flush an output, if it can be."""
    getattr(stream, "flush", bool)()


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
            say(f"{what}: {done:,} of {total:,}", end="\r" if rewrites and done < total else "\n")
