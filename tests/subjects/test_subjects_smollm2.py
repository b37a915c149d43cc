"""SmolLM2-135M, a genuine pretrained model: its tokenizer, its loss, what it says, its induction heads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from toulmin.subjects import Subject, load_tokenizer


def test_its_tokenizer_gives_the_published_ids(smollm2: Subject, shared: Path) -> None:
    assert smollm2.tokenizer is not None
    published = load_tokenizer(shared / "data/corpus/tokenizer.json")
    stories = json.loads((shared / "data/text/tinystories_1000.json").read_text(encoding="utf-8"))
    articles = json.loads((shared / "data/text/wikitext_1000.json").read_text(encoding="utf-8"))
    texts = [str(text)[:400] for text in (*stories[:100], *articles[:100])]
    assert len(texts) == 200
    for text in [*texts, "1234 and it's 中文\n\n \tindented"]:
        assert smollm2.tokenizer.encode(text) == published.encode(text)


def test_it_knows_the_capital_of_france(smollm2: Subject) -> None:
    assert smollm2.tokenizer is not None
    tokens = torch.tensor([smollm2.tokenizer.encode("The capital of France is")])
    with torch.inference_mode():
        best = int(smollm2.model(tokens)[0, -1].argmax())
    assert smollm2.tokenizer.decode([best]) == " Paris"


@pytest.mark.slow
def test_its_loss_on_held_out_text_is_the_one_measured_elsewhere(smollm2: Subject, shared: Path) -> None:
    """2.832 nats per token on 64 windows of 512 tokens, from the dequantised weights; here they are float16."""
    ids = np.load(shared / "data/corpus/valid.npy")[: 64 * 512].astype(np.int64)
    losses: list[float] = []
    with torch.inference_mode():
        for window in torch.from_numpy(ids).view(64, 512).split(4):
            logits = smollm2.model(window)[:, :-1]
            losses += (-logits.log_softmax(-1).gather(-1, window[:, 1:, None])[..., 0]).mean(1).tolist()
    assert abs(float(np.mean(losses)) - 2.832) < 0.002
