"""Exchanging features between prompts: exact on a dictionary that is known, and the study that counts answers."""

from __future__ import annotations

from pathlib import Path

import torch

from toulmin.dictionaries import Dictionary, DictionaryConfig, make_dictionary
from toulmin.dictionaries.exchange import code_differences, exchange_features
from toulmin.dictionaries.studies.exchange import FeatureExchange
from toulmin.evidence import Store
from toulmin.studies import Run, execute, re_derive

WIDTH = 5


def exact() -> Dictionary:
    """Features i and WIDTH + i are the positive and the negative part of coordinate i: it reconstructs everything."""
    made = make_dictionary(DictionaryConfig("relu", WIDTH, 2 * WIDTH))
    both = torch.cat([torch.eye(WIDTH), -torch.eye(WIDTH)])
    with torch.no_grad():
        made.W_enc.copy_(both.T)
        made.W_dec.copy_(both)
        made.b_enc.zero_()
        made.b_dec.zero_()
    return made


def streams() -> tuple[torch.Tensor, torch.Tensor]:
    clean, other = torch.randn(2, 3, 4, WIDTH, generator=torch.Generator().manual_seed(0))
    return clean, other


def test_all_features_of_an_exact_dictionary_make_the_counterfactual_stream() -> None:
    clean, other = streams()
    torch.testing.assert_close(exchange_features(exact(), (clean, other), torch.arange(2 * WIDTH)), other)
    assert torch.equal(exchange_features(exact(), (clean, other), torch.arange(0)), clean)


def test_the_two_features_of_a_coordinate_change_it_alone() -> None:
    clean, other = streams()
    expected = clean.clone()
    expected[..., 2] = other[..., 2]
    torch.testing.assert_close(exchange_features(exact(), (clean, other), torch.tensor([2, 2 + WIDTH])), expected)


def test_the_features_that_differ_are_those_of_the_coordinates_that_differ() -> None:
    clean, _ = streams()
    other = clean.clone()
    other[..., 3] += 1
    found = code_differences(exact(), [(clean, other)])
    assert set(found.nonzero().flatten().tolist()) == {3, 3 + WIDTH}
    torch.testing.assert_close(found[3] + found[3 + WIDTH], torch.tensor(1.0))


def test_the_study_leaves_evidence_and_the_whole_stream_turns_every_answer(tmp_path: Path) -> None:
    store = Store(tmp_path / "evidence")
    found = execute(FeatureExchange.preset("tiny"), store, Run(tmp_path / "work"))
    assert set(found.measures) == set(FeatureExchange.measures)
    assert re_derive(found, store) == []
    assert found.measures["turned_stream"].value == 1.0  # of induction, from layer 1 on
    items = store.items(found)
    assert items.contents is not None
    assert len(set(items.contents)) == 24
