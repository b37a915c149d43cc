"""Pairs from prompts as text: templates with named spans, answers with the space that belongs in front of them.

A template such as ``"The capital of {country} is the city of"`` is filled twice, for the clean and the counterfactual
prompt. Each field becomes a named position, that of its last token (``{country}`` is the position ``country``), which
hypotheses can use (``L0.H0@country``). A tokenizer may split the two prompts, or a span of them, into different numbers
of tokens, so that positions do not correspond: such a pair is refused, or left out and counted.

An answer is tokenised as the continuation of its prompt: ids(prompt + answer) without the ids of the prompt. A word
gets a space in front of it unless the prompt ends in one, in a bracket, a quotation mark or (digits after digits) in
the number that the answer continues; an answer that begins with a space or a punctuation mark is taken as it is.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from toulmin.faults import Fault, FaultError
from toulmin.tasks.pair import Pair

_OPEN = "([{'\"“‘/-_$#@"


class TextTokenizer(Protocol):
    """What prompts as text need: ``toulmin.subjects.Tokenizer`` has it."""

    bos: int | None

    def encode(self, text: str) -> list[int]:
        """Token ids of a text."""
        ...

    def __len__(self) -> int:
        """The number of ids."""
        ...


def start_of_text(tokenizer: TextTokenizer, bos: bool | None = None) -> tuple[int, ...]:
    """The ids in front of a prompt: with ``bos`` the tokenizer's first token, with None only where it adds one itself.

    Llama and Gemma were trained with a token in front of every text, GPT-2 and SmolLM2 without.

    :raises FaultError: ``tasks.needs_tokenizer``: no tokenizer, or ``bos`` is asked for and it has none.
    """
    if tokenizer is None or not hasattr(tokenizer, "encode"):
        raise FaultError(Fault("tasks.needs_tokenizer", "the task is text, and the subject has no tokenizer"))
    if bos and tokenizer.bos is None:
        raise FaultError(Fault("tasks.needs_tokenizer", "bos was asked for, and the tokenizer has none"))
    wanted = bool(getattr(tokenizer, "adds_bos", False)) if bos is None else bos
    return (tokenizer.bos,) if wanted and tokenizer.bos is not None else ()


def continuation(tokenizer: TextTokenizer, prompt: str, answer: str) -> tuple[int, ...]:
    """The ids of ``answer`` where it continues ``prompt``, with the space that belongs between them.

    :raises FaultError: ``tasks.answer``: nothing is left of the answer, or its first letters join the prompt's last
        token, so that the answer has no token of its own.
    """
    spaced = answer if _joins(prompt, answer) else f" {answer}"
    before, whole = tokenizer.encode(prompt), tokenizer.encode(prompt + spaced)
    if whole[: len(before)] != before or len(whole) == len(before):
        text = "the tokenizer joins it to the last token of the prompt" if answer else "the answer is empty"
        raise FaultError(Fault("tasks.answer", text, name=answer or None, hint="end the prompt at a word's end"))
    return tuple(whole[len(before) :])


def _joins(prompt: str, answer: str) -> bool:
    """Whether the answer stands directly after the prompt, without a space."""
    if not answer or not prompt or answer[0].isspace() or prompt[-1].isspace() or prompt[-1] in _OPEN:
        return True
    return not answer[0].isalnum() or (answer[0].isdigit() and prompt[-1].isdigit())


@dataclass(frozen=True)
class SplitAlike:
    """The pairs that a tokenizer splits alike, and why each other one was left out."""

    pairs: tuple[Pair, ...]
    lost: tuple[str, ...]

    def __str__(self) -> str:
        return f"{len(self.pairs)} pairs, {len(self.lost)} left out"


def text_pair(
    tokenizer: TextTokenizer,
    template: str,
    clean: Mapping[str, str],
    counterfactual: Mapping[str, str],
    answers: str | Sequence[str],
    wrong: str | Sequence[str] = (),
    *,
    bos: bool | None = None,
    unit: str = "",
) -> Pair:
    """One pair from a template with named spans.

    An answer of several tokens is scored as a whole, by the log-probability of all its tokens; then it is the only one.

    :param clean: the text of each span, by name; ``counterfactual`` likewise (spans that it leaves out are the clean
        ones).
    :param answers: what is right after the clean prompt; ``wrong`` what competes with it.
    :param bos: see :func:`start_of_text`.
    :param unit: default the clean text.
    :raises FaultError: ``tasks.template``: a span without text or an unknown one; ``tasks.left_out``: the
        tokenizer splits the prompts or a span into different numbers of tokens; ``tasks.answer``.
    """
    start = start_of_text(tokenizer, bos)
    other = {**clean, **counterfactual}
    _check_fields(template, clean, other)
    text, ids, ends = _fill(tokenizer, template, clean)
    _, other_ids, other_ends = _fill(tokenizer, template, other)
    if len(ids) != len(other_ids) or ends != other_ends:
        differing = [name for name in ends if _width(ends, name) != _width(other_ends, name)] or list(ends)
        said = ", ".join(f"{{{name}}}: {clean[name]!r} and {other[name]!r}" for name in differing[:3])
        message = f"the tokenizer splits the prompts differently ({len(ids)} and {len(other_ids)} tokens): {said}"
        raise FaultError(Fault("tasks.left_out", message, name=unit or text))
    right = [continuation(tokenizer, text, a) for a in ([answers] if isinstance(answers, str) else answers)]
    other_right = [continuation(tokenizer, text, a) for a in ([wrong] if isinstance(wrong, str) else wrong)]
    positions = {name: len(start) + end for name, end in ends.items()}
    fields: dict[str, Any] = {"positions": positions, "unit": unit or text, "text": text, "template": template}
    return pair_of_ids((*start, *ids), (*start, *other_ids), right, other_right, **fields)


def pair_of_ids(
    clean: Sequence[int],
    counterfactual: Sequence[int],
    answers: Sequence[Sequence[int]],
    wrong: Sequence[Sequence[int]],
    **fields: Any,
) -> Pair:
    """A pair from answers that may have several tokens.

    Single tokens are alternatives. One answer of k > 1 tokens is scored as a whole: its first k - 1 tokens are put
    after both prompts, and the k positions from the prompt's last on predict it.

    :raises FaultError: ``tasks.answer``: several answers of which one has several tokens, or a wrong one that has.
    """
    long = [a for a in (*answers, *wrong) if len(a) > 1]
    if not long:
        first = tuple(a[0] for a in answers), tuple(a[0] for a in wrong)
        return Pair(tuple(clean), tuple(counterfactual), *first, **fields)
    if len(answers) > 1 or wrong:
        message = f"{len(long)} of {len(answers) + len(wrong)} answers have several tokens"
        hint = "an answer of several tokens is scored as a whole: give it alone, without wrong answers"
        raise FaultError(Fault("tasks.answer", message, name=fields.get("unit") or None, hint=hint))
    (answer,) = answers
    ended = (*clean, *answer[:-1]), (*counterfactual, *answer[:-1])
    return Pair(*ended, answers=(answer[0],), whole=tuple(answer), at=len(clean) - 1, **fields)


def split_alike(tokenizer: TextTokenizer, rows: Iterable[Mapping[str, Any]]) -> SplitAlike:
    """The pairs of ``rows``, each the arguments of :func:`text_pair` after the tokenizer, that the tokenizer splits
    alike.

    A row that it splits differently is left out and told in ``lost``; any other fault is raised.

    :raises FaultError: every fault of the rows but ``tasks.left_out``; ``tasks.empty``: nothing is left.
    """
    pairs: list[Pair] = []
    lost: list[str] = []
    faults: list[Fault] = []
    for row in rows:
        try:
            pairs.append(text_pair(tokenizer, **row))
        except FaultError as error:
            if {fault.code for fault in error.faults} == {"tasks.left_out"}:
                lost += [fault.message for fault in error.faults]
            else:
                faults += error.faults
    if not pairs and not faults:
        said = lost[0] if lost else "there are no rows"
        faults.append(Fault("tasks.empty", f"no pair is left: {said}"))
    if faults:
        raise FaultError(faults)
    return SplitAlike(tuple(pairs), tuple(lost))


def split_alike_faults(text: str, clean: Sequence[int], counterfactual: Sequence[int]) -> None:
    """Refuse two prompts of different numbers of tokens.

    :raises FaultError: ``tasks.left_out``.
    """
    if len(clean) != len(counterfactual):
        message = f"the tokenizer splits the prompts differently ({len(clean)} and {len(counterfactual)} tokens)"
        raise FaultError(Fault("tasks.left_out", message, name=text))


def _fields_of(template: str) -> list[str]:
    try:
        return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise FaultError(Fault("tasks.template", str(error), name=template)) from None


def _check_fields(template: str, clean: Mapping[str, str], other: Mapping[str, str]) -> None:
    names = _fields_of(template)
    faults = [Fault("tasks.template", "the span has no text", name=name) for name in names if name not in clean]
    unknown = sorted((clean.keys() | other.keys()) - set(names))
    hint = f"spans of the template: {', '.join(names) or 'none'}"
    faults += [Fault("tasks.template", "the template has no such span", name=name, hint=hint) for name in unknown]
    repeated = sorted({name for name in names if names.count(name) > 1})
    faults += [Fault("tasks.template", "two spans have this name", name=name) for name in repeated]
    empty = sorted(name for name, text in (*clean.items(), *other.items()) if not text.strip())
    faults += [Fault("tasks.template", "the span's text is empty", name=name) for name in empty]
    if faults:
        raise FaultError(faults)


def _fill(tokenizer: TextTokenizer, template: str, values: Mapping[str, str]) -> tuple[str, list[int], dict[str, int]]:
    """The text, its ids, and the position of the last token of each span."""
    text, ends = "", dict[str, str]()
    for literal, name, _, _ in string.Formatter().parse(template):
        text += literal
        if name is not None:
            text += values[name]
            ends[name] = text
    return text, tokenizer.encode(text), {name: len(tokenizer.encode(upto)) - 1 for name, upto in ends.items()}


def _width(ends: Mapping[str, int], name: str) -> int:
    names = list(ends)
    place = names.index(name)
    return ends[name] - (ends[names[place - 1]] if place else 0)
