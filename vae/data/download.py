"""Downloading through Keras, with an end: where nothing comes any more, it fails in seconds."""

import contextlib
import os
import threading
import time
from collections.abc import Callable

_STALL_SECONDS = 6.0  # a resolver takes 5 to give up a dead name server and ask the next


def download(url: str, sha256: str, file: str) -> None:
    """Let Keras download `url` to `file`; an OSError says why that failed."""
    from urllib.request import urlopen

    # Asked first, because offline it would be a pity to wait for the import of Keras, too.
    _watch(lambda: urlopen(url, timeout=2 * _STALL_SECONDS).close(), url, file)
    from vae._keras import keras

    def get_file() -> None:
        keras.config.disable_interactive_logging()  # for this thread: no progress bar
        folder, name = os.path.split(file)
        keras.utils.get_file(name, url, file_hash=sha256, cache_dir=folder, cache_subdir="")

    _watch(get_file, url, file)


def _watch(work: Callable[[], None], url: str, file: str) -> None:
    """Run `work`; an OSError says why it failed, or that `file` has not grown for a while.

    Where a proxy or a name server never answers, `work` may wait forever and cannot be told not
    to. So it runs in a thread of its own, which is left behind when nothing moves any more.
    """
    errors: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    size, last_size, since = 0, 0, time.monotonic()
    while worker.is_alive():
        worker.join(0.1)  # short, so that Ctrl-C is heard
        with contextlib.suppress(FileNotFoundError):  # before the first byte, and after a failure
            size = os.path.getsize(file)
        if size != last_size:
            last_size, since = size, time.monotonic()
        elif time.monotonic() - since > _STALL_SECONDS:
            raise TimeoutError(f"nothing came from {url} for {_STALL_SECONDS:g} seconds")
    if errors:
        raise OSError(str(errors[0])) from errors[0]
