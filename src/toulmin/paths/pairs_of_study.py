"""The pairs a study asks for: from a task, from a file, or windows of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies import Resolver
from toulmin.subjects import Subject
from toulmin.tasks import Pair, find_task, read_pairs


class _Asks(Protocol):
    @property
    def task(self) -> str | None: ...
    @property
    def options(self) -> dict[str, Any]: ...
    @property
    def split(self) -> str | None: ...
    @property
    def pairs(self) -> str | None: ...
    @property
    def text(self) -> str | None: ...
    @property
    def length(self) -> int: ...
    @property
    def n(self) -> int: ...
    @property
    def resolver(self) -> Resolver: ...


def pairs_of(study: _Asks, subject: Subject, seed: int) -> Sequence[Pair]:
    """The pairs of a study's configuration, drawn with the run's seed."""
    if study.task is not None:
        return find_task(study.task, subject, **study.options).generate(study.n, seed, study.split)
    if study.pairs is not None:
        return read_pairs(study.resolver.locate(study.pairs), vocabulary=subject.transformer.config.d_vocab)
    path = study.resolver.locate(study.text or "")
    if subject.tokenizer is None:
        raise FaultError(Fault("paths.no_tokenizer", "a text needs a subject with a tokenizer"))
    tokens = subject.tokenizer.encode(path.read_text(encoding="utf-8")[:2_000_000])
    return text_pairs(tokens, study.n, study.length, seed)


def text_pairs(tokens: Sequence[int], n: int, length: int, seed: int = 0) -> list[Pair]:
    """Windows of a text as references, other windows as counterfactuals; the answer is the next token.

    Reference and counterfactual are disjoint windows, drawn without replacement, so that pairs are independent.

    :raises FaultError: ``paths.short_text`` (exit SUBJECT).
    """
    windows = (len(tokens) - 1) // length
    if windows < 2 * n:
        message = f"{len(tokens)} tokens give {windows} windows of {length}, and {n} pairs need {2 * n}"
        raise FaultError(Fault("paths.short_text", message), ExitCode.SUBJECT)
    chosen = np.random.default_rng(seed).choice(windows, size=(n, 2), replace=False) * length
    return [
        Pair(
            tuple(tokens[a : a + length]),
            tuple(tokens[b : b + length]),
            (int(tokens[a + length]),),
            unit=f"window-{a}",
        )
        for a, b in chosen.tolist()
    ]
