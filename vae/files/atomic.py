"""Writing files so that nothing that was there is lost by a failure."""

import contextlib
import os
import time
from pathlib import Path

_ABANDONED = 86_400  # seconds without a change


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
    """Delete what writers of this file that were killed have left; another may be writing just now."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            number = left.name.split(".")[-2]
            if not number.isdecimal() or not _lives(int(number), left):
                left.unlink()


def _lives(process: int, written: Path) -> bool:
    if os.name != "posix":  # on Windows, to ask would end the process
        return time.time() - written.stat().st_mtime < _ABANDONED
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        return True
    return True
