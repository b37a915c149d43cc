"""Pairs as tensors. A batch has one length; pairs of several lengths are grouped, never padded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Int
from torch import Tensor

from toulmin.faults import Fault, FaultError
from toulmin.tasks.checks import check_pairs
from toulmin.tasks.pair import Pair

MISSING = -1  #: pads ``answers`` and ``wrong`` where pairs have different numbers of them


@dataclass(frozen=True)
class PairBatch:
    """Pairs of one length (B pairs, T tokens, at most A answers and W wrong ids, padded with -1).

    ``at`` is the scored position of each pair; where the pairs have answers of P tokens that are scored as a whole, its
    P positions, and ``whole`` the answers. ``index`` are the places of the pairs in the sequence they came from.
    """

    clean: Int[Tensor, "B T"]
    counterfactual: Int[Tensor, "B T"]
    answers: Int[Tensor, "B A"]
    wrong: Int[Tensor, "B W"]
    at: Int[Tensor, "B"] | Int[Tensor, "B P"]
    units: tuple[str, ...]
    index: tuple[int, ...]
    whole: Int[Tensor, "B P"] | None = None

    def to(self, device: torch.device | str) -> PairBatch:
        """The batch on another device."""
        moved = (t.to(device) for t in (self.clean, self.counterfactual, self.answers, self.wrong, self.at))
        whole = None if self.whole is None else self.whole.to(device)
        return PairBatch(*moved, units=self.units, index=self.index, whole=whole)

    def __len__(self) -> int:
        return len(self.units)

    @cached_property
    def n_wrong(self) -> tuple[int, ...]:
        """How many wrong answers each pair has."""
        return tuple((self.wrong >= 0).sum(-1).tolist())


def _ragged(rows: Sequence[Sequence[int]]) -> Int[Tensor, "B A"]:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[MISSING] * (width - len(row))] for row in rows], dtype=torch.long)


def collate(pairs: Iterable[Pair], index: Sequence[int] | None = None) -> PairBatch:
    """One batch of pairs that all have the same length.

    :raises FaultError: these are no pairs, there are none, or their lengths differ (each that differs from the first
        is named).
    """
    pairs = check_pairs(pairs)
    length = pairs[0].length
    faults = [
        Fault("tasks.unequal_lengths", f"pair {i} has {p.length} tokens, pair 0 has {length}", name=p.unit or None)
        for i, p in enumerate(pairs)
        if p.length != length
    ]
    faults += [
        Fault(
            "tasks.whole_answer",
            f"an answer of {len(p.whole)} tokens, that of pair 0 has {len(pairs[0].whole)}",
            name=p.unit,
        )
        for p in pairs
        if len(p.whole) != len(pairs[0].whole)
    ]
    if faults:
        raise FaultError(faults)
    at = torch.tensor([p.scored for p in pairs])
    whole = torch.tensor([p.whole for p in pairs]) if pairs[0].whole else None
    return PairBatch(
        clean=torch.tensor([p.clean for p in pairs]),
        counterfactual=torch.tensor([p.counterfactual for p in pairs]),
        answers=_ragged([p.answers for p in pairs]),
        wrong=_ragged([p.wrong for p in pairs]),
        at=at if whole is None else at[:, None] + torch.arange(whole.shape[1]),
        units=tuple(p.unit for p in pairs),
        index=tuple(range(len(pairs)) if index is None else index),
        whole=whole,
    )


def batch_pairs(pairs: Iterable[Pair], size: int) -> Iterator[PairBatch]:
    """Batches of at most ``size`` pairs, each of one length of prompts and of whole answers, in order of length and
    then of the sequence.

    :raises FaultError: ``size`` < 1, or no pairs.
    """
    if size < 1:
        raise FaultError(Fault("tasks.batch_size", f"a batch of {size} pairs"))
    pairs = check_pairs(pairs)
    by_length: dict[tuple[int, int], list[int]] = {}
    for i, pair in enumerate(pairs):
        by_length.setdefault((pair.length, len(pair.whole)), []).append(i)
    for length in sorted(by_length):
        members = by_length[length]
        for start in range(0, len(members), size):
            chosen = members[start : start + size]
            yield collate([pairs[i] for i in chosen], chosen)
