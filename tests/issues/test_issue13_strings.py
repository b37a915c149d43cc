"""Issue 13, section 2: prompts as text, answers of several tokens, what a tokenizer loses, templates."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toulmin.circuits import CircuitRunner, discover, faithfulness_card
from toulmin.faults import FaultError
from toulmin.paths import evaluate
from toulmin.studies import Run
from toulmin.subjects import Subject, Transformer, TransformerConfig, load_tokenizer
from toulmin.tasks import (
    Pair,
    at_position,
    batch_pairs,
    clusters_of,
    find_metric,
    find_task,
    gendered_pronoun_task,
    ioi_task,
    read_pairs,
    split_alike,
    text_pair,
    write_pairs,
)
from toulmin.tasks.behaviour import Behaviour
from toulmin.tasks.pair import template_notes
from toulmin.tasks.text import continuation, start_of_text


class Bytes:
    """A token a letter; a space is joined to the letter after it, as in GPT-2's kind of tokenizer."""

    bos: int | None = 0

    def __init__(self) -> None:
        self.ids: dict[str, int] = {"<s>": 0}

    def encode(self, text: str) -> list[int]:
        return [self.ids.setdefault(piece, len(self.ids)) for piece in re.findall(r" ?[A-Za-z]{1,3}|\d|.", text)]

    def decode(self, ids: Any) -> str:
        names = {i: piece for piece, i in self.ids.items()}
        return "".join(names[int(i)] for i in ids)

    def __len__(self) -> int:
        return 200


def model_of(vocabulary: int) -> Transformer:
    torch.manual_seed(0)
    config = TransformerConfig(n_layers=2, d_model=16, n_heads=2, d_head=8, n_ctx=64, d_vocab=vocabulary, d_mlp=16)
    return Transformer(config).double()


@pytest.mark.parametrize(
    ("prompt", "answer", "text"),
    [
        ("gave a ring to", "Ann", " Ann"),
        ("gave a ring to", " Ann", " Ann"),
        ("the year 17", "33", "33"),
        ("there were", "12", " 12"),
        ('he said "', "Yes", "Yes"),
        ("the end", ".", "."),
    ],
)
def test_an_answer_continues_its_prompt(prompt: str, answer: str, text: str) -> None:
    tokenizer = Bytes()
    assert tokenizer.decode(continuation(tokenizer, prompt, answer)) == text


def test_an_answer_that_joins_the_last_token_is_refused() -> None:
    """A prompt that ends in a space is the trap: the space belongs to the answer's first token."""
    with pytest.raises(FaultError, match="joins it to the last token"):
        continuation(Bytes(), "gave a ring to ", "Ann")


def test_named_spans_become_positions() -> None:
    tokenizer = Bytes()
    pair = text_pair(
        tokenizer, "In {place} the man Tom met {who} in", {"place": "Rome", "who": "Ben"}, {"who": "Dan"}, "Max", "Sam",
        bos=True,
    )  # fmt: skip
    assert pair.clean[0] == pair.counterfactual[0] == 0
    assert tokenizer.decode(pair.clean[1 : pair.positions["place"] + 1]) == "In Rome"
    assert tokenizer.decode(pair.clean[1 : pair.positions["who"] + 1]).endswith("met Ben")
    assert tokenizer.decode(pair.counterfactual[1 : pair.positions["who"] + 1]).endswith("met Dan")
    assert (tokenizer.decode(pair.answers), tokenizer.decode(pair.wrong)) == (" Max", " Sam")
    assert pair.template.startswith("In {place}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clean": {"who": "Ben"}}, r"\[place\]: the span has no text"),
        ({"counterfactual": {"whom": "Ben"}}, r"\[whom\]: the template has no such span"),
        ({"counterfactual": {"who": ""}}, r"\[who\]: the span's text is empty"),
        ({"template": "a {who"}, "expected '}'"),
        ({"counterfactual": {"who": "Bartholomew"}}, r"splits the prompts differently.*\{who\}"),
        ({"answers": ""}, "the answer is empty"),
    ],
)
def test_what_is_wrong_with_a_template_is_said(change: dict[str, Any], message: str) -> None:
    good = {
        "template": "In {place} met {who}",
        "clean": {"place": "Rome", "who": "Ben"},
        "counterfactual": {"who": "Dan"},
    }
    with pytest.raises(FaultError, match=message):
        text_pair(Bytes(), **{**good, "answers": "Max", **change})


def test_spans_that_swap_their_lengths_are_no_pair() -> None:
    """Both prompts have as many tokens, but position i of one is not position i of the other."""
    with pytest.raises(FaultError, match="left_out"):
        text_pair(Bytes(), "{a} and {b} of", {"a": "Ben", "b": "Barbara"}, {"a": "Barbara", "b": "Ben"}, "Max")


def test_pairs_that_a_tokenizer_splits_alike_are_kept_and_the_others_counted() -> None:
    row = {"template": "met {who}", "clean": {"who": "Ben"}, "answers": "Max"}
    kept = split_alike(Bytes(), [{**row, "counterfactual": {"who": w}} for w in ("Dan", "Bartholomew", "Tim")])
    assert (len(kept.pairs), len(kept.lost)) == (2, 1)
    assert "Bartholomew" in kept.lost[0]
    with pytest.raises(FaultError, match="no pair is left"):
        split_alike(Bytes(), [{**row, "counterfactual": {"who": "Bartholomew"}}])


def whole_answers(tokenizer: Bytes) -> list[Pair]:
    rows = [("Rome", "Lima", "Barbara"), ("Oslo", "Bern", "Bertram"), ("Oslo", "Lima", "Max")]
    return [text_pair(tokenizer, "in {x} met", {"x": a}, {"x": b}, c) for a, b, c in rows]


def test_a_whole_answer_is_scored_by_the_log_probability_of_all_its_tokens() -> None:
    """Against the same sum written out, token after token, each from a run of its own."""
    tokenizer = Bytes()
    pairs = whole_answers(tokenizer)
    model = model_of(60).requires_grad_(False)
    assert [len(pair.whole) for pair in pairs] == [3, 3, 0]
    prompt = pairs[0].clean[: pairs[0].at + 1]
    total, known = 0.0, list(prompt)
    for token in pairs[0].whole:
        total += float(model(torch.tensor([known]))[0, -1].log_softmax(-1)[token])
        known.append(token)
    (batch,) = batch_pairs(pairs[:2], 8)
    loss = find_metric("loss")(at_position(model(batch.clean), batch.at), batch, torch.tensor(torch.nan))
    assert float(loss[0]) == pytest.approx(-total, abs=1e-12)
    runner = CircuitRunner(model, pairs)
    everything = runner.full_scores(["loss", "kl", "accuracy"])
    assert everything["loss"][0] == pytest.approx(-total, abs=1e-12)
    assert np.allclose(everything["kl"], 0)
    with pytest.raises(FaultError, match="of one token"):
        find_metric("squared_loss")(at_position(model(batch.clean), batch.at), batch, torch.tensor(torch.nan))


def test_circuits_and_paths_take_whole_answers() -> None:
    pairs = whole_answers(Bytes())
    model = model_of(60).requires_grad_(False)
    runner = CircuitRunner(model, pairs)
    found = discover(runner, "eap", size=20, metric="loss")
    exact = discover(runner, "exact", size=20, metric="loss")
    assert found.scores is not None
    assert exact.scores is not None
    assert np.corrcoef(found.scores.values.ravel(), exact.scores.values.ravel())[0, 1] > 0.8
    card = faithfulness_card(runner, found.circuit, metrics=["loss", "kl"], resamples=50)
    assert len(card.rows) > 20
    (result,) = evaluate(model, "all", pairs, baseline="everything", metric="kl")
    assert result.pe == pytest.approx(1)


def test_a_whole_answer_that_does_not_end_the_prompts_is_refused() -> None:
    with pytest.raises(FaultError, match="both prompts must end"):
        Pair((1, 2, 3), (1, 2, 4), (3,), whole=(3, 5), at=1)
    with pytest.raises(FaultError, match="does not predict the first"):
        Pair((1, 2, 3), (1, 2, 3), (3,), whole=(3, 5), at=0)
    with pytest.raises(FaultError, match="is the only one"):
        Pair((1, 2, 3), (1, 2, 3), (3,), (4,), whole=(3, 5), at=1)


def test_files_take_templates_and_say_which_lines_were_lost(tmp_path: Path) -> None:
    row = {"template": "met {who}", "clean": {"who": "Ben"}, "counterfactual": {"who": "Dan"}, "answers": ["Max"]}
    lines = [row, {**row, "counterfactual": {"who": "Bartholomew"}}, {**row, "unit": "mine", "wrong": ["Sam"]}]
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    lost: list[str] = []
    pairs = read_pairs(file, tokenizer=Bytes(), lost=lost)
    assert [pair.unit for pair in pairs] == ["line-1", "mine"]
    assert lost[0].startswith("line 2:")
    with pytest.raises(FaultError, match="left_out") as caught:
        read_pairs(file, tokenizer=Bytes())
    assert caught.value.faults[0].line == 2
    for change, message in (
        ({"clean": {"who": 3}}, r"\[clean\]"),
        ({"answers": [3]}, r"\[answers\]"),
        ({"at": 1}, "at"),
    ):
        file.write_text(json.dumps({**row, **change}))
        with pytest.raises(FaultError, match=message):
            read_pairs(file, tokenizer=Bytes())


def test_bos_is_put_where_the_tokenizer_adds_it_itself(shared: Path) -> None:
    llama = load_tokenizer(shared / "data/stories260K")
    smol = load_tokenizer(shared / "data/corpus/tokenizer.json")
    assert start_of_text(llama) == (llama.bos,) == (1,)
    assert start_of_text(smol) == ()
    with pytest.raises(FaultError, match="bos was asked for"):
        start_of_text(smol, True) if smol.bos is None else start_of_text(Nothing(), True)


class Nothing(Bytes):
    bos: int | None = None


@pytest.mark.parametrize("name", ["ioi_llama.csv", "greater_than_data.csv"])
def test_published_sets_load_for_another_tokenizer(shared: Path, name: str) -> None:
    tokenizer = load_tokenizer(shared / "data/corpus/tokenizer.json")
    lost: list[str] = []
    pairs = read_pairs(shared / "data/circuit_tasks/eap_ig" / name, tokenizer=tokenizer, lost=lost)
    assert len(pairs) + len(lost) == {"ioi_llama.csv": 499, "greater_than_data.csv": 1000}[name]
    assert len(pairs) > 250
    for pair in pairs[:50]:
        right = [tokenizer.decode([t]) for t in pair.answers]
        if name.startswith("ioi"):
            assert pair.text.count(right[0].strip()) == 1
            assert pair.text.count(tokenizer.decode(pair.wrong).strip()) == 2
        else:
            found = re.search(r"\d\d(\d)\d", pair.text)
            assert found is not None
            assert [int(t) for t in right] == list(range(int(found[1]) + 1, 10))


def test_pronouns_alternate_and_the_counterfactual_has_the_other() -> None:
    pairs = gendered_pronoun_task(Words()).generate(40, 0)
    tokenizer = Words.last
    said = [tokenizer.decode(pair.answers) for pair in pairs]
    assert said == [" she", " he"] * 20
    assert len({pair.template for pair in pairs}) >= 10
    assert clusters_of([pair.unit for pair in pairs], pairs) is not None


class Words(Bytes):
    last: Words

    def __init__(self) -> None:
        super().__init__()
        Words.last = self

    def encode(self, text: str) -> list[int]:
        return [self.ids.setdefault(piece, len(self.ids)) for piece in re.findall(r" ?[A-Za-z]+|\d|.", text)]


def test_a_task_says_which_words_the_tokenizer_lost() -> None:
    class Some(Words):
        def encode(self, text: str) -> list[int]:
            return super().encode(text.replace("Mary", "Ma-ry").replace("John", "Jo-hn"))

    assert ioi_task(Words()).notes() == ()
    assert ioi_task(Some()).notes() == ("2 of 38 names are several tokens and are left out",)


def pairs_of_templates(count: int, each: int = 3) -> list[Pair]:
    rng = np.random.default_rng(0)
    return [
        Pair(tuple(rng.integers(0, 50, 5)), tuple(rng.integers(0, 50, 5)), (1,), (2,), unit=f"{t}.{i}", template=f"{t}")
        for t in range(count)
        for i in range(each)
    ]


def test_intervals_resample_templates_where_there_are_ten() -> None:
    many, few = pairs_of_templates(12), pairs_of_templates(9)
    units = [pair.unit for pair in many]
    assert clusters_of(units, many) == [pair.template for pair in many]
    assert clusters_of([pair.unit for pair in few], few) is None
    assert "resample templates" in template_notes(many)[0]
    assert "of these only" in template_notes(few)[0]
    model = model_of(50)
    assert set(CircuitRunner(model, many).units) == {str(t) for t in range(12)}
    (wide,) = evaluate(model, "!L1.H0", many, baseline="everything")
    (same,) = evaluate(model, "!L1.H0", [replaced(p) for p in many], baseline="everything")
    assert wide.pe == pytest.approx(same.pe)
    assert wide.pe_interval != same.pe_interval
    assert any("resample 12 groups" in note for note in wide.notes)


def replaced(pair: Pair) -> Pair:
    return Pair(pair.clean, pair.counterfactual, pair.answers, pair.wrong, unit=pair.unit)


def test_templates_are_the_clusters_of_evidence(tmp_path: Path) -> None:
    write_pairs(pairs_of_templates(12), tmp_path / "pairs.jsonl")
    study = Behaviour(subject="embedded:induction-2l", pairs=f"file:{tmp_path / 'pairs.jsonl'}")
    items = study.collect(Run(workdir=tmp_path))
    assert items.n == len(set(items.clusters or ())) == 12
    assert any("resample templates" in note for note in items.metadata["data_notes"])


def test_each_task_has_enough_templates_to_resample(shared: Path) -> None:
    subject = Subject(model_of(8), load_tokenizer(shared / "data/corpus/tokenizer.json"))
    for name in ("ioi", "greater_than", "capitals"):
        pairs = find_task(name, subject).generate(100, 0, "templates")
        assert 10 <= len({pair.template for pair in pairs}) < 20
    assert find_task("capitals", subject).notes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "n", "measure", "published"),
    [("ioi", 200, "accuracy", 0.755), ("capitals", 200, "accuracy", 0.725), ("docstring", 100, "accuracy", 1.0)],
)
def test_published_accuracies_of_smollm2(
    smollm2: Subject, tmp_path: Path, task: str, n: int, measure: str, published: float
) -> None:
    study = Behaviour(subject="cached:smollm2-135m", task=task, n=n, batch=25)
    found = study.summarise(study.collect(Run(workdir=tmp_path))).measures[measure]
    assert found.interval is not None
    assert found.interval.low <= published <= found.interval.high
    assert abs(found.value - published) <= 0.02  # over distinct prompts: 72 of the 200 for capitals


@pytest.mark.slow
def test_smollm2_knows_the_later_year(smollm2: Subject) -> None:
    right = 0
    for batch in batch_pairs(find_task("greater_than", smollm2).generate(100, seed=0), 25):
        with torch.inference_mode():
            logits = at_position(smollm2.model(batch.clean), batch.at)
        right += int((find_metric("prob_diff")(logits, batch, logits) > 0).sum())
    assert right == 100
