"""Issue 11, section 1: pairs files of text, and bad pairs, models and values, are handled alike everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toulmin.circuits import Acdc, CircuitRunner, Eap, Methodology, Relp, discover, faithfulness_card
from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery import exact_effects
from toulmin.circuits.studies.card import FaithfulnessCard
from toulmin.faults import FaultError
from toulmin.paths import activation_patching, effects, evaluate, head_to_head, hypothesis, sender_to_logits
from toulmin.paths.studies.evaluate import Evaluate, Rung
from toulmin.paths.studies.matrix import MatrixStudy
from toulmin.studies import Run
from toulmin.subjects import Subject, Transformer, TransformerConfig, load
from toulmin.tasks import (
    Pair,
    PromptStudy,
    batch_pairs,
    check_prompts,
    collate,
    find_task,
    read_pairs,
    write_pairs,
)
from toulmin.tasks.behaviour import Behaviour

STORY = "embedded:story-4l"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same pairs as text and as token ids."""
    folder = tmp_path_factory.mktemp("pairs")
    subject = load(STORY)
    tokenizer = subject.tokenizer
    assert tokenizer is not None
    pairs = find_task("story.pronoun", subject).generate(8, seed=3)
    write_pairs(pairs, folder / "ids.jsonl")
    rows = []
    for pair in pairs:
        row: dict[str, Any] = {"unit": pair.unit, "at": pair.at}
        for side in ("clean", "counterfactual"):
            row[side] = " ".join(tokenizer.tokens(getattr(pair, side)))
        for side in ("answers", "wrong"):
            row[side] = tokenizer.tokens(getattr(pair, side))
        rows.append(json.dumps(row))
    (folder / "text.jsonl").write_text("\n".join(rows) + "\n")
    assert read_pairs(folder / "text.jsonl", tokenizer=tokenizer)[0].clean == pairs[0].clean
    return folder / "text.jsonl", folder / "ids.jsonl"


STUDIES: dict[str, Callable[[str], PromptStudy]] = {
    "tasks.behaviour": lambda file: Behaviour(subject=STORY, pairs=file),
    "paths.evaluate": lambda file: Evaluate(
        subject=STORY, pairs=file, hypotheses=(Rung(name="heads", text="!L1.H0"),), resamples=20
    ),
    "paths.matrix": lambda file: MatrixStudy(subject=STORY, pairs=file, components=("K",)),
    "circuits.card": lambda file: FaithfulnessCard(
        subject=STORY, pairs=file, n=5, n_discover=3, method=Eap(size=20), resamples=50, metrics=("logit_diff", "kl")
    ),
}


@pytest.mark.parametrize("kind", STUDIES)
def test_a_text_file_gives_what_the_ids_give(kind: str, files: tuple[Path, Path], tmp_path: Path) -> None:
    text, ids = (STUDIES[kind](f"file:{file}").collect(Run(tmp_path / file.stem)) for file in files)
    assert text.units == ids.units
    assert len(text.units) in (5, 8)
    for name, values in text.columns.items():
        np.testing.assert_array_equal(values, ids.columns[name])


def small(**changes: Any) -> Transformer:
    sizes = {"n_layers": 2, "d_model": 8, "n_heads": 2, "d_head": 4, "d_vocab": 13, "n_ctx": 6, "d_mlp": 8}
    return Transformer(TransformerConfig(**{**sizes, **changes}))


def good(n: int = 3) -> list[Pair]:
    return [Pair((1, 2, i), (1, 5, i), (3,), (4,), unit=f"u{i}") for i in range(n)]


def _card(model: Any, pairs: Any) -> object:
    runner = CircuitRunner(small(), good())
    return faithfulness_card(CircuitRunner(model, pairs), Circuit.empty(runner.graph), metrics=("kl",), resamples=20)


ENTRIES: dict[str, Callable[[Any, Any], object]] = {
    "check_prompts": check_prompts,
    "CircuitRunner": CircuitRunner,
    "faithfulness_card": _card,
    "effects": lambda model, pairs: effects(model, [hypothesis("!L1.H1")], pairs),
    "evaluate": lambda model, pairs: evaluate(model, hypothesis("!L1.H1"), pairs, baseline="everything", resamples=20),
    "head_to_head": head_to_head,
    "sender_to_logits": sender_to_logits,
    "activation_patching": activation_patching,
}
BAD_PAIRS: dict[str, tuple[Callable[[], Any], str]] = {
    "text": (lambda: "when Anna", r"tasks\.pairs: pairs are wanted, and this is the text"),
    "file name": (lambda: "pairs.jsonl", r"read_pairs"),
    "task": (lambda: find_task("induction", vocabulary=50), r"generate"),
    "one pair": (lambda: good()[0], r"tasks\.pairs: a sequence of pairs"),
    "tensor rows": (lambda: [torch.zeros(3)], r"item 0 is a Tensor"),
    "number": (lambda: 7, r"this is a int"),
    "none": (lambda: iter([]), r"tasks\.empty"),
    "token": (lambda: [Pair((1, 99, 2), (1, 2, 3), (3,), (4,), unit="far")], r"tasks\.token \[far\]: clean .*99.*12"),
    "counterfactual": (lambda: [Pair((1, 2), (1, 13), (3,), (4,))], r"tasks\.token \[pair 0\]: counterfactual"),
    "answer": (lambda: [Pair((1, 2), (1, 3), (13,), (4,))], r"tasks\.token .*answers"),
    "wrong": (lambda: [Pair((1, 2), (1, 3), (3,), (77,))], r"tasks\.token .*wrong has token 77"),
    "too long": (lambda: [Pair((1,) * 7, (2,) * 7, (3,), (4,), unit="long")], r"tasks\.length \[long\]: .*7.*6"),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("bad", BAD_PAIRS)
def test_bad_pairs_are_one_clear_fault(entry: str, bad: str) -> None:
    make, message = BAD_PAIRS[bad]
    with pytest.raises(FaultError, match=message):
        ENTRIES[entry](small(), make())


@pytest.mark.parametrize("entry", ENTRIES)
def test_bad_models_are_one_clear_fault(entry: str) -> None:
    for model, message in (
        ("embedded:induction-2l", r"this is the text 'embedded:induction-2l' \(.*load"),
        (torch.nn.Linear(2, 2), "another module, a Linear"),
        (None, "this is a NoneType"),
        (Subject(torch.nn.Linear(2, 2)), "another module, a Linear"),
    ):
        with pytest.raises(FaultError, match=message):
            ENTRIES[entry](model, good())


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_subject_and_a_generator_are_welcome(entry: str) -> None:
    def generated() -> Iterator[Pair]:
        yield from good()

    ENTRIES[entry](Subject(small()), generated())


@pytest.mark.parametrize("value", ["zeros", 0, None])
def test_a_bad_ablation_is_one_clear_fault(value: Any) -> None:
    runner = CircuitRunner(small(), good())
    for call in (
        lambda: Methodology(ablation=value),
        lambda: Eap(ablation=value),
        lambda: Relp(ablation=value),
        lambda: Acdc(ablation=value),
        lambda: discover(runner, "mask_ig", ablation=value),
        lambda: exact_effects(runner, ablation=value),
    ):
        with pytest.raises(FaultError, match=r"circuits\.method(ology)? \[(\w+\.)?ablation\]: .*'resample', 'zero'"):
            call()
    with pytest.raises(FaultError) as caught:
        Methodology(ablation="zeros", direction="back", size=3)  # type: ignore[arg-type, call-arg]
    assert sorted(str(fault.name) for fault in caught.value.faults) == ["ablation", "direction", "size"]


@pytest.mark.parametrize("make", [collate, lambda pairs: list(batch_pairs(pairs, 2))])
def test_batches_are_made_of_pairs_only(make: Callable[[Any], Any]) -> None:
    for bad in ("text", "file name", "task", "one pair", "tensor rows", "number", "none"):
        given, message = BAD_PAIRS[bad]
        with pytest.raises(FaultError, match=message):
            make(given())
    make(pair for pair in good())


def test_a_task_asks_a_subject_or_a_model_for_its_vocabulary() -> None:
    model = small(d_vocab=60)
    both = [find_task("induction", subject, length=8).generate(3, 0) for subject in (model, Subject(model))]
    assert both[0] == both[1]
    for other, name in (("embedded:induction-2l", "str"), (torch.nn.Linear(2, 2), "Linear")):
        with pytest.raises(FaultError, match=rf"tasks\.needs_subject: .*a {name} \(.*load"):
            find_task("induction", other)


def test_every_faulty_pair_is_named_but_a_flood_is_counted() -> None:
    pairs = [Pair((1, 50), (1, 2), (3,), unit=f"u{i}") for i in range(30)]
    with pytest.raises(FaultError) as caught:
        check_prompts(small(), pairs)
    names = [fault.name for fault in caught.value.faults]
    assert names[:20] == [f"u{i}" for i in range(20)]
    assert "10 more" in caught.value.faults[-1].message


def test_a_rotary_model_reads_beyond_its_context() -> None:
    pairs = [Pair((1,) * 9, (2,) * 9, (3,), (4,))]
    check_prompts(small(positions="rotary"), pairs)
    with pytest.raises(FaultError, match="9 tokens"):
        check_prompts(small(positions="shortformer"), pairs)


def test_answers_are_bounded_by_the_logits_not_by_the_vocabulary(tmp_path: Path) -> None:
    narrow = small(d_vocab_out=5)
    with pytest.raises(FaultError, match=r"answers has token 7, outside the vocabulary \(0 to 4\)"):
        check_prompts(narrow, [Pair((1, 12), (1, 2), (7,), (4,))])
    check_prompts(narrow, [Pair((1, 12), (1, 2), (4,), (0,))])
    write_pairs([Pair((1, 12), (1, 2), (7,), (4,))], tmp_path / "p.jsonl")
    with pytest.raises(FaultError, match="answers has token 7, the vocabulary ends at 4"):
        read_pairs(tmp_path / "p.jsonl", vocabulary=13, outputs=5)
