"""Induction prompts (A B ... A -> B), and scores of attention patterns that find induction heads.

``induction``: random tokens in which A B occurs once before a last A; the answer is B. The counterfactual replaces the
earlier A and B (and the last A) by other tokens. ``repeats`` are the prompts where the rule is wrong: the last A is
followed by another token than B (Goldowsky-Dill et al. 2023, section 4, evaluate both).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from toulmin.faults import Fault, FaultError
from toulmin.tasks.pair import Pair, Task


def induction_task(
    vocabulary: int,
    length: int = 32,
    *,
    kind: Literal["induction", "repeats"] = "induction",
    bos: int | None = 0,
    first_token: int = 1,
    exclude: Collection[int] = (),
) -> Task:
    """Induction on random tokens ``first_token .. vocabulary - 1``, without ``bos`` and those of ``exclude``.

    A prompt is [bos] x_1 ... A B ... A, all tokens distinct except A, with B at least two places before the end.
    Counterfactual: the same filler with another A' B' ... A'. ``answers``: B for ``induction``; for ``repeats`` a
    token C that is not in the prompt (a continuation that breaks the rule), with B among ``wrong``. Named positions:
    ``first`` (A), ``follower`` (B), ``second`` (the last A).

    :param bos: id of the token in front, or None for none.
    :raises FaultError: the vocabulary is too small for distinct tokens, or has no token ``bos``.
    """
    width = length - (bos is not None)
    allowed = np.setdiff1d(np.arange(first_token, vocabulary), [*exclude, -1 if bos is None else bos])
    if bos is not None and not 0 <= bos < vocabulary:
        raise FaultError(
            Fault("tasks.induction", f"the vocabulary of {vocabulary} tokens has no token {bos}", name="bos")
        )
    if width < 4 or len(allowed) < width + 4:
        text = f"{len(allowed)} tokens are too few for prompts of {length}, or {length} is below 5"
        raise FaultError(Fault("tasks.induction", text))

    def make(n: int, seed: int, split: str) -> list[Pair]:
        return [one(np.random.default_rng([seed, i])) for i in range(n)]

    def one(rng: np.random.Generator) -> Pair:
        drawn = allowed[rng.choice(len(allowed), size=width + 4, replace=False)]
        filler, (a, b, a2, b2, c) = drawn[: width - 1], drawn[width - 1 :]
        place = int(rng.integers(0, width - 3))

        def prompt(x: int, y: int) -> list[int]:
            tokens = [*filler[:place], x, y, *filler[place : width - 3], x]
            return ([bos] if bos is not None else []) + [int(t) for t in tokens]

        shift = int(bos is not None)
        right, wrong = (b, (b2,)) if kind == "induction" else (c, (b,))
        return Pair(
            clean=tuple(prompt(a, b)),
            counterfactual=tuple(prompt(a2, b2)),
            answers=(int(right),),
            wrong=tuple(int(w) for w in wrong),
            positions={"first": shift + place, "follower": shift + place + 1, "second": length - 1},
            unit=f"{kind}-{'.'.join(str(t) for t in (a, b, place, filler[0], filler[1]))}",
        )

    return Task(kind, make, ("test",), "A B ... A -> B on random tokens", vocabulary)


def repeated_tokens(
    n: int, half: int, vocabulary: int, seed: int, *, bos: int | None = 0, first_token: int = 1
) -> Int[Tensor, "B T"]:
    """``n`` sequences [bos] r r, r of ``half`` independent uniform tokens: T = 2 half (+ 1)."""
    rng = np.random.default_rng([seed, half, vocabulary])
    r = torch.from_numpy(rng.integers(first_token, vocabulary, (n, half)))
    start = [torch.full((n, 1), bos)] if bos is not None else []
    return torch.cat([*start, r, r], 1)


def prefix_matching_score(
    pattern: Float[Tensor, "B H T T"], tokens: Int[Tensor, "B T"], *, skip_bos: bool = True
) -> Float[Tensor, "H"]:
    """Attention that goes to the token after an earlier occurrence of the present token.

    score_h = mean over (b, i) that have such j of sum_{j <= i: tokens[j-1] = tokens[i], j - 1 < i} pattern[b, h, i, j]
    (Olsson et al. 2022: 1 for an ideal induction head). With ``skip_bos`` the first token is never a match.

    :raises FaultError: no token occurs twice.
    """
    return _matched(pattern, _follows_match(tokens, skip_bos))


def previous_token_score(pattern: Float[Tensor, "B H T T"], back: int = 1) -> Float[Tensor, "H"]:
    """Mean attention to the token ``back`` places before, over the positions that have one."""
    return pattern.diagonal(-back, -2, -1).mean((0, -1))


def copying_rows(tokens: Int[Tensor, "B T"], *, skip_bos: bool = True) -> Int[Tensor, "B T"]:
    """1 at the positions that have an earlier occurrence of their own token (where induction has something to say)."""
    return _follows_match(tokens, skip_bos).any(-1).long()


def _follows_match(tokens: Tensor, skip_bos: bool) -> Tensor:
    same = tokens[:, :, None] == tokens[:, None, :]  # B query key
    same = same.tril(-1)
    if skip_bos:
        same[:, :, 0] = False
    follows = torch.zeros_like(same)
    follows[:, :, 1:] = same[:, :, :-1]
    return follows


def _matched(pattern: Tensor, allowed: Tensor) -> Tensor:
    rows = allowed.any(-1)
    count = rows.sum()
    if not bool(count):
        raise FaultError(Fault("tasks.no_repeats", "no token occurs twice, so there is nothing to match"))
    return (pattern * allowed[:, None]).sum((0, 2, 3)) / count
