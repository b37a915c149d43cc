"""Training an adapter: it learns what it is shown, the base stays as it was, and a stopped run is resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from toulmin.subjects import Adapter, AdapterConfig, Transformer, TransformerConfig, merge_adapter
from toulmin.training import (
    Checkpoint,
    IndexedBatches,
    NextToken,
    Schedule,
    generator_at,
    pad_prompts,
    train_adapter,
)

SHAPE = TransformerConfig(n_layers=2, d_model=24, n_heads=3, d_head=8, d_vocab=20, n_ctx=12, d_mlp=48)
CONFIG = AdapterConfig(rank=4, alpha=8.0, targets=("W_V", "W_O", "W_in", "W_out"), layers=(0, 1))
PROMPTS = [[1, 2, symbol] if symbol % 2 else [1, symbol] for symbol in range(4, 12)]
ANSWERS = [(3 * symbol) % 8 + 12 for symbol in range(4, 12)]


def base() -> Transformer:
    return Transformer(SHAPE, torch.Generator().manual_seed(4))


def batches() -> IndexedBatches[Any]:
    def make(i: int) -> Any:
        rows = generator_at(5, i).integers(len(PROMPTS), size=16)
        tokens, last = pad_prompts([PROMPTS[row] for row in rows])
        return tokens, last, torch.tensor([ANSWERS[row] for row in rows])

    return IndexedBatches(make)


def right(model: Transformer) -> float:
    tokens, last = pad_prompts(PROMPTS)
    with torch.no_grad():
        return float((NextToken(model)(tokens, last).argmax(-1) == torch.tensor(ANSWERS)).float().mean())


def test_what_fills_a_row_up_does_not_reach_the_prompt() -> None:
    model = base()
    tokens, last = pad_prompts(PROMPTS)
    assert tokens.shape == (8, 3)
    assert last.tolist() == [1, 2] * 4
    for prompt, logits in zip(PROMPTS, NextToken(model)(tokens, last), strict=True):
        torch.testing.assert_close(logits, model(torch.tensor([prompt]))[0, -1])


def test_an_adapter_learns_answers_that_the_frozen_base_does_not_know() -> None:
    model = base()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    adapter = Adapter(model, CONFIG)
    assert right(model) < 0.5
    train_adapter(model, adapter, batches(), Schedule(150, 3e-3, "linear", warmup=10))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.training
    merge_adapter(model, adapter)
    assert right(model) == 1.0


def test_a_stopped_run_ends_with_the_same_adapter(tmp_path: Path) -> None:
    def after(steps: list[int], folder: Path) -> Adapter:
        adapter = Adapter(base(), CONFIG)
        for end in steps:
            adapter = Adapter(base(), CONFIG)
            schedule = Schedule(end, 3e-3, "constant")
            train_adapter(base(), adapter, batches(), schedule, checkpoint=Checkpoint(folder, every=5))
        return adapter

    whole, pieces = after([20], tmp_path / "whole"), after([10, 20], tmp_path / "pieces")
    for ours, theirs in zip(whole.parameters(), pieces.parameters(), strict=True):
        assert torch.equal(ours, theirs)
