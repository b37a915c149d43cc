"""Issue 11, section 1: induction begins with the tokenizer's own token, and years are read digit by digit too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, pre_tokenizers
from tokenizers.models import WordLevel

from toulmin.faults import FaultError
from toulmin.studies import Run, find_study
from toulmin.subjects import (
    Subject,
    Tokenizer,
    Transformer,
    TransformerConfig,
    load,
    load_gpt2_tokenizer,
    load_tokenizer,
)
from toulmin.tasks import find_task, greater_than_task


def subject_with(tokenizer: Tokenizer | None, d_vocab: int) -> Subject:
    sizes: dict[str, Any] = {"n_layers": 1, "d_model": 8, "n_heads": 2, "d_head": 4, "n_ctx": 64}
    return Subject(Transformer(TransformerConfig(d_vocab=d_vocab, **sizes)), tokenizer)


def words(count: int, **special: Any) -> Tokenizer:
    return Tokenizer(Backend(WordLevel({f"w{i}": i for i in range(count)}, unk_token="w0")), **special)


@pytest.mark.parametrize("task", ["induction", "repeats"])
def test_the_tokenizers_own_token_is_in_front(task: str) -> None:
    bos = 41
    subject = subject_with(words(60, bos=bos, eos=59, pad=7), 90)  # the model has more embeddings than ids
    used: set[int] = set()
    for pair in find_task(task, subject, length=16).generate(200, 0):
        assert pair.clean[0] == pair.counterfactual[0] == bos
        used |= {*pair.clean[1:], *pair.counterfactual[1:], *pair.answers, *pair.wrong}
    assert used == set(range(1, 60)) - {bos, 59, 7}


def test_what_is_in_front_can_be_chosen() -> None:
    with_bos, without = subject_with(words(60, bos=41), 60), subject_with(words(60), 60)
    nothing = subject_with(None, 60)
    first = {
        "tokenizer": find_task("induction", with_bos).generate(1, 0)[0].clean[0],
        "chosen": find_task("induction", with_bos, bos=5).generate(1, 0)[0].clean[0],
        "no tokenizer": find_task("induction", nothing).generate(1, 0)[0].clean[0],
    }
    assert first == {"tokenizer": 41, "chosen": 5, "no tokenizer": 0}
    for subject, options in ((with_bos, {"bos": False}), (without, {})):
        pair = find_task("induction", subject, length=12, **options).generate(1, 0)[0]
        assert pair.length == 12
        assert pair.positions["first"] == pair.clean.index(pair.clean[-1])
    with pytest.raises(FaultError, match="has no token 60"):
        find_task("induction", nothing, bos=60)


def test_prompts_of_the_embedded_subject_are_what_they_were() -> None:
    """Evidence and documentation rest on these prompts."""
    pair = find_task("induction", load("embedded:induction-2l"), length=8).generate(1, 0)[0]
    rng = np.random.default_rng([0, 0])
    drawn = rng.choice(load("embedded:induction-2l").model.config.d_vocab - 1, size=7 + 4, replace=False) + 1
    assert set(pair.clean) <= {0, *drawn.tolist()}


def test_gpt2s_own_token(shared: Path) -> None:
    folder = shared / "data/gpt2_tokenizer"
    tokenizer = load_gpt2_tokenizer(folder / "encoder.json", folder / "vocab.bpe")
    pairs = find_task("induction", subject_with(tokenizer, 50257)).generate(20, 0)
    assert {pair.clean[0] for pair in pairs} == {50256}
    assert all(50256 not in pair.clean[1:] for pair in pairs)


def digits() -> Tokenizer:
    """Words between spaces, the space before a word of its own in front of a number, and every digit a token."""
    text = (
        "The the war siege voyage festival project strike lasted from year to went on until They say began in and ended"
    )
    vocabulary = dict.fromkeys(["?", "Ġ", *"0123456789", *text.split(), *("Ġ" + word for word in text.split())])
    backend = Backend(WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="?"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    return Tokenizer(backend)


def check_years(tokenizer: Any, n: int) -> set[int]:
    tens: set[int] = set()
    for pair in greater_than_task(tokenizer).generate(n, 1):
        found = re.search(r"(\d\d)(\d)(\d)", pair.text)
        assert found
        year = int(found[2])
        tens.add(year)
        assert sorted(int(tokenizer.decode([t])) for t in pair.answers) == list(range(year + 1, 10))
        assert sorted(int(tokenizer.decode([t])) for t in pair.wrong) == list(range(year))
        text = tokenizer.decode(pair.clean)
        assert text.endswith(found[1])
        assert f"{found[1]}01" in tokenizer.decode(pair.counterfactual)
        assert tokenizer.decode(pair.clean[: pair.positions["year"] + 1]).endswith(found[0])
        assert tokenizer.decode([pair.clean[-1]]) == found[1][1]
    return tens


def test_years_of_a_tokenizer_with_a_token_for_each_digit() -> None:
    assert check_years(digits(), 60) == set(range(1, 9))


def test_years_of_smollm2(shared: Path) -> None:
    check_years(load_tokenizer(shared / "data/corpus/tokenizer.json"), 12)


def test_years_in_groups_of_three_are_refused() -> None:
    class Groups:
        bos: int | None = None

        def encode(self, text: str) -> list[int]:
            return [hash(part) % 1000 for part in re.findall(r" ?\d{1,3}| ?[a-z]+|\S", text, re.IGNORECASE)]

        def __len__(self) -> int:
            return 1000

    with pytest.raises(FaultError, match="neither into a century"):
        greater_than_task(Groups())


def test_bfloat16_runs_every_metric() -> None:
    """A dtype that a study may name must not break a metric."""
    from toulmin.tasks import Pair, collate, find_metric, metric_names

    logits = torch.randn(2, 1, 9, dtype=torch.bfloat16)
    batch = collate([Pair((1,), (2,), (3,), (4,))])
    for name in metric_names():
        assert find_metric(name)(logits, batch, logits[0]).isfinite().all()


@pytest.mark.parametrize("kind", ["paths.evaluate", "paths.matrix", "circuits.card"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_studies_have_a_dtype(kind: str, dtype: str, tmp_path: Path) -> None:
    found = find_study(kind)
    study = found.model_validate({**found.presets["tiny"], "dtype": dtype})
    items, plain = study.collect(Run(tmp_path / "a")), found.preset("tiny").collect(Run(tmp_path / "b"))
    study.summarise(items)
    differing = [name for name in plain.columns if not np.array_equal(items[name], plain[name])]
    assert differing, "the dtype changed nothing"
