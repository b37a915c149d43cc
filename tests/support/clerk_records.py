"""Records of the studies of clerks, made anew and derived again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toulmin.evidence import Evidence, Store
from toulmin.oversight import find_organism
from toulmin.studies import Resolver, Run, execute, find_study, re_derive
from toulmin.subjects import Transformer, load


def record(ground: Path, kind: str, **settings: Any) -> Evidence:
    """The record of a study in a store below ``ground``, whose numbers follow from its items."""
    store = Store(ground / "store")
    study = find_study(kind).model_validate(settings).at(Resolver(ground, store))
    found = execute(study, store, Run(ground / "work"))
    assert not re_derive(found, store)
    return found


def clerk(name: str) -> Transformer:
    """The model of an organism."""
    return load(find_organism(name).reference).model
