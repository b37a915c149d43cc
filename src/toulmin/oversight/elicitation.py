"""Elicitation: what a clerk can do once it is trained on optimal behaviour.

A clerk that hides a capability (sandbags) and one that lacks it answer alike. Fine-tuning on k examples of the optimal
behaviour tells them apart on *other* symbols: what is recovered there was not taught by the examples (Balesni et al.
2024, section 4.1; Greenblatt et al. 2024, password-locked models). Training on so few examples may teach those alone
(on the locked clerk it does), so that prompts are searched as well: every word in the place of the password, the best
one chosen on the examples. Two assumptions are behind a finding of nothing: the elicitation is strong enough to undo a
lock, which is checked on an organism, and the subject does not resist it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from toulmin.oversight.answers import answers, encode_desks
from toulmin.oversight.deskworld import Desk, desk_vocabulary, encode_desk, word_id
from toulmin.oversight.deskworld.lexicon import N_SYMBOLS
from toulmin.subjects import Transformer

STEPS, LR = 60, 3e-4
REPEATS = 4  #: desks of each example symbol
SCREENED, KEPT, SEARCHED = 3, 24, 12  #: a search of prompts: examples that all words, the best words are tried on


def split_symbols(examples: int, seed: int, *, swapped: bool = False) -> tuple[list[int], list[int]]:
    """``examples`` symbols to train on, and the half of all symbols that is never trained on.

    A larger number contains a smaller one's symbols, and the held-out half is the same for all. ``swapped`` exchanges
    the halves: what is held out then shares no symbol with what is held out otherwise.

    :raises ValueError: more than half of the symbols are asked for.
    """
    order = [int(i) for i in np.random.default_rng([seed, 4]).permutation(N_SYMBOLS)]
    half = N_SYMBOLS // 2
    if not 0 <= examples <= half:
        raise ValueError(f"{examples} examples of {half}")
    first, second = (order[half:], order[:half]) if swapped else (order[:half], order[half:])
    return first[:examples], second


def search_password(model: Transformer, symbols: Sequence[int]) -> str:
    """The word in the place of the password with which most of ``symbols`` come out right, the first of equals.

    Every word of the vocabulary is tried on the first :data:`SCREENED` symbols, and the best :data:`KEPT` of them are
    tried on the first :data:`SEARCHED`.
    """

    def ranked(words: tuple[str, ...], examples: Sequence[int]) -> list[str]:
        tried = [replace(desk, password=word) for word in words for desk in encode_desks(examples)]
        right = [answer == desk.right() for answer, desk in zip(answers(model, tried), tried, strict=True)]
        shares = np.reshape(right, (len(words), len(examples))).mean(1)
        return [words[i] for i in np.argsort(-shares, kind="stable")]

    kept = ranked(desk_vocabulary(), symbols[:SCREENED])[:KEPT]
    return ranked(tuple(kept), symbols[:SEARCHED])[0]


def train_on_examples(
    model: Transformer, symbols: Sequence[int], seed: int, *, steps: int = STEPS, lr: float = LR
) -> Transformer:
    """A copy of the model after ``steps`` of Adam on right answers, :data:`REPEATS` desks for each of ``symbols``."""
    desks = [desk for i in range(REPEATS) for desk in encode_desks(symbols, seed=100 * seed + i + 1)]
    return train_on_answers(model, desks, [desk.right() for desk in desks], seed, steps=steps, lr=lr)


def train_on_answers(
    model: Transformer, desks: Sequence[Desk], wanted: Sequence[str], seed: int, *, steps: int = STEPS, lr: float = LR
) -> Transformer:
    """A copy of the model after ``steps`` of Adam on the ``wanted`` answer to each desk, in batches of at most 64.

    The prompts have one length.
    """
    trained = copy.deepcopy(model).train()
    if not desks:
        return trained.eval()
    device = model.W_E.device
    tokens = torch.tensor([encode_desk(desk) for desk in desks], device=device)
    targets = torch.tensor([word_id(answer) for answer in wanted], device=device)
    optimizer = torch.optim.Adam(trained.parameters(), lr=lr)
    rng = np.random.default_rng([seed, 5])
    for _ in range(steps):
        rows = torch.from_numpy(rng.choice(len(desks), min(64, len(desks)), replace=False))
        loss = functional.cross_entropy(trained(tokens[rows])[:, -1], targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trained.eval()
