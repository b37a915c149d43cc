"""Evidence: what a study leaves behind, and where it is kept.

A record (:class:`Evidence`) is one JSON file beside its per-unit items and artefacts, named by its content hash. It
holds measures with intervals, tables, and figures *as data*; drawing them is the report's work. :class:`Store` keeps
records so that nothing is lost under two writers and every later edit is found. The intervals are those of independent
units: prompts, games, seeds, never tokens.
"""

import lazy_loader as _lazy  # pyright: ignore[reportMissingTypeStubs]

# lazy, because the intervals need NumPy (0.1 s), and checking a case needs no intervals but those of its records
__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)  # pyright: ignore[reportUnknownVariableType]
