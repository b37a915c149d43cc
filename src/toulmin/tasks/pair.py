"""Pairs of prompts, and tasks that make them. Plain integers: nothing here imports torch.

A :class:`Pair` is one clean prompt and one counterfactual prompt of the same length, so that position i of one stands
for position i of the other; the tokens that would be right and wrong at the scored position of the *clean* prompt; the
positions that have a name; and the unit, the independent thing that intervals resample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from toulmin.evidence import join_groups
from toulmin.faults import Fault, FaultError


@dataclass(frozen=True)
class Pair:
    """One clean and one counterfactual prompt.

    ``answers``: token ids that are right after position ``at`` of ``clean``; ``wrong``: ids that compete with them
    (often right for ``counterfactual``). ``at``: the scored position, -1 for the last. ``positions``: name to index,
    counted from 0, the same in both prompts. ``unit``: the id of the independent unit; pairs that share it are one
    draw. ``text``: the clean prompt for people to read. ``template``: what the prompt was made from: prompts of one
    template are alike, and intervals resample templates (:func:`cluster_labels`). ``whole``: the tokens of an answer
    that is scored as a whole, all but the last of which end both prompts; ``at`` is then the position that predicts its
    first token.

    :raises FaultError: every fault of the pair: unequal lengths, no answer, an id that is right and wrong, a position
        outside the prompt.
    """

    clean: tuple[int, ...]
    counterfactual: tuple[int, ...]
    answers: tuple[int, ...]
    wrong: tuple[int, ...] = ()
    positions: Mapping[str, int] = field(default_factory=dict, hash=False)
    unit: str = ""
    at: int = -1
    text: str = ""
    template: str = ""
    whole: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("clean", "counterfactual", "answers", "wrong", "whole"):
            object.__setattr__(self, name, tuple(int(token) for token in getattr(self, name)))
        object.__setattr__(self, "positions", MappingProxyType(dict(self.positions)))
        faults = list(self._faults())
        if faults:
            raise FaultError(faults)

    def __reduce__(self) -> tuple[object, ...]:  # a mapping proxy does not cross process pools
        return (
            Pair,
            (
                self.clean,
                self.counterfactual,
                self.answers,
                self.wrong,
                dict(self.positions),
                self.unit,
                self.at,
                self.text,
                self.template,
                self.whole,
            ),
        )

    def _faults(self) -> Iterable[Fault]:
        unit = self.unit or None
        if not self.clean:
            yield Fault("tasks.empty", "the clean prompt is empty", name=unit)
        if len(self.clean) != len(self.counterfactual):
            text = f"clean has {len(self.clean)} tokens, counterfactual {len(self.counterfactual)}"
            yield Fault("tasks.unequal_lengths", text, name=unit, hint="positions must correspond")
        if not self.answers:
            yield Fault("tasks.no_answer", "there is no answer token", name=unit)
        both = sorted(set(self.answers) & set(self.wrong))
        if both:
            yield Fault("tasks.answer_is_wrong", f"tokens {both} are both right and wrong", name=unit)
        for name in ("clean", "counterfactual", "answers", "wrong"):
            if any(token < 0 for token in getattr(self, name)):
                yield Fault("tasks.negative_token", f"{name} has a negative token id", name=unit)
        if self.clean and not -len(self.clean) <= self.at < len(self.clean):
            yield Fault("tasks.position", f"scored position {self.at} is outside the prompt", name=unit)
        for name, index in self.positions.items():
            if not 0 <= index < len(self.clean):
                yield Fault("tasks.position", f"position {name} = {index} is outside the prompt", name=unit)

        if self.whole:
            yield from self._faults_of_whole(unit)

    def _faults_of_whole(self, unit: str | None) -> Iterable[Fault]:
        ending, start = self.whole[:-1], len(self.clean) - len(self.whole) + 1
        if self.answers != self.whole[:1] or self.wrong:
            text = "an answer that is scored as a whole is the only one, and answers its first token"
            yield Fault("tasks.whole_answer", text, name=unit)
        if start < 1 or self.scored != start - 1:
            text = (
                f"the answer has {len(self.whole)} tokens, and the scored position {self.at} does not predict the first"
            )
            yield Fault("tasks.whole_answer", text, name=unit)
        if any(prompt[max(start, 0) :] != ending for prompt in (self.clean, self.counterfactual)):
            yield Fault("tasks.whole_answer", "both prompts must end with the answer but its last token", name=unit)

    @property
    def length(self) -> int:
        """Number of tokens of each prompt."""
        return len(self.clean)

    @property
    def scored(self) -> int:
        """The scored position, counted from 0."""
        return self.at % len(self.clean)


Generator = Callable[[int, int, str], Sequence[Pair]]


@dataclass(frozen=True)
class Task:
    """A named generator of pairs.

    ``generate(n, seed, split)`` gives n pairs; the same arguments give the same pairs, and a larger n the same first
    ones. ``splits`` are the parts the data fall into (held-out names and templates are in another split than those a
    model was trained on); the first is the default. ``vocabulary`` is the number of token ids, where known. ``notes()``
    says what a reader of a result must know of the prompts, such as how many words a tokenizer lost.
    """

    name: str
    make: Generator
    splits: tuple[str, ...] = ("test",)
    description: str = ""
    vocabulary: int | None = None
    notes: Callable[[], tuple[str, ...]] = tuple

    def generate(self, n: int, seed: int, split: str | None = None) -> tuple[Pair, ...]:
        """``n`` pairs of ``split`` from ``seed``.

        :raises FaultError: an unknown split, or n < 1.
        """
        split = self.splits[0] if split is None else split
        faults = []
        if split not in self.splits:
            text = f"task {self.name} has no split {split!r}"
            faults.append(Fault("tasks.unknown_split", text, name=split, hint=f"one of {', '.join(self.splits)}"))
        if n < 1:
            faults.append(Fault("tasks.count", f"{n} pairs were asked for", name=self.name))
        if faults:
            raise FaultError(faults)
        pairs = tuple(self.make(n, seed, split))
        if len(pairs) != n:
            text = f"made {len(pairs)} of {n} pairs"
            raise FaultError(Fault("tasks.count", text, name=self.name, hint="the task has too few distinct prompts"))
        return pairs


MIN_TEMPLATES = 10  #: below so many templates there is no interval over them, as over any other cluster


def cluster_labels(pairs: Sequence[Pair]) -> list[str]:
    """What intervals resample, for each pair: its template where there are at least ten of them, else its unit.

    Prompts of one template are not independent, so an interval over prompts speaks only of new prompts of the same
    templates. Of a few templates no bootstrap says more; then the unit is resampled (:func:`template_notes` says so).
    """
    units = [pair.unit or f"pair-{index}" for index, pair in enumerate(pairs)]
    templates = {pair.template for pair in pairs}
    if "" in templates or len(templates) < MIN_TEMPLATES:
        return units
    return join_groups([pair.template for pair in pairs], units)


def clusters_of(units: Sequence[str], pairs: Sequence[Pair]) -> list[str] | None:
    """The label that each unit of ``pairs`` is resampled with (:func:`cluster_labels`); None where it is the unit."""
    own = [pair.unit or f"pair-{index}" for index, pair in enumerate(pairs)]
    if (labels := cluster_labels(pairs)) == own:
        return None
    found = dict(zip(own, labels, strict=True))
    clusters = [found[unit] for unit in units]
    return None if clusters == list(units) else clusters


def resampled_unit(pairs: Sequence[Pair]) -> str:
    """What intervals over ``pairs`` resample, in a word: ``templates`` or ``prompts``."""
    own = [pair.unit or f"pair-{index}" for index, pair in enumerate(pairs)]
    return "prompts" if cluster_labels(pairs) == own else "templates"


def template_notes(pairs: Sequence[Pair]) -> list[str]:
    """One sentence on how many templates there are and whether intervals resample them; none without templates."""
    count = len({pair.template for pair in pairs if pair.template})
    if count < 2:
        return []
    if len(set(cluster_labels(pairs))) <= count and count >= MIN_TEMPLATES:
        return [f"the {len(pairs)} prompts are made from {count} templates: intervals resample templates"]
    return [f"the {len(pairs)} prompts are made from {count} templates, and intervals speak of prompts of these only"]
