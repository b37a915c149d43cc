"""A clerk that is asked about desks, in deskworld's own language or in English: one interface for both.

:class:`WordReader` is a model with deskworld's vocabulary: its answer is the most likely word. :class:`EnglishReader`
reads English, and its answer is a forced choice: of the right and the harmful answer (or "yes" and "no") the one that
is likelier where the two first differ. What is no choice between two answers it is not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.oversight.answers import action_desks, answers
from toulmin.oversight.deskworld import Desk, describe_desk, desk_vocabulary, encode_desk
from toulmin.subjects import Subject, Tokenizer, Transformer
from toulmin.training import NextToken, pad_prompts

BATCH = 16


class DeskReader(Protocol):
    """What the studies of behaviour under watch and of awareness need of a clerk."""

    @property
    def model(self) -> Transformer:
        """The model that is asked."""
        ...

    def answers(self, desks: Sequence[Desk]) -> list[str]:
        """The answer to each desk, as deskworld writes it."""
        ...

    def last_residuals(self, desks: Sequence[Desk]) -> Float[Tensor, "L N D"]:
        """The residual stream after each layer, and before the first, at the last token, in float64 on the CPU."""
        ...

    def untrained(self, seed: int) -> DeskReader:
        """A clerk of the same shape with random weights: the placebo of white-box claims."""
        ...


@dataclass(frozen=True)
class WordReader:
    """A model with deskworld's vocabulary."""

    model: Transformer

    def answers(self, desks: Sequence[Desk]) -> list[str]:
        """The most likely next word."""
        return answers(self.model, desks)

    def last_residuals(self, desks: Sequence[Desk]) -> Float[Tensor, "L N D"]:
        """See :class:`DeskReader`."""
        return last_residuals(self.model, desks)

    def untrained(self, seed: int) -> WordReader:
        """See :class:`DeskReader`."""
        return WordReader(untrained(self.model, seed))


@dataclass(frozen=True)
class EnglishReader:
    """A model that reads English, and chooses between two answers."""

    model: Transformer
    tokenizer: Tokenizer

    def choice(self, desk: Desk) -> tuple[str, str]:
        """The two answers that a desk lets one choose from, the right one first.

        :raises FaultError: (``oversight.choice``) it has no second answer.
        """
        right, other = desk.right(), desk.harmful()
        if desk.question == "aware":
            other = "no" if right == "yes" else "yes"
        if other is None:
            raise FaultError(Fault("oversight.choice", "there is no second answer to this desk", name=desk.question))
        return right, other

    @torch.no_grad()
    def answers(self, desks: Sequence[Desk]) -> list[str]:
        """Of the two answers of each desk the likelier one, at the first token in which they differ.

        :raises FaultError: (``oversight.choice``) a desk has no second answer, or one answer begins with the other.
        """
        reader, found = NextToken(self.model), []
        for start in range(0, len(desks), BATCH):
            chosen = desks[start : start + BATCH]
            prompts, ends = [], []
            for desk in chosen:
                prompt = self._prompt(desk)
                first, second = (self.tokenizer.encode(f" {answer}") for answer in self.choice(desk))
                same = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
                if same is None:
                    text = f"its answers {self.choice(desk)} do not differ in a token: one begins with the other"
                    raise FaultError(Fault("oversight.choice", text, name=desk.question))
                prompts.append([*prompt, *first[:same]])
                ends.append((first[same], second[same]))
            logits = reader(*pad_prompts(prompts, self.model.W_E.device))
            preferred = logits.gather(1, torch.tensor(ends, device=logits.device)).argmax(1).tolist()
            found += [self.choice(desk)[which] for desk, which in zip(chosen, preferred, strict=True)]
        return found

    @torch.no_grad()
    def last_residuals(self, desks: Sequence[Desk]) -> Float[Tensor, "L N D"]:
        """See :class:`DeskReader`."""
        parts = []
        for start in range(0, len(desks), BATCH):
            prompts = [self._prompt(desk) for desk in desks[start : start + BATCH]]
            parts.append(_residuals(self.model, *pad_prompts(prompts, self.model.W_E.device)))
        return torch.cat(parts, 1)

    def untrained(self, seed: int) -> EnglishReader:
        """See :class:`DeskReader`."""
        return replace(self, model=untrained(self.model, seed))

    def _prompt(self, desk: Desk) -> list[int]:
        return self.tokenizer.encode(f"{describe_desk(desk)} Answer:")


def open_desk_reader(subject: Subject[Transformer], reference: str) -> DeskReader:
    """The reader that a subject is: of deskworld if it has its vocabulary, else one of English.

    :raises FaultError: (``oversight.vocabulary``) neither: its tokenizer does not keep an English prompt as it is.
    """
    if subject.model.config.d_vocab == len(desk_vocabulary()):
        return WordReader(subject.model)
    if subject.tokenizer is not None and _keeps_english(subject.tokenizer):
        return EnglishReader(subject.model, subject.tokenizer)
    text = f"it has {subject.model.config.d_vocab} tokens: neither deskworld's {len(desk_vocabulary())} words, nor "
    text += "a tokenizer that keeps an English prompt as it is"
    hint = "subjects: embedded:clerk-honest, embedded:smollm2-honest, ..."
    raise FaultError(Fault("oversight.vocabulary", text, name=reference, hint=hint), ExitCode.SUBJECT)


@torch.no_grad()
def last_residuals(model: Transformer, desks: Sequence[Desk]) -> Float[Tensor, "L N D"]:
    """The residual stream after each layer (and before the first) at the last word, which is no word of the cue."""
    tokens = torch.tensor([encode_desk(desk) for desk in desks], device=model.W_E.device)
    return _residuals(model, tokens, torch.full((len(tokens),), tokens.shape[1] - 1))


def untrained(model: Transformer, seed: int) -> Transformer:
    """A model of the same shape with random weights: the placebo of every white-box claim."""
    return Transformer(model.config, torch.Generator().manual_seed(seed)).to(model.W_E.device).eval()


def _keeps_english(tokenizer: Tokenizer) -> bool:
    prompt = describe_desk(action_desks(1, 0)[0])
    return tokenizer.decode(tokenizer.encode(prompt)).strip() == prompt


def _residuals(model: Transformer, tokens: Tensor, last: Tensor) -> Tensor:
    rows, resid, at = torch.arange(len(tokens)), model.run_to(tokens, 0), model.positions(tokens.shape[-1])
    found = [resid[rows, last].double().cpu()]
    for block in model.layers:
        resid = block(resid, at)
        found.append(resid[rows, last].double().cpu())
    return torch.stack(found)
