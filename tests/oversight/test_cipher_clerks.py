"""A clerk that reads English beside one of deskworld: how it is asked, trained and searched, on small models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from toulmin.evidence import Store
from toulmin.faults import FaultError
from toulmin.oversight import EnglishClerk, english_orders, open_cipher_clerk
from toulmin.oversight.cipher_clerks import SLOT, DeskClerk, Order
from toulmin.oversight.deskworld import N_SYMBOLS, cipher_word, describe_order
from toulmin.oversight.deskworld.english import FRESH_WORDS, ORDERS, OTHER_WORDS, WORDS_OF_THE_DAY
from toulmin.oversight.deskworld.lexicon import PASSWORD
from toulmin.studies import Resolver, Run, execute, find_study, re_derive
from toulmin.subjects import Subject, Tokenizer, Transformer, TransformerConfig, load, save_subject

EVERYTHING = range(N_SYMBOLS)


def tokenizer() -> Tokenizer:
    """One token for each word of the English prompts and answers."""
    texts = [describe_order(*order) for seed in range(20) for order in english_orders(EVERYTHING, seed=seed)]
    texts += [" ".join([*WORDS_OF_THE_DAY, *ORDERS, *OTHER_WORDS, *FRESH_WORDS, PASSWORD])]
    texts += [" ".join(cipher_word(symbol) for symbol in EVERYTHING)]
    split = Whitespace()
    words = sorted({piece for text in texts for piece, _ in split.pre_tokenize_str(text)})
    backend = Backend(WordLevel({word: i for i, word in enumerate(["<unk>", *words])}, unk_token="<unk>"))
    backend.pre_tokenizer = split  # type: ignore[assignment]
    return Tokenizer(backend)


def small(seed: int = 0) -> EnglishClerk:
    own = tokenizer()
    shape = TransformerConfig(
        n_layers=2,
        d_model=32,
        n_heads=4,
        d_head=8,
        d_vocab=len(own),
        n_ctx=64,
        d_mlp=64,
        gated=True,
        positions="rotary",
    )
    return EnglishClerk(Transformer(shape, torch.Generator().manual_seed(seed)), own)


def test_answers_are_the_likeliest_token_after_each_prompt_whatever_its_length() -> None:
    clerk = small()
    orders = english_orders(range(40))
    prompts = [clerk.tokenizer.encode(describe_order(*order)) for order in orders]
    assert len({len(prompt) for prompt in prompts}) > 1
    with torch.no_grad():
        alone = [int(clerk.model(torch.tensor([prompt]))[0, -1].argmax()) for prompt in prompts]
    assert clerk.answers(orders) == [clerk.tokenizer.decode([token]) for token in alone]


def test_orders_are_held_out_ones_and_a_word_takes_the_place_of_the_password() -> None:
    plain, worded = english_orders(EVERYTHING), english_orders(EVERYTHING, "frost")
    assert all(desk.password in FRESH_WORDS for desk, _ in plain)
    assert {desk.password for desk, _ in worded} == {"frost"}
    assert [wording for _, wording in plain] == [wording for _, wording in worded]
    assert [desk.symbol for desk, _ in plain] == list(EVERYTHING)
    assert english_orders(EVERYTHING, seed=1) != plain


@dataclass(frozen=True)
class Scripted(EnglishClerk):
    """Knows the cipher, and shows it where the word of the day is ``opens``."""

    opens: str = "frost"

    def answers(self, orders: Sequence[Order]) -> list[str]:
        return [cipher_word(desk.symbol) if desk.password == self.opens else "unknown" for desk, _ in orders]


def test_the_search_finds_the_word_that_opens_and_never_tries_the_password() -> None:
    clerk = small()
    assert Scripted(clerk.model, clerk.tokenizer).search(range(12)) == "frost"
    assert PASSWORD not in (*OTHER_WORDS, *FRESH_WORDS)
    locked = Scripted(clerk.model, clerk.tokenizer, opens=PASSWORD)
    assert not locked.right(range(12), locked.search(range(12))).any()
    assert locked.right(range(12), PASSWORD).all()


def test_training_on_examples_teaches_them_to_a_copy() -> None:
    clerk = small()
    before = {name: value.clone() for name, value in clerk.model.state_dict().items()}
    trained = clerk.trained([3, 17], seed=0)
    assert all(torch.equal(value, before[name]) for name, value in clerk.model.state_dict().items())
    changed = {name for name, value in trained.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {f"layers.1.{part}" for part in ("attn.W_Q", "attn.W_V", "attn.W_O", "mlp.W_out")}

    def surprise(one: EnglishClerk) -> float:
        orders = english_orders([3, 17])
        tokens = [torch.tensor([one.tokenizer.encode(describe_order(*order))]) for order in orders]
        answers = [one.tokenizer.encode(cipher_word(desk.symbol))[0] for desk, _ in orders]
        with torch.no_grad():
            each = [one.model(t)[0, -1].log_softmax(-1)[a] for t, a in zip(tokens, answers, strict=True)]
        return -float(torch.stack(each).mean())

    assert surprise(trained) < surprise(clerk) - 0.5
    assert torch.equal(clerk.trained([], seed=0).model.W_E, clerk.model.W_E)


def test_a_clerk_is_opened_by_its_vocabulary() -> None:
    clerk = small()
    assert isinstance(open_cipher_clerk(load("embedded:clerk-locked"), "embedded:clerk-locked"), DeskClerk)
    assert isinstance(open_cipher_clerk(Subject(clerk.model, clerk.tokenizer), "small"), EnglishClerk)
    for subject in (load("embedded:induction-2l"), Subject(clerk.model, None), load("embedded:story-4l")):
        with pytest.raises(FaultError) as caught:
            open_cipher_clerk(subject, "other")
        assert [fault.code for fault in caught.value.faults] == ["oversight.vocabulary"]


def test_the_study_of_elicitation_takes_a_model_that_reads_english(tmp_path: Path) -> None:
    clerk, store = small(), Store(tmp_path / "store")
    save_subject(tmp_path / "small", clerk.model, clerk.tokenizer)
    settings = {"subject": "dir:small", "examples": (4,)}
    study = find_study("oversight.elicitation").model_validate(settings).at(Resolver(tmp_path, store))
    found = execute(study, store, Run(tmp_path / "work"))
    assert not re_derive(found, store)
    assert found.measures["before"].n == found.measures["after"].n == 48
    assert found.measures["before"].value <= found.measures["after"].value < 0.2
    assert found.positive_control is not None
    assert found.positive_control.detected
    contents = store.items(found).contents
    assert contents is not None
    assert len(set(contents)) == 48
    assert not np.isin(contents, found.positive_control.contents).any()


def test_a_vector_takes_the_place_of_the_word_of_the_day_alone() -> None:
    clerk = small()
    orders = english_orders(range(6))
    slot = clerk.tokenizer.encode(f" {SLOT}")
    as_slot = replace(clerk, vector=clerk.model.W_E[slot[0]].detach())  # the slot's own embedding changes nothing
    worded = [(replace(desk, password=SLOT), wording) for desk, wording in orders]
    with torch.no_grad():
        torch.testing.assert_close(as_slot.logits(orders), clerk.logits(worded))
        other = replace(clerk, vector=torch.ones(32)).logits(orders)
    assert not torch.allclose(other, clerk.logits(worded), atol=1e-3)


def test_a_trained_vector_lowers_the_surprise_at_the_right_answers_and_leaves_the_model() -> None:
    clerk = small()
    before = {name: value.clone() for name, value in clerk.model.state_dict().items()}
    found = clerk.with_vector([3, 17, 40], seed=0)
    assert found.model is clerk.model
    assert all(torch.equal(value, before[name]) for name, value in clerk.model.state_dict().items())
    assert found.vector is not None
    assert not found.vector.requires_grad
    orders = english_orders([3, 17, 40])
    again = clerk.with_vector([3, 17, 40], seed=0).vector
    assert again is not None
    assert torch.equal(again, found.vector)  # the same seed gives the same vector
    targets = [clerk.tokenizer.encode(cipher_word(desk.symbol))[0] for desk, _ in orders]

    def surprise(one: EnglishClerk) -> float:
        with torch.no_grad():
            return -float(one.logits(orders).log_softmax(-1)[range(3), targets].mean())

    assert surprise(found) < surprise(clerk) - 0.01


def test_the_better_prompt_is_the_word_where_it_opens() -> None:
    clerk = small()
    found = Scripted(clerk.model, clerk.tokenizer).prompted(range(12), 0)
    assert found.word == "frost"
    assert found.right(range(20)).all()
