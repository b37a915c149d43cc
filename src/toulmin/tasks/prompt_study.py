"""``PromptStudy``: what every study of a language model has in common, namely a subject and its prompts.

The prompts come from exactly one of three sources: a ``task`` of the catalogue, a file of ``pairs``, or windows of a
``text``. No torch at the top: a case reads studies without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from toulmin.evidence import Items, Measure, content_of, join_groups
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies import Cost, Input, Run, Study
from toulmin.tasks.estimate import seconds_of_pass
from toulmin.tasks.pair import Pair, Task, resampled_unit, template_notes

if TYPE_CHECKING:
    from toulmin.subjects import Subject, Transformer
    from toulmin.tasks.batch import PairBatch

Dtype = Literal["float32", "bfloat16", "float16", "float64"]
GENERATED = 200  # pairs that are made where the configuration does not say how many
_MAX_TEXT = 2_000_000  # characters of a text that are read
_MOST_TRIES = 50  # prompts drawn for one that is in no earlier set


class PromptStudy(Study):
    """A study of a language model on prompts: the subject, one source of pairs, how many, and the model's dtype."""

    subject: str  #: reference of the model
    task: str | None = None  #: a task of the catalogue
    options: dict[str, Any] = Field(default_factory=dict[str, Any])  #: of that task
    split: str | None = None  #: of that task
    pairs: str | None = None  #: or: reference of a JSON-lines file of pairs, as token ids or as text
    text: str | None = None  #: or: reference of a text; windows of it are clean prompts, others counterfactual ones
    length: int = Field(default=32, ge=2)  #: tokens of a window of ``text``
    n: int | None = Field(default=None, ge=2)  #: pairs; default 200, of a file all
    dtype: Dtype = "float32"  #: of the model's parameters
    batch: int = Field(default=64, ge=1)  #: pairs in one forward pass

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("task", "pairs", "text") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of task, pairs and text; given: {', '.join(given) or 'none'}")
        for name in ("options", "split"):
            if self.task is None and getattr(self, name):
                raise ValueError(f"{name} belongs to a task, and the prompts come from {given[0]}")
        return self

    @property
    def count(self) -> int:
        """The number of pairs where it is known before the file is read: ``n``, or 200."""
        return GENERATED if self.n is None else self.n

    def inputs(self) -> tuple[Input, ...]:
        """The subject, and the file of pairs or the text if there is one."""
        found = [self.input("subject", self.subject)]
        for role, reference in (("pairs", self.pairs), ("text", self.text)):
            if reference is not None:
                found.append(self.input(role, reference))
        return tuple(found)

    def seed_changes_data(self) -> bool:
        """Whether pairs are generated, or windows drawn from a text."""
        return self.pairs is None

    def measure(self, name: str, values: Any, items: Items, *, shares: bool = False, **more: Any) -> Measure:
        """As of every study; what its n counts is what the interval resamples (:meth:`resampled`)."""
        return super().measure(name, values, items, shares=shares, **{"n_of": self.resampled(items), **more})

    @staticmethod
    def resampled(items: Items) -> str:
        """What intervals over the items resample, so that n counts it: ``templates`` or ``prompts``."""
        return str(items.metadata.get("resampled", "prompts"))

    def load(self, run: Run) -> Prompts:
        """The subject with its model on the run's device, in evaluation mode, and the source of its prompts.

        :raises FaultError: the subject cannot be loaded, or is no transformer.
        """
        import torch

        from toulmin.subjects import load

        device = run.prepare_torch()
        subject = load(self.subject, self.resolver, dtype=getattr(torch, self.dtype))
        subject.model.to(device).eval()
        return Prompts(self, subject)


@dataclass(frozen=True)
class Prompts:
    """A loaded subject and the pairs that a :class:`PromptStudy` asks for."""

    study: PromptStudy
    subject: Subject[Transformer]

    @property
    def model(self) -> Transformer:
        """The subject's model."""
        return self.subject.model

    def pairs(self, n: int | None = None, seed: int = 0) -> tuple[Pair, ...]:
        """``n`` pairs, default as many as the study says (of a file all); the same seed gives the same pairs.

        Pairs with one clean prompt have one unit (:func:`joined_units`).

        :raises FaultError: the source cannot give so many, or a pair does not fit the model.
        """
        from toulmin.tasks.checks import check_prompts

        n = self.study.n if n is None else n
        if self.study.pairs is not None:
            found = self._file
            if n is not None and n > len(found):
                text = f"{n} pairs are asked for, and the file has {len(found)}"
                raise FaultError(Fault("tasks.count", text, name=self.study.pairs))
            return joined_units(check_prompts(self.model, found[:n])[1])
        return joined_units(check_prompts(self.model, self._draw(GENERATED if n is None else n, seed))[1])

    def disjoint_pairs(self, sizes: Sequence[int], seed: int = 0) -> tuple[tuple[Pair, ...], ...]:
        """Sets of pairs of the given sizes of which no two share a unit: to discover on one and measure on another.

        Set j of k is generated with the seed ``k seed + j``, so that no two runs share prompts either; what an earlier
        set has is left out. A file or a text is divided in its order.

        :raises FaultError: the source cannot give so many different pairs.
        """
        from toulmin.tasks.checks import check_prompts

        seen: set[object] = set()
        found: list[tuple[Pair, ...]] = []
        rest: Sequence[Pair] = ()
        if self.study.pairs is not None:
            rest = self._file
        elif self.study.text is not None:
            rest = self._draw(sum(sizes), seed)
        for j, size in enumerate(sizes):
            if self.study.task is not None:
                chosen = self._fresh(size, len(sizes) * seed + j, seen)
            else:
                chosen = [pair for pair in rest if _unit(pair) not in seen][:size]
                if len(chosen) < size:
                    text = f"{' + '.join(map(str, sizes))} pairs without a unit in common are asked for"
                    text += f", and there are {len(rest)} in all"
                    raise FaultError(Fault("tasks.count", text, name=self.study.pairs or self.study.text))
            seen |= {_unit(pair) for pair in chosen}
            found.append(joined_units(check_prompts(self.model, chosen)[1]))
        return tuple(found)

    @staticmethod
    def contents(pairs: Sequence[Pair]) -> dict[str, str]:
        """What identifies the data of each unit of :meth:`pairs`, by its name: the hash of its first clean prompt."""
        named = [(pair.unit or f"pair-{index}", content_of(list(pair.clean))) for index, pair in enumerate(pairs)]
        return dict(reversed(named))

    def notes(self, pairs: Sequence[Pair]) -> list[str]:
        """What a reader of the record must know of the pairs: how many have the clean prompt of an earlier one, how
        many words or prompts the tokenizer lost, what intervals resample where there are templates."""
        repeats = len(pairs) - len({pair.clean for pair in pairs})
        said = [f"{repeats} of {len(pairs)} pairs have the clean prompt of an earlier one: n counts it once"]
        lost = self._task.notes() if self.study.task is not None else self._lost
        return [*(said if repeats else ()), *lost, *template_notes(pairs)]

    def about(self, pairs: Sequence[Pair]) -> dict[str, Any]:
        """What the items say of their pairs: :meth:`notes`, and what the units of their intervals are."""
        return {"data_notes": self.notes(pairs), "resampled": resampled_unit(pairs)}

    def announce(self, run: Run, pairs: Sequence[Pair], passes: float) -> None:
        """Say how long work worth so many forward passes of one prompt will take.

        Of a model that ships with the package ``cost`` was said before it was loaded.
        """
        if not self.study.subject.startswith("embedded:"):
            cost = Cost(seconds=passes * seconds_of_pass(self.model, pairs))
            run.progress.note(f"{self.study.kind}: {cost}, estimated from a forward pass of the model")

    def batches(self, pairs: Sequence[Pair]) -> Iterator[PairBatch]:
        """Batches of the study's size on the model's device."""
        from toulmin.tasks.batch import batch_pairs

        for batch in batch_pairs(pairs, self.study.batch):
            yield batch.to(self.model.W_E.device)

    @cached_property
    def _task(self) -> Task:
        from toulmin.tasks.catalogue import find_task

        return find_task(self.study.task or "", self.subject, **self.study.options)

    @cached_property
    def _file(self) -> tuple[Pair, ...]:
        from toulmin.tasks.pairs_file import read_pairs

        config = self.model.config
        path = self.study.resolver.locate(self.study.pairs or "")
        limits: dict[str, Any] = {"vocabulary": config.d_vocab, "outputs": config.vocab_out}
        return read_pairs(path, tokenizer=self.subject.tokenizer, lost=self._left_out, **limits)

    @cached_property
    def _left_out(self) -> list[str]:
        """Why lines of the file are left out: the tokenizer splits their prompts differently."""
        return []

    @property
    def _lost(self) -> list[str]:
        if self.study.pairs is None or not self._file or not self._left_out:
            return []
        count, first = len(self._left_out), self._left_out[0]
        return [f"{count} of {count + len(self._file)} pairs of the file are left out; {first}"]

    def _draw(self, n: int, seed: int) -> Sequence[Pair]:
        if self.study.task is not None:
            return self._task.generate(n, seed, self.study.split)
        if self.subject.tokenizer is None:
            text = "the prompts are windows of a text, and the subject has no tokenizer"
            raise FaultError(Fault("tasks.needs_tokenizer", text, name=self.study.subject), ExitCode.SUBJECT)
        path = self.study.resolver.locate(self.study.text or "")
        try:
            text = path.read_text(encoding="utf-8")[:_MAX_TEXT]
        except (OSError, UnicodeDecodeError) as error:
            raise FaultError(Fault("tasks.file", str(error), str(path)), ExitCode.SUBJECT) from None
        return text_pairs(self.subject.tokenizer.encode(text), n, self.study.length, seed)

    def _fresh(self, n: int, seed: int, seen: set[object]) -> list[Pair]:
        asked = n
        while True:
            fresh = [pair for pair in self._draw(asked, seed) if _unit(pair) not in seen]
            if len(fresh) >= n:
                return fresh[:n]
            if asked > _MOST_TRIES * n:
                text = f"it gives {len(fresh)} prompts that are not in an earlier set, and {n} are asked for"
                raise FaultError(Fault("tasks.count", text, name=self.study.task))
            asked += n - len(fresh)


def joined_units(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs with one unit for each distinct clean prompt, whatever ids they came with.

    One prompt under many ids is one observation: pairs that share a clean prompt, or a unit, share the unit of the
    first of them.
    """
    units = [pair.unit or f"pair-{index}" for index, pair in enumerate(pairs)]
    joined = join_groups(units, [content_of(list(pair.clean)) for pair in pairs])
    if joined == units:
        return tuple(pairs)
    return tuple(
        pair if pair.unit == unit else replace(pair, unit=unit) for pair, unit in zip(pairs, joined, strict=True)
    )


def _unit(pair: Pair) -> object:
    return pair.unit or (pair.clean, pair.at)


def text_pairs(tokens: Sequence[int], n: int, length: int, seed: int = 0) -> list[Pair]:
    """Windows of a text as clean prompts, other windows as counterfactual ones; the answer is the next token.

    All windows are disjoint and drawn without replacement, so that pairs are independent.

    :raises FaultError: ``tasks.short_text`` (exit SUBJECT): the text has too few windows.
    """
    windows = (len(tokens) - 1) // length
    if windows < 2 * n:
        message = f"{len(tokens)} tokens give {windows} windows of {length}, and {n} pairs need {2 * n}"
        raise FaultError(Fault("tasks.short_text", message), ExitCode.SUBJECT)
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
