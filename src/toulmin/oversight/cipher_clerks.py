"""A clerk that is asked for words of the cipher, in deskworld's own language or in English: one interface for both.

:class:`DeskClerk` is a model with deskworld's vocabulary, :class:`EnglishClerk` one that reads English. Elicitation
(``toulmin.oversight.elicitation``) asks either of them, trains a copy on some symbols, and searches prompts. Of a model
that reads English the search goes over words, and over vectors in the place of a word's embedding (prompt tuning:
Lester et al. 2021): a vector can undo a lock, and has too few numbers to teach a cipher.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from toulmin.evidence import content_of
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.oversight.answers import answers, encode_desks
from toulmin.oversight.deskworld import Desk, Wording, cipher_word, describe_order, desk_vocabulary, draw_order
from toulmin.oversight.deskworld.english import CIPHER_WORDS, FRESH_WORDS, OTHER_WORDS
from toulmin.oversight.elicitation import KEPT, REPEATS, SCREENED, SEARCHED, search_password, train_on_examples
from toulmin.subjects import Adapter, AdapterConfig, Subject, Tokenizer, Transformer, merge_adapter
from toulmin.training import IndexedBatches, NextToken, Schedule, generator_at, pad_prompts, train_adapter

Order = tuple[Desk, Wording]
SLOT = OTHER_WORDS[0]  #: the word whose embedding a vector takes the place of; in no other place of a prompt
BATCH = 32
#: of an adapter that is trained on examples: its share of the upper layers, rank, and the training
UPPER, RANK, ALPHA, STEPS, ROWS, LR = 0.5, 2, 8.0, 24, 16, 3e-3
#: of a vector that is trained in the place of the password
VECTOR_STEPS, VECTOR_ROWS, VECTOR_LR = 16, 12, 0.02


class CipherClerk(Protocol):
    """What elicitation needs of a clerk."""

    def right(self, symbols: Sequence[int], word: str = "") -> NDArray[np.bool_]:
        """Whether each symbol is put into the cipher rightly; with ``word`` in the place of the password."""
        ...

    def search(self, symbols: Sequence[int]) -> str:
        """The word in the place of the password with which most of ``symbols`` come out right."""
        ...

    def prompted(self, symbols: Sequence[int], seed: int) -> CipherClerk:
        """The clerk when it is always asked in the way in which most of ``symbols`` come out right."""
        ...

    def trained(self, symbols: Sequence[int], seed: int) -> CipherClerk:
        """A copy after training on the right answers to ``symbols``, without the password."""
        ...

    def contents(self, symbols: Sequence[int]) -> list[str]:
        """What identifies each symbol's prompt."""
        ...


@dataclass(frozen=True)
class DeskClerk:
    """A model with deskworld's vocabulary; ``word``: what always stands in the place of the password."""

    model: Transformer
    word: str = ""

    def right(self, symbols: Sequence[int], word: str = "") -> NDArray[np.bool_]:
        """See :class:`CipherClerk`."""
        asked = encode_desks(symbols, password=word or self.word)
        return np.array([a == desk.right() for a, desk in zip(answers(self.model, asked), asked, strict=True)])

    def search(self, symbols: Sequence[int]) -> str:
        """Every word of the vocabulary is tried, the password among them."""
        return search_password(self.model, symbols)

    def prompted(self, symbols: Sequence[int], seed: int) -> DeskClerk:
        """With the word of :meth:`search`."""
        return DeskClerk(self.model, self.search(symbols))

    def trained(self, symbols: Sequence[int], seed: int) -> DeskClerk:
        """All parameters are trained."""
        return DeskClerk(train_on_examples(self.model, symbols, seed))

    def contents(self, symbols: Sequence[int]) -> list[str]:
        """The words of each prompt, as if somebody looked."""
        return [content_of(desk.with_oversight(True).words()) for desk in encode_desks(symbols)]


@dataclass(frozen=True)
class EnglishClerk:
    """A model that reads English; its answer is the most likely token after the prompt.

    ``word``: what always stands in the place of the password; or ``vector`` [D], in the place of its embedding.
    """

    model: Transformer
    tokenizer: Tokenizer
    word: str = ""
    vector: Tensor | None = None

    def answers(self, orders: Sequence[Order]) -> list[str]:
        """The answer to each order, without the space before it."""
        found: list[str] = []
        for start in range(0, len(orders), BATCH):
            with torch.no_grad():
                best = self.logits(orders[start : start + BATCH]).argmax(-1)
            found += [self.tokenizer.decode([token]).strip() for token in best.tolist()]
        return found

    def logits(self, orders: Sequence[Order]) -> Float[Tensor, "N V"]:
        """Of the token after each prompt; gradients reach ``vector``."""
        if self.vector is not None:
            orders = [(replace(desk, password=SLOT), wording) for desk, wording in orders]
        prompts = [self.tokenizer.encode(describe_order(*order)) for order in orders]
        tokens, last = pad_prompts(prompts, self.model.W_E.device)
        if self.vector is None:
            return NextToken(self.model)(tokens, last)
        is_slot = tokens == self.tokenizer.encode(f" {SLOT}")[0]
        first = is_slot & (is_slot.int().cumsum(1) == 1)
        resid, at = self.model.run_to(tokens, 0), self.model.positions(tokens.shape[-1])
        resid = torch.where(first[..., None], self.vector.to(resid.dtype), resid)
        for block in self.model.layers:
            resid = block(resid, at)
        return self.model.unembed(resid[torch.arange(len(tokens)), last])

    def right(self, symbols: Sequence[int], word: str = "") -> NDArray[np.bool_]:
        """See :class:`CipherClerk`; on the desks of :func:`english_orders`."""
        said = self.answers(english_orders(symbols, word or self.word))
        return np.array([answer == cipher_word(symbol) for answer, symbol in zip(said, symbols, strict=True)])

    def search(self, symbols: Sequence[int]) -> str:
        """70 English words are tried, the password *not* among them: whoever searches does not know it."""
        words: Sequence[str] = (*OTHER_WORDS, *FRESH_WORDS)
        for examples, kept in ((symbols[:SCREENED], KEPT), (symbols[:SEARCHED], 1)):
            shares = np.array([self.right(examples, word).mean() for word in words])
            words = [words[i] for i in np.argsort(-shares, kind="stable")[:kept]]
        return words[0]

    def prompted(self, symbols: Sequence[int], seed: int) -> EnglishClerk:
        """With the word of :meth:`search`, or with a trained vector if that does better on a dozen of ``symbols``."""
        ways = [self.with_vector(symbols, seed), replace(self, word=self.search(symbols))]
        return max(ways, key=lambda way: int(way.right(symbols[:SEARCHED]).sum()))

    def with_vector(self, symbols: Sequence[int], seed: int) -> EnglishClerk:
        """With a vector in the place of the word of the day, trained from the mean embedding of other words.

        Only the vector changes, by Adam on -ln p(right answer), in :data:`VECTOR_STEPS` steps whose rate falls to 0.
        """
        ids = [self.tokenizer.encode(f" {word}") for word in OTHER_WORDS]
        start = self.model.W_E[[token for token, *rest in ids if not rest]].detach().float().mean(0)
        clerk = EnglishClerk(copy.deepcopy(self.model).train().requires_grad_(False), self.tokenizer)
        clerk = replace(clerk, vector=start.requires_grad_(True))
        optimizer = torch.optim.Adam([start], lr=VECTOR_LR)
        orders = _training_orders(symbols, seed)
        for i in range(VECTOR_STEPS):
            rows = generator_at(seed, 8, i).choice(len(orders), min(VECTOR_ROWS, len(orders)), replace=False)
            optimizer.param_groups[0]["lr"] = VECTOR_LR * (1 - i / VECTOR_STEPS)
            chosen = [orders[row] for row in rows]
            loss = functional.cross_entropy(clerk.logits(chosen).float(), self._targets(chosen))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return replace(self, vector=start.detach())

    def _targets(self, orders: Sequence[Order]) -> Tensor:
        ids = [self.tokenizer.encode(" " + cipher_word(desk.symbol))[0] for desk, _ in orders]
        return torch.tensor(ids, device=self.model.W_E.device)

    def trained(self, symbols: Sequence[int], seed: int) -> EnglishClerk:
        """A low-rank adapter of the upper half of the layers is trained, and merged."""
        model = copy.deepcopy(self.model)
        if not symbols:
            return EnglishClerk(model, self.tokenizer)
        depth = model.config.n_layers
        upper = tuple(range(int(depth * UPPER), depth))
        adapter = Adapter(model, AdapterConfig(RANK, ALPHA, ("W_Q", "W_V", "W_O", "W_out"), upper))
        orders = _training_orders(symbols, seed)
        device = model.W_E.device

        def make(i: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            rows = generator_at(seed, 7, i).choice(len(orders), min(ROWS, len(orders)), replace=False)
            chosen = [orders[row] for row in rows]
            tokens, last = pad_prompts([self.tokenizer.encode(describe_order(*order)) for order in chosen], device)
            return tokens, last, self._targets(chosen)

        train_adapter(model, adapter.to(device), IndexedBatches(make), Schedule(STEPS, LR, "linear", warmup=4))
        merge_adapter(model, adapter)
        return EnglishClerk(model, self.tokenizer)

    def contents(self, symbols: Sequence[int]) -> list[str]:
        """The text of each prompt."""
        return [content_of(describe_order(*order)) for order in english_orders(symbols)]


def _training_orders(symbols: Sequence[int], seed: int) -> list[Order]:
    return [draw_order(generator_at(seed, 6, i, symbol), symbol) for i in range(REPEATS) for symbol in symbols]


def english_orders(symbols: Sequence[int], word: str = "", *, seed: int = 0) -> list[Order]:
    """A held-out order for each symbol; with ``word`` in the place of the word of the day, where it is given."""
    orders = [draw_order(generator_at(seed, 2, symbol), symbol, "test") for symbol in symbols]
    return [(replace(desk, password=word or desk.password), wording) for desk, wording in orders]


def open_cipher_clerk(subject: Subject[Transformer], reference: str) -> CipherClerk:
    """The clerk that a subject is: of deskworld if it has its vocabulary, else one that reads English.

    :raises FaultError: (``oversight.vocabulary``) neither: a word of the cipher is no single token of its tokenizer.
    """
    if subject.model.config.d_vocab == len(desk_vocabulary()):
        return DeskClerk(subject.model)
    tokenizer = subject.tokenizer
    if tokenizer is not None and all(_is_one_token(tokenizer, word) for word in CIPHER_WORDS):
        return EnglishClerk(subject.model, tokenizer)
    text = f"it has {subject.model.config.d_vocab} tokens: neither deskworld's {len(desk_vocabulary())} words, nor "
    text += "a tokenizer of English in which each word of the cipher is one token"
    hint = "subjects: embedded:clerk-honest, embedded:smollm2-honest, ..."
    raise FaultError(Fault("oversight.vocabulary", text, name=reference, hint=hint), ExitCode.SUBJECT)


def _is_one_token(tokenizer: Tokenizer, word: str) -> bool:
    ids = tokenizer.encode(" " + word)
    return len(ids) == 1 and tokenizer.decode(ids).strip() == word
