"""Next-token training: the loss, the streams, and the embedded subjects' claims."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from toulmin.subjects import Transformer, TransformerConfig, load
from toulmin.tasks import (
    RepeatedTokens,
    accuracy,
    at_position,
    batch_pairs,
    find_task,
    prefix_matching_score,
    repeated_tokens,
    token_cross_entropy,
)
from toulmin.training import (
    Checkpoint,
    Evaluate,
    IndexedBatches,
    Schedule,
    next_token_loss,
    start_positions,
    token_batches,
    train_language_model,
)


class Table(nn.Module):
    """A bigram model whose logits are a table."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(logits)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.table[tokens]


def test_the_loss_is_the_mean_of_minus_log_p():
    p = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    model, tokens = Table(p.log()), torch.tensor([[0, 1, 1, 2]])
    each = [-math.log(x) for x in (0.25, 0.8, 0.1)]
    assert next_token_loss(model, tokens).item() == pytest.approx(sum(each) / 3)
    weights = torch.tensor([[9.0, 1.0, 2.0, 0.0]])  # the first token is predicted by nothing
    expected = (each[0] + 2 * each[1]) / 3
    assert next_token_loss(model, tokens, weights).item() == pytest.approx(expected)
    assert next_token_loss(model, tokens, torch.ones(1, 4)).item() == pytest.approx(sum(each) / 3)


def test_a_bigram_table_learns_its_source():
    # a known answer: the best table predicts the one successor each token has
    batches = IndexedBatches(lambda i: torch.arange(6).repeat(4, 3))
    model = Table(torch.zeros(6, 6))
    out = train_language_model(model, batches, Schedule(300, 0.3, "cosine"), weight_decay=0.0)
    assert out["loss"] < 0.01
    assert model.table.argmax(1).tolist() == [1, 2, 3, 4, 5, 0]


def test_batches_of_a_source_are_its_rows_in_order():
    source = RepeatedTokens(12, 20, seed=1)
    stream = token_batches(source, 4, start=3)
    assert torch.equal(torch.cat([next(stream), next(stream)]), source.rows(3, 8))
    stream.seek({"index": 1})
    assert torch.equal(next(stream), source.rows(7, 4))
    assert stream.position() == {"index": 2}


def test_position_tables_start_as_sinusoids():
    table = torch.empty(64, 16)
    start_positions(table, amplitude=2.0, fastest=1.5)
    assert table[0].tolist() == pytest.approx([0, 2] * 8)
    assert float(table[7, 0]) == pytest.approx(2 * math.sin(7 * 1.5))
    assert float(table[7, -1]) == pytest.approx(2 * math.cos(7 / 64), abs=1e-5)
    # a fixed distance is a fixed inner product
    near = (table[:-1] * table[1:]).sum(1)
    assert float(near.std()) < 1e-4
    assert float(near[0]) < float((table[0] ** 2).sum())


@pytest.fixture
def one_thread():
    """With several threads torch adds up the gradients of an embedding in any order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny() -> Transformer:
    return Transformer(TransformerConfig(1, 16, 2, 8, 20, 12), torch.Generator().manual_seed(3))


@pytest.mark.usefixtures("one_thread")
def test_a_transformer_resumes_to_the_same_bytes_and_logs_once(tmp_path: Path):
    # its query weights are laid out head by head inside each row, which a fused optimizer must find again
    assert not tiny().layers[0].attn.W_Q.is_contiguous()
    source = RepeatedTokens(12, 20, seed=1)

    def train(steps: int, folder: Path) -> tuple[Transformer, str]:
        model = tiny()
        measured = Evaluate(lambda m: {"norm": float(sum(p.norm() for p in m.parameters()))}, folder / "m.jsonl", 5)
        train_language_model(
            model,
            token_batches(source, 4),
            Schedule(steps, 1e-2, "constant"),
            checkpoint=Checkpoint(folder / "c", every=10, keep=2),
            callbacks=[measured],
        )
        return model, (folder / "m.jsonl").read_text()

    whole, log = train(30, tmp_path / "whole")
    train(17, tmp_path / "parts")
    kept = Checkpoint(tmp_path / "parts" / "c")
    kept.path(17).rename(tmp_path / "gone")  # as if killed between 10 and 17
    assert kept.steps() == [10]
    resumed, again = train(30, tmp_path / "parts")
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [json.loads(line)["step"] for line in log.splitlines()] == [5, 10, 15, 20, 25, 30]
    assert again == log


@torch.no_grad()
def heads_and_halves(model: Transformer, vocabulary: int, first_token: int) -> tuple[float, float, float]:
    tokens = repeated_tokens(48, 31, vocabulary, 31_337, first_token=first_token)
    names = [f"L{i}.pattern" for i in range(model.config.n_layers)]
    logits, cache = model.run_with_cache(tokens, names)
    losses = token_cross_entropy(logits, tokens)
    best = max(float(prefix_matching_score(cache[name], tokens).max()) for name in names)
    return best, float(losses[:, :30].mean()), float(losses[:, 31:].mean())


def test_induction_2l_is_what_its_card_says():
    subject = load("embedded:induction-2l")
    model = subject.model.eval()
    assert (model.config.n_layers, model.config.n_heads, model.config.d_mlp) == (2, 8, 0)
    assert model.config.positions == "shortformer"
    best, first, second = heads_and_halves(model, 128, 1)
    assert best >= 0.8
    assert second <= first / 2
    measured = subject.card["measured"]
    assert best == pytest.approx(max(measured["prefix_matching"]["L1"]), abs=0.03)
    assert second == pytest.approx(measured["loss_second_half"], abs=0.06)
    assert {"data", "steps", "seed", "loss", "licence", "config"} <= set(subject.card)
    # what makes it induction: a head of layer 0 looks at the token before
    assert max(measured["previous_token"]["L0"]) > 0.5


@torch.no_grad()
def score(name: str, model: Transformer, subject, split: str, *, choice: bool = False) -> float:
    right = []
    for batch in batch_pairs(find_task(name, subject).generate(400, 90_001, split), 128):
        logits = at_position(model(batch.clean), batch.at)
        right.append(accuracy(logits, batch.answers, batch.wrong if choice else None))
    return float(torch.cat(right).mean())


def test_story_4l_is_what_its_card_says():
    subject = load("embedded:story-4l")
    model = subject.model.eval()
    assert (model.config.n_layers, model.config.d_model, model.config.n_heads) == (4, 128, 8)
    # fresh pairs, held-out names and templates, the most likely of all 571 words
    assert score("story.two_name", model, subject, "held_out") >= 0.9
    assert score("story.pronoun", model, subject, "held_out") >= 0.95
    assert score("story.two_name", model, subject, "train") >= 0.9
    assert score("story.pronoun", model, subject, "train") >= 0.95
    assert score("story.list", model, subject, "held_out") >= 0.9
    assert score("story.topic", model, subject, "held_out", choice=True) >= 0.95
    assert score("story.number", model, subject, "held_out") >= 0.95
    best, first, second = heads_and_halves(model, 571, 2)
    assert best >= 0.5
    assert second <= first / 2
    assert subject.tokenizer is not None
    assert subject.tokenizer.decode(subject.tokenizer.encode("Mary found the rope.")) == "Mary found the rope ."
    for name, value in subject.card["measured"].items():
        if name == "two_name.held_out.accuracy":
            assert score("story.two_name", model, subject, "held_out") == pytest.approx(value, abs=0.04)


def test_the_embedded_files_are_small():
    assets = Path(__file__).resolve().parents[2] / "src" / "toulmin" / "assets"
    for name in ("induction-2l", "story-4l"):
        files = list((assets / name).iterdir())
        assert {f.name for f in files} >= {"model.safetensors", "card.json"}
        assert sum(f.stat().st_size for f in files) <= 2.5e6
