"""Studies: the contract that every experiment of Toulmin keeps, and what runs it.

A :class:`Study` is a frozen configuration that knows its inputs, collects items (the expensive part) and summarises
them (pure NumPy). :func:`execute` turns one into evidence; :func:`re_derive` summarises stored items again and
compares; :func:`reproduce` collects again and compares within the interval. Kinds are entry points of the group
``toulmin.studies``, so an outside package adds its own the way this one does.
"""

from toulmin.studies.code import code_hash
from toulmin.studies.configuration import parse_settings, parse_study, read_study
from toulmin.studies.execution import (
    execute,
    find_current,
    made_by_this_code,
    re_derive,
    reproduce,
)
from toulmin.studies.kinds import find_study, study_kinds
from toulmin.studies.pieces import Json, keep_piece
from toulmin.studies.reference_kinds import cached_subject_folder
from toulmin.studies.references import Reference, ReferenceKind, Resolver, find_reference_kind, parse_reference
from toulmin.studies.registry import Registry
from toulmin.studies.run import Pool, ProcessPool, Progress, RayPool, Run
from toulmin.studies.seeds import mean_over_seeds, seed_measure
from toulmin.studies.study import Cost, Doubt, Input, Items, MeasureSpec, Study, Summary

__all__ = [
    "Cost",
    "Doubt",
    "Input",
    "Items",
    "Json",
    "MeasureSpec",
    "Pool",
    "ProcessPool",
    "Progress",
    "RayPool",
    "Reference",
    "ReferenceKind",
    "Registry",
    "Resolver",
    "Run",
    "Study",
    "Summary",
    "cached_subject_folder",
    "code_hash",
    "execute",
    "find_current",
    "find_reference_kind",
    "find_study",
    "keep_piece",
    "made_by_this_code",
    "mean_over_seeds",
    "parse_reference",
    "parse_settings",
    "parse_study",
    "re_derive",
    "read_study",
    "reproduce",
    "seed_measure",
    "study_kinds",
]
