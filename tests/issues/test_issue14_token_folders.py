"""A corpus in shards is a token source by its name, as one file is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toulmin.dictionaries.sources import split_tokens
from toulmin.faults import FaultError
from toulmin.studies import Resolver
from toulmin.subjects import Subject, Transformer, TransformerConfig


def test_shards_are_one_sequence_and_evaluation_has_its_own_file(tmp_path: Path) -> None:
    subject = Subject(Transformer(TransformerConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_vocab=23, n_ctx=8)))
    for index, ids in enumerate((range(0, 7), range(7, 18))):
        np.save(tmp_path / f"train-{index:03d}.npy", np.array(ids, np.uint16))
    with pytest.raises(FaultError, match="valid"):
        split_tokens(f"dir:{tmp_path}", subject, 6, 2, Resolver())
    np.save(tmp_path / "valid.npy", np.arange(10, 22, dtype=np.uint16))
    found = split_tokens(f"dir:{tmp_path}", subject, 6, 2, Resolver())
    rows = sorted(found.training.rows(0, 3).tolist())
    assert rows == [list(range(0, 6)), list(range(6, 12)), list(range(12, 18))]  # one row crosses the shards' border
    assert found.evaluation().tolist() == [list(range(10, 16)), list(range(16, 22))]
    with pytest.raises(FaultError, match="3 rows of 6"):
        split_tokens(f"dir:{tmp_path}", subject, 6, 3, Resolver())
