"""Files that several processes may write, on disks that may be full.

A lock on a file is held by one process at a time and let go when the process ends, however it ends. The operating
system keeps the lock (``flock``), so a killed process leaves none behind. Everything that two runs may write at once is
written under one: the ledger of a store, the lock of a case, the folder a study works in. :func:`unwritable` turns the
errors of a disk into a fault.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Generator
from pathlib import Path

from toulmin.faults import ExitCode, Fault, FaultError

WAIT_SECONDS = 600.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: errors of a disk that cannot be written to: full, over quota, read-only, not permitted, failing
UNWRITABLE = (*_FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


class Held:
    """A lock that this process holds until :meth:`release`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor

    def release(self, *, remove: bool = False) -> None:
        """Let the lock go; ``remove`` deletes the file first, while nobody else can hold it."""
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink()
        os.close(self._descriptor)


def try_lock(path: Path) -> Held | None:
    """The lock on the file at ``path`` (made if need be), or None where another process holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            if not _take(descriptor):
                os.close(descriptor)
                return None
            # the holder before us may have removed the file: then we locked a file that has no name any more
            same = os.path.samestat(os.fstat(descriptor), path.stat())
        except FileNotFoundError:
            same = False
        except BaseException:
            os.close(descriptor)
            raise
        if same:
            return Held(path, descriptor)
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, *, wait: float = WAIT_SECONDS, remove: bool = False) -> Generator[None]:
    """Hold the lock on the file at ``path`` for the block; ``remove`` leaves no file behind.

    :raises FaultError: another process held it for more than ``wait`` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    give_up = time.monotonic() + wait
    pause = 0.001
    while (held := try_lock(path)) is None:
        if time.monotonic() > give_up:
            message = f"another process has held this lock for {wait:g} seconds"
            raise FaultError(Fault("lock.held", message, str(path)), ExitCode.LIMIT)
        time.sleep(pause)
        pause = min(2 * pause, 0.1)
    try:
        yield
    finally:
        held.release(remove=remove)


def _take(descriptor: int) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def unwritable(error: OSError, where: Path) -> FaultError:
    """What to raise where something cannot be written: a full disk, a read-only one, no permission."""
    why = error.strerror or str(error)
    hint = "free some space and run it again; nothing was half kept" if error.errno in _FULL else None
    return FaultError(Fault("store.unwritable", why, error.filename or str(where), hint=hint), ExitCode.EVIDENCE)
