"""Real checkpoints: llama2.c, TransformerLens, Tracr, modular addition, against what is known of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from toulmin.subjects import (
    from_transformer_lens,
    generate,
    load_llama2c,
    load_llama2c_tokenizer,
    load_modadd,
    load_tracr,
)

ONCE = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a "
    "big, red ball. She wanted to play with it, but it was too high."
)


def test_stories260k_writes_its_story(shared: Path) -> None:
    model = load_llama2c(shared / "data/stories260K/stories260K.bin")
    tokenizer = load_llama2c_tokenizer(shared / "data/stories260K/tok512.bin")
    text = tokenizer.decode(generate(model, torch.tensor([tokenizer.bos]), 120).tolist())
    assert text.startswith(ONCE)
    assert text[len(ONCE) :].lstrip().startswith("Lily's mom said,")


def test_stories260k_loss(shared: Path) -> None:
    model = load_llama2c(shared / "data/stories260K/stories260K.bin")
    tokenizer = load_llama2c_tokenizer(shared / "data/stories260K/tok512.bin")
    stories = json.loads((shared / "data/text/tinystories_1000.json").read_text())[:40]
    total = count = 0.0
    with torch.no_grad():
        for story in stories:
            tokens = torch.tensor(tokenizer.encode(story, bos=True)[:512])
            losses = cross_entropy(model(tokens)[:-1], tokens[1:], reduction="none")
            total, count = total + float(losses.sum()), count + len(losses)
    assert total / count == pytest.approx(1.3069, abs=1e-3)


def test_transformer_lens_names_and_logits(shared: Path) -> None:
    folder = shared / "golden/circuits"
    case = json.loads((folder / "ln_mlp.json").read_text())
    state = {name: torch.from_numpy(a) for name, a in np.load(folder / "ln_mlp_weights.npz").items()}
    model = from_transformer_lens(state, case["cfg"])
    assert model.W_E.dtype == torch.float64
    for side in ("clean", "corrupt"):
        logits = model(torch.tensor(case[side]))[:, -1]
        expected = torch.tensor(case[f"{side}_logits_last"], dtype=torch.float64)
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["reverse", "frac_prevs_x", "hist"])
def test_tracr_logits(shared: Path, name: str) -> None:
    path = shared / f"data/tracr/{name}.npz"
    recorded = np.load(path)
    for dtype in (torch.float32, torch.float64):
        logits = load_tracr(path, dtype)(torch.from_numpy(recorded["tokens"]))[:, 1:]
        expected = torch.from_numpy(recorded["logits"])[:, 1:].to(dtype)
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_modular_addition_is_solved(shared: Path) -> None:
    folders = sorted((shared / "data/modadd").iterdir())
    assert len(folders) == 2
    a, b = torch.meshgrid(torch.arange(113), torch.arange(113), indexing="ij")
    tokens = torch.stack((a, b, torch.full_like(a, 113)), dim=-1).view(-1, 3)
    for folder in folders:
        with torch.no_grad():
            answer = load_modadd(folder)(tokens)[:, -1].argmax(-1)
        assert (answer == (tokens[:, 0] + tokens[:, 1]) % 113).float().mean() >= 0.999
