"""Writing files so that nothing that was there is lost by a failure."""

import contextlib
import os
from pathlib import Path


def write_whole(path: Path, content: bytes | memoryview, durable: bool = False) -> None:
    """Write a file so that nobody ever meets half of it; folders above it are created.

    `durable` waits until the disk has it, so that not even a power cut leaves less than the old file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            stream.write(content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable and os.name == "posix":  # the new name is an entry of the folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def sweep(path: Path) -> None:
    """Delete what writers of this file that were killed have left."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            left.unlink()
