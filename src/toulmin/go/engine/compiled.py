"""``kernel`` compiles a function with numba and keeps the machine code in the user's cache directory.

Numba's default is to write beside the source, which is inside an installed package; and its cache notices a changed
file but not a changed callee in another file. So every kernel goes to a directory of the user's own, named by the
hash of all the compiled sources of this package: ``$NUMBA_CACHE_DIR`` where it is set, else the platform's cache
directory (``$XDG_CACHE_HOME`` or ``~/.cache``, ``~/Library/Caches``, ``%LOCALAPPDATA%``) under ``toulmin/numba``.
Deleting it is always safe. Kernels are iterative: a self-recursive function crashes when it is loaded from the cache.
They allocate nothing, and are compiled without numba's counting of references to arrays (``_nrt``): counting, atomic
and at every call, took a third of the time of a playout.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from toulmin.faults import require_extra

_numba = require_extra("numba", "go")

F = TypeVar("F", bound=Callable[..., Any])

COMPILED = (
    "engine/compiled",
    "engine/board",
    "engine/turns",
    "engine/benson",
    "engine/ladder",
    "engine/score",
    "engine/playouts",
    "nets/features",
    "search/tree",
    "search/speculative",
)


def user_cache_directory() -> Path:
    """The directory under which compiled Go kernels are kept for this user."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return Path(os.environ["NUMBA_CACHE_DIR"])
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "toulmin" / "numba"


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for name in COMPILED:
        digest.update((Path(__file__).parent.parent / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


_DIRECTORY = str(user_cache_directory() / f"go-{_sources_digest()}")

if TYPE_CHECKING:

    def kernel(function: F) -> F:
        """Compile on first call; typed as the function itself."""
        return function

else:

    def kernel(function):
        """Compile on first call, with the machine code cached in the user's directory."""
        from numba.core import config

        # numba reads the directory once, while it decorates: other packages' kernels keep their own setting
        before = config.CACHE_DIR
        config.CACHE_DIR = _DIRECTORY
        try:
            return _numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function)
        finally:
            config.CACHE_DIR = before
