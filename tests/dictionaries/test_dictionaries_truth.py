"""Known features: the generator's own statistics, matching by hand, and recovery of a planted dictionary."""

from __future__ import annotations

import pytest
import torch

from toulmin.dictionaries import DictionaryConfig, Objective, make_dictionary
from toulmin.dictionaries.controls import train_beside_controls
from toulmin.dictionaries.recovery import match_correlations, match_directions, measure_recovery, recover_labels
from toulmin.dictionaries.story_truth import story_factors
from toulmin.dictionaries.synthetic import SyntheticFeatures
from toulmin.faults import FaultError
from toulmin.tasks import Stories
from toulmin.training import Schedule


def test_features_fire_as_often_as_they_should_and_children_with_their_parents() -> None:
    world = SyntheticFeatures(width=16, features=40, l0=2.0, exponent=1.0, parents=0.3, children=0.8, noise=0.0)
    x, magnitude = world.sample(0, 40_000)
    fires = magnitude > 0
    roots = world.parent < 0
    torch.testing.assert_close(fires.float().mean(0)[roots], world.chances[roots], atol=0.02, rtol=0.1)
    children = torch.nonzero(~roots)[:, 0]
    assert len(children) > 5
    for child in children.tolist():
        assert not bool((fires[:, child] & ~fires[:, int(world.parent[child])]).any())
    torch.testing.assert_close(x, magnitude @ world.directions)
    assert float(world.chances.sum()) == pytest.approx(2.0, rel=1e-4)
    # the largest is 1/rank of Zipf's law above the second
    first, second = world.chances.sort(descending=True).values[:2]
    assert float(first / second) == pytest.approx(2.0, rel=1e-3)
    assert torch.equal(x, world.sample(0, 40_000)[0])
    assert not torch.equal(x[:10], world.sample(1, 10)[0])


def test_correlated_features_fire_together_more_often_than_chance() -> None:
    def spread(correlation: float) -> float:
        world = SyntheticFeatures(features=30, l0=6.0, exponent=0.0, parents=0.0, correlation=correlation, rank=2)
        fires = (world.sample(0, 20_000)[1] > 0).double()
        return float(torch.corrcoef(fires.T).fill_diagonal_(0).abs().max())

    assert spread(0.0) < 0.04
    assert spread(0.8) > 0.2


def test_matching_is_one_to_one_and_best_in_sum() -> None:
    """Greedy matching would give the first true feature its best, and lose the second altogether."""
    true = torch.eye(3)[:2]
    found = torch.tensor([[0.8, 0.6, 0.0], [0.7, 0.0, 0.7141]])
    values, places = match_directions(found, true)
    assert places.tolist() == [1, 0]
    assert values.tolist() == pytest.approx([0.7, 0.6], abs=1e-3)
    values, places = match_directions(found[:1], true)
    assert places.tolist() == [0, -1]
    assert values.tolist() == pytest.approx([0.8, 0.0], abs=1e-6)


def test_a_planted_dictionary_is_recovered_exactly() -> None:
    world = SyntheticFeatures(width=64, features=20, l0=2.0, noise=0.0, parents=0.0)
    dictionary = make_dictionary(DictionaryConfig("relu", 64, 24))
    with torch.no_grad():
        directions = torch.linalg.qr(world.directions.T).Q.T  # orthonormal, so that the encoder reads each one alone
        dictionary.W_dec[:20], dictionary.W_enc[:, :20] = directions, directions.T
        dictionary.W_dec[20], dictionary.W_enc[:, 20] = directions[0], directions[0]  # found twice
        dictionary.b_enc.fill_(0.0)
        dictionary.b_enc[21:] = -100.0
        dictionary.b_dec.zero_()
    magnitude = world.sample(0, 500)[1]
    found = measure_recovery(dictionary, magnitude @ directions, directions)
    assert found.mcc == pytest.approx(1.0)
    assert (found.recall, found.precision) == (1.0, pytest.approx(20 / 21))
    assert found.uniqueness == pytest.approx(19 / 21)
    assert found.dead == pytest.approx(3 / 24)
    assert found.f1 == pytest.approx(2 * (20 / 21) / (1 + 20 / 21))


def test_training_recovers_more_than_random_directions() -> None:
    """In an easy world: few features, sparse, no noise."""
    world = SyntheticFeatures(width=32, features=32, l0=2.0, exponent=0.0, parents=0.0, correlation=0.0)
    config = DictionaryConfig("topk", 32, 64, k=2, start="tied")
    made = train_beside_controls(
        config, Objective(local=1.0), world.batches(512), Schedule(250, 1e-2, "cosine"), ["frozen_decoder"]
    )
    x, _ = world.sample(10**6, 2000)
    trained, frozen = (measure_recovery(made[name], x, world.directions) for name in ("trained", "frozen_decoder"))
    assert trained.mcc > 0.9
    assert frozen.mcc < 0.7
    assert trained.recall > 0.8
    assert frozen.recall < 0.1


def test_labels_are_matched_and_unions_are_greedy() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(4000, 2, generator=generator) < 0.3
    noise = torch.rand(4000, 3, generator=generator) < 0.05
    half = torch.rand(4000, generator=generator) < 0.5
    # feature 0 is label 0; features 1 and 2 are each half of label 1
    active = torch.stack([labels[:, 0] ^ noise[:, 0], labels[:, 1] & half, labels[:, 1] & ~half], 1)
    parts = (active[:2000], labels[:2000]), (active[2000:], labels[2000:])
    found = recover_labels(*parts, ("a", "b"))
    assert found.best[0] == 0
    assert found.needed.tolist() == [1, 2]
    assert found.f1[1] < 0.75
    assert found.union_f1[1] == pytest.approx(1.0)
    correlations = match_correlations(active.float(), labels)
    both = torch.stack([active[:, 0], labels[:, 0]]).double()
    assert correlations[0] == pytest.approx(float(torch.corrcoef(both)[0, 1]))
    assert 0.5 < correlations[1] < 0.8


def test_story_factors_are_those_of_the_stories() -> None:
    source = Stories(24, seed=3)
    rows, labels, names = story_factors(source, 40)
    tokens, roles = source.labelled(0, 40)
    assert torch.equal(rows, tokens)
    from toulmin.tasks.storyworld import ROLES

    for role in ("subject", "place"):
        now = labels[:, names.index(f"role: {role}")].view(40, 24)
        assert torch.equal(now, roles == ROLES.index(role))
        later = labels[:, names.index(f"next: {role}")].view(40, 24)
        assert torch.equal(later[:, :-1], now[:, 1:])
    with pytest.raises(FaultError, match="l0"):
        SyntheticFeatures(l0=0.0)
