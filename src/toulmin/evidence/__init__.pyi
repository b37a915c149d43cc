from .canonical import canonical_json as canonical_json
from .canonical import sha256_of_bytes as sha256_of_bytes
from .canonical import sha256_of_file as sha256_of_file
from .canonical import sha256_of_json as sha256_of_json
from .display import TabularResult as TabularResult
from .figures import Board as Board
from .figures import Chart as Chart
from .figures import FeatureIndex as FeatureIndex
from .figures import Figure as Figure
from .figures import GraphFigure as GraphFigure
from .figures import Heatmap as Heatmap
from .interval import Interval as Interval
from .interval import why_no_bootstrap as why_no_bootstrap
from .intervals import bootstrap as bootstrap
from .intervals import bootstrap_mean as bootstrap_mean
from .intervals import bootstrap_ratio as bootstrap_ratio
from .intervals import clopper_pearson as clopper_pearson
from .intervals import interval_over_seeds as interval_over_seeds
from .intervals import mean_interval as mean_interval
from .intervals import wilson as wilson
from .intervals import zero_failure_upper as zero_failure_upper
from .items import Items as Items
from .items import content_of as content_of
from .items import join_groups as join_groups
from .ledger import Ledger as Ledger
from .numbers import format_number as format_number
from .record import Artefact as Artefact
from .record import Evidence as Evidence
from .record import InputRecord as InputRecord
from .record import Measure as Measure
from .record import PositiveControl as PositiveControl
from .record import Table as Table
from .record import inputs_hash as inputs_hash
from .record import study_hash as study_hash
from .store import Store as Store
from .units import average_by_unit as average_by_unit

__all__ = [
    "Artefact",
    "Board",
    "Chart",
    "Evidence",
    "FeatureIndex",
    "Figure",
    "GraphFigure",
    "Heatmap",
    "InputRecord",
    "Interval",
    "Items",
    "Ledger",
    "Measure",
    "PositiveControl",
    "Store",
    "Table",
    "TabularResult",
    "average_by_unit",
    "bootstrap",
    "bootstrap_mean",
    "bootstrap_ratio",
    "canonical_json",
    "clopper_pearson",
    "content_of",
    "format_number",
    "inputs_hash",
    "interval_over_seeds",
    "join_groups",
    "mean_interval",
    "sha256_of_bytes",
    "sha256_of_file",
    "sha256_of_json",
    "study_hash",
    "why_no_bootstrap",
    "wilson",
    "zero_failure_upper",
]
