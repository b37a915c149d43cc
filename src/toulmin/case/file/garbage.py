"""Python's cyclic garbage collector, kept from looking at ten thousand new elements again and again.

Reading and evaluating a case makes many objects that all live on and none that refer to each other in circles: the
collector walks over them dozens of times and frees nothing (a seventh of the time of such a check). Reference counts
free the rest as ever.
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
