"""The golden model of AutoCircuit 1.0.1, in our names, for the tests of circuits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from toulmin.subjects import Transformer, TransformerConfig


@dataclass(frozen=True)
class Golden:
    model: Transformer
    case: dict[str, Any]
    clean: Tensor
    corrupt: Tensor
    answers: Tensor
    wrong: Tensor


def _state(weights: dict[str, np.ndarray], layers: int) -> dict[str, Tensor]:
    state = {
        "W_E": weights["embed.W_E"],
        "W_pos": weights["pos_embed.W_pos"],
        "_W_U": weights["unembed.W_U"],
        "b_U": weights["unembed.b_U"],
        "final_norm.w": weights["ln_final.w"],
        "final_norm.b": weights["ln_final.b"],
    }
    for layer in range(layers):
        for theirs, ours in (("ln1", "norm1"), ("ln2", "norm2"), ("attn", "attn"), ("mlp", "mlp")):
            start = f"blocks.{layer}.{theirs}."
            state |= {f"layers.{layer}.{ours}.{k[len(start) :]}": v for k, v in weights.items() if k.startswith(start)}
    return {name: torch.from_numpy(np.array(value)) for name, value in state.items()}


@pytest.fixture(scope="session")
def golden(shared: Path) -> Golden:
    folder = shared / "golden/circuits"
    case = json.loads((folder / "ln_mlp.json").read_text())
    cfg = case["cfg"]
    sizes = {key: cfg[key] for key in ("n_layers", "d_model", "n_heads", "d_head", "d_vocab", "n_ctx", "d_mlp")}
    model = Transformer(TransformerConfig(**sizes, norm="layer", norm_eps=1e-5)).double()
    model.load_state_dict(_state(dict(np.load(folder / "ln_mlp_weights.npz")), cfg["n_layers"]))
    clean, corrupt, answers, wrong = (torch.tensor(case[key]) for key in ("clean", "corrupt", "answers", "wrong"))
    return Golden(model, case, clean, corrupt, answers, wrong)
