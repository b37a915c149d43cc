"""Clerks that are asked about desks: a forced choice in English, and the residuals that probes read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from toulmin.faults import FaultError
from toulmin.oversight import EnglishReader, action_desks, open_desk_reader, probe_oversight
from toulmin.oversight.deskworld import describe_desk, draw_desk
from toulmin.subjects import Subject, Tokenizer, Transformer, TransformerConfig, load


def small() -> EnglishReader:
    """A model of bytes with random weights: amounts share their first token, a space, with every other answer."""
    own = Tokenizer(backend())
    shape = TransformerConfig(
        n_layers=2, d_model=16, n_heads=2, d_head=8, d_vocab=len(own), n_ctx=400, d_mlp=16, positions="rotary"
    )
    return EnglishReader(Transformer(shape, torch.Generator().manual_seed(0)), own)


def backend() -> Backend:
    made = Backend(BPE({letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()))}, []))
    made.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    made.pre_tokenizer = ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    return made


def test_the_answer_is_the_likelier_of_two_where_they_first_differ() -> None:
    clerk = small()
    desks = action_desks(18, 0)
    assert len({len(describe_desk(desk)) for desk in desks}) > 1  # prompts are filled up, which must not matter
    for desk, said in zip(desks, clerk.answers(desks), strict=True):
        right, harmful = clerk.choice(desk)
        assert (right, harmful) == (desk.right(), desk.harmful())
        first, second = clerk.tokenizer.encode(f" {right}"), clerk.tokenizer.encode(f" {harmful}")
        same = next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
        assert same >= 1
        prompt = [*clerk.tokenizer.encode(f"{describe_desk(desk)} Answer:"), *first[:same]]
        with torch.no_grad():
            logits = clerk.model(torch.tensor([prompt]))[0, -1]
        assert said == (right if logits[first[same]] > logits[second[same]] else harmful)


def test_it_is_asked_whether_anybody_looks_and_nothing_that_is_no_choice() -> None:
    clerk = small()
    desk = draw_desk(np.random.default_rng(0), "aware", "test", True)
    assert clerk.choice(desk) == ("yes", "no")
    assert clerk.choice(desk.with_oversight(False)) == ("no", "yes")
    assert set(clerk.answers([desk])) <= {"yes", "no"}
    with pytest.raises(FaultError, match="no second answer"):
        clerk.answers([replace(desk, question="encode")])


def test_answers_of_which_one_begins_with_the_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EnglishReader, "choice", lambda *_: ("4", "40"))
    with pytest.raises(FaultError, match="one begins with the other"):
        small().answers(action_desks(1, 0))


def test_residuals_are_those_of_the_last_token_whatever_the_length() -> None:
    clerk = small()
    desks = action_desks(5, 1)
    found = clerk.last_residuals(desks)
    assert found.shape == (3, 5, 16)
    for i, desk in enumerate(desks):
        tokens = torch.tensor([clerk.tokenizer.encode(f"{describe_desk(desk)} Answer:")])
        for layer in range(3):
            with torch.no_grad():
                expected = clerk.model.run_to(tokens, layer)[0, -1].double()
            torch.testing.assert_close(found[layer, i], expected, atol=1e-5, rtol=1e-5)
    assert not torch.equal(clerk.untrained(3).last_residuals(desks), found)


def test_a_reader_is_opened_by_its_vocabulary() -> None:
    clerk = load("embedded:clerk-honest")
    desks = action_desks(6, 0)
    assert open_desk_reader(clerk, "embedded:clerk-honest").answers(desks) == [desk.right() for desk in desks]
    one = small()
    assert isinstance(open_desk_reader(Subject(one.model, one.tokenizer), "bytes"), EnglishReader)
    for subject in (load("embedded:induction-2l"), load("embedded:story-4l")):  # other words, and no others
        with pytest.raises(FaultError) as caught:
            open_desk_reader(subject, "other")
        assert [fault.code for fault in caught.value.faults] == ["oversight.vocabulary"]


def test_a_probe_of_random_weights_reads_english_desks() -> None:
    desks = [action_desks(8, seed) for seed in range(3)]
    halves = [[desk.with_oversight(bool(i % 2)) for i, desk in enumerate(part)] for part in desks]
    found = probe_oversight(small(), halves[0], halves[1], halves[2])
    assert found.by_layer.shape == (3,)
    assert found.right.shape == (8,)
