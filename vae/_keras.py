"""Keras, imported without the log lines that TensorFlow writes when it starts.

Those lines (oneDNN, CPU instructions, missing CUDA drivers) come from compiled code,
straight to file descriptor 2, before any Python setting can reach them. Every module
of this package takes ``keras`` from here, so they stay out of terminals and notebooks.
If the import fails, everything that was held back is printed.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    try:
        saved = os.dup(2)
    except OSError:  # a process without a stderr, such as a Windows service
        yield
        return
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:  # not KeyboardInterrupt, after which nobody wants to read them
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


with _stderr_held_back():
    import keras

__all__ = ["keras"]
