"""Evidence: what a study leaves behind, and where it is kept.

A record (:class:`Evidence`) is one JSON file beside its per-unit items and artefacts, named by its content hash. It
holds measures with intervals, tables, and figures *as data*; drawing them is the report's work. :class:`Store` keeps
records so that nothing is lost under two writers and every later edit is found. The intervals are those of independent
units: prompts, games, seeds, never tokens.
"""

from toulmin.evidence.canonical import canonical_json, sha256_of_bytes, sha256_of_file, sha256_of_json
from toulmin.evidence.figures import Board, Chart, FeatureIndex, Figure, Graph, Heatmap
from toulmin.evidence.intervals import (
    Interval,
    bootstrap,
    bootstrap_mean,
    bootstrap_ratio,
    clopper_pearson,
    wilson,
    zero_failure_upper,
)
from toulmin.evidence.items import Items
from toulmin.evidence.record import (
    Artefact,
    Evidence,
    InputRecord,
    Measure,
    PositiveControl,
    Table,
    inputs_hash,
    study_hash,
)
from toulmin.evidence.store import Store

__all__ = [
    "Artefact",
    "Board",
    "Chart",
    "Evidence",
    "FeatureIndex",
    "Figure",
    "Graph",
    "Heatmap",
    "InputRecord",
    "Interval",
    "Items",
    "Measure",
    "PositiveControl",
    "Store",
    "Table",
    "bootstrap",
    "bootstrap_mean",
    "bootstrap_ratio",
    "canonical_json",
    "clopper_pearson",
    "inputs_hash",
    "sha256_of_bytes",
    "sha256_of_file",
    "sha256_of_json",
    "study_hash",
    "wilson",
    "zero_failure_upper",
]
