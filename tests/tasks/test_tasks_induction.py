"""Induction: what the pairs are, and head scores on attention patterns made by hand."""

from __future__ import annotations

import itertools

import pytest
import torch

from toulmin.faults import FaultError
from toulmin.tasks import (
    MarkovRepeats,
    Mixture,
    RepeatedTokens,
    induction_task,
    prefix_matching_score,
    previous_token_score,
    repeated_tokens,
)


@pytest.mark.parametrize("bos", [0, None])
def test_induction_pairs_have_one_earlier_a_b(bos):
    for pair in induction_task(64, 20, bos=bos).generate(100, 3):
        first, follower, second = (pair.positions[k] for k in ("first", "follower", "second"))
        clean, other = pair.clean, pair.counterfactual
        assert len(clean) == 20
        assert follower == first + 1
        assert second == 19 == pair.scored
        assert clean[first] == clean[second]
        assert clean.count(clean[second]) == 2
        assert pair.answers == (clean[follower],)
        assert pair.wrong == (other[follower],)
        assert {i for i in range(20) if clean[i] != other[i]} == {first, follower, second}
        assert other[first] == other[second]
        if bos is not None:
            assert clean[0] == bos
            assert clean.count(bos) == 1


def test_repeats_break_the_rule():
    for pair in induction_task(64, 20, kind="repeats").generate(50, 3):
        assert pair.wrong == (pair.clean[pair.positions["follower"]],)
        assert pair.answers[0] not in pair.clean


def test_pairs_are_a_function_of_seed_and_place():
    task = induction_task(64, 20)
    assert task.generate(5, 1) == task.generate(9, 1)[:5]
    assert task.generate(5, 1) != task.generate(5, 2)
    assert len({p.unit for p in task.generate(200, 1)}) == 200
    with pytest.raises(FaultError):
        induction_task(10, 20)


def ideal(tokens: torch.Tensor) -> torch.Tensor:
    """A head that attends after the last earlier occurrence of its token, or to the first token."""
    n, length = tokens.shape
    pattern = torch.zeros(n, 1, length, length)
    for b in range(n):
        for i in range(length):
            earlier = [j for j in range(1, i) if tokens[b, j] == tokens[b, i]]
            pattern[b, 0, i, earlier[-1] + 1 if earlier else 0] = 1
    return pattern


def test_prefix_matching_of_ideal_uniform_and_half_heads():
    tokens = repeated_tokens(3, 10, 50, 0)
    assert tokens.shape == (3, 21)
    assert torch.equal(tokens[:, 1:11], tokens[:, 11:])
    perfect = ideal(tokens)
    nothing = torch.zeros_like(perfect)
    nothing[..., 0] = 1
    scores = prefix_matching_score(torch.cat([perfect, nothing, (perfect + nothing) / 2], 1), tokens)
    assert scores.tolist() == pytest.approx([1, 0, 0.5])


def test_prefix_matching_by_brute_force():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 4, (2, 9), generator=generator)
    pattern = torch.rand(2, 3, 9, 9, generator=generator).tril()
    for skip_bos in (True, False):
        total, count = torch.zeros(3), 0
        for b in range(2):
            for i in range(9):
                keys = [j for j in range(1 + skip_bos, i + 1) if tokens[b, j - 1] == tokens[b, i] and j - 1 < i]
                count += bool(keys)
                total += pattern[b, :, i, keys].sum(-1) if keys else 0
        assert torch.allclose(prefix_matching_score(pattern, tokens, skip_bos=skip_bos), total / count)
    with pytest.raises(FaultError, match="no token occurs twice"):
        prefix_matching_score(torch.zeros(1, 1, 3, 3), torch.tensor([[1, 2, 3]]))


def test_previous_token_score():
    pattern = torch.zeros(1, 2, 6, 6)
    pattern[0, 0].diagonal(-1).fill_(1)
    pattern[0, 1].diagonal(-2).fill_(0.5)
    assert previous_token_score(pattern).tolist() == [1, 0]
    assert previous_token_score(pattern, back=2).tolist() == [0, 0.5]


def test_repeated_rows_repeat_and_are_addressed_by_number():
    source = RepeatedTokens(40, 30, seed=5, shortest=4, longest=9, before=6)
    rows = source.rows(0, 20)
    assert torch.equal(rows[7:12], source.rows(7, 5))
    assert (rows[:, 0] == 0).all()
    assert int(rows[:, 1:].min()) >= 1
    for row in rows:
        periods = [size for size in range(4, 10) if torch.equal(row[7 + size :], row[7:-size])]
        assert periods, row


def test_markov_rows_follow_the_language_and_repeat():
    source = MarkovRepeats(48, 40, seed=2, branching=5, shortest=8, longest=16)
    successors, cumulative = source.transitions()
    assert successors.shape == cumulative.shape == (39, 5)
    assert cumulative[:, -1] == pytest.approx(1)
    rows = source.rows(0, 30)
    assert torch.equal(rows[11:13], source.rows(11, 2))
    outside = 0
    for row in rows - 1:
        walk = row[1:].tolist()
        outside += sum(b not in successors[a] for a, b in itertools.pairwise(walk))
        grams = [tuple(walk[i : i + 8]) for i in range(40)]
        assert len(set(grams)) < len(grams)
    assert outside <= 30  # only where the repetition begins may the walk jump


def test_a_mixture_takes_rows_in_proportion():
    a, b = RepeatedTokens(16, 9, seed=1), RepeatedTokens(16, 9, seed=2)
    mixed = Mixture([a, b], [3, 1], seed=4)
    rows = mixed.rows(0, 400)
    from_a = (rows == a.rows(0, 400)).all(1)
    from_b = (rows == b.rows(0, 400)).all(1)
    assert bool((from_a | from_b).all())
    assert 0.68 < float(from_a.float().mean()) < 0.82
    assert torch.equal(rows[100:110], mixed.rows(100, 10))
    with pytest.raises(FaultError, match="differ"):
        Mixture([a, RepeatedTokens(17, 9)], [1, 1])
    with pytest.raises(FaultError, match="weights"):
        Mixture([a, b], [1, -1])
