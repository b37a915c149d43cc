"""Switches Python's cyclic garbage collector off while a case is read and evaluated.

Reading and evaluating make many objects that all stay alive and do not refer to each other in cycles. The collector
would scan them dozens of times and free nothing, which took a seventh of the time of a check of 10,000 elements.
Reference counting frees everything else as usual.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Generator[None]:
    """No cyclic collection while the block, or the function it decorates, runs; left as it was found."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
