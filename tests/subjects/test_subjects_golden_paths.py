"""Plain forward passes against the golden models of path patching."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from toulmin.subjects import Transformer, TransformerConfig


def golden_model(folder: Path, name: str) -> tuple[Transformer, dict]:
    case = json.loads((folder / f"{name}.json").read_text())
    cfg, weights = case["cfg"], dict(np.load(folder / f"{name}.npz"))
    config = TransformerConfig(
        n_layers=cfg["L"],
        d_model=cfg["d"],
        n_heads=cfg["H"],
        d_head=cfg["dh"],
        d_vocab=cfg["V"],
        n_ctx=cfg["T"],
        d_mlp=cfg["m"],
        positions=cfg["pos"],
        norm="layer" if cfg["ln"] else "none",
        norm_eps=cfg["eps"],
    )
    model = Transformer(config).double()
    places = {"ln1_w": "norm1.w", "ln1_b": "norm1.b", "ln2_w": "norm2.w", "ln2_b": "norm2.b"}
    state: dict[str, torch.Tensor] = {}
    for key, array in weights.items():
        value = torch.from_numpy(array)
        if key.startswith("ln2") and not cfg["m"]:
            continue
        if key in ("W_E", "W_pos", "b_U"):
            state[key] = value
        elif key == "W_U":
            state["_W_U"] = value
        elif key.startswith("lnf"):
            state[f"final_norm.{key[-1]}"] = value
        else:
            part = places.get(key) or ("mlp." if key.endswith(("in", "out")) else "attn.") + key
            state |= {f"layers.{layer}.{part}": value[layer] for layer in range(cfg["L"])}
    model.load_state_dict(state)
    return model, case


@pytest.mark.parametrize("name", ["A_attn2_noln", "C_mlp2_ln", "E_short2_ln"])
def test_logits_equal_the_golden_ones(shared: Path, name: str) -> None:
    model, case = golden_model(shared / "golden/paths", name)
    for pair in case["pairs"]:
        for tokens, logits in ((pair["x_r"], pair["clean"]), (pair["x_c"], pair["corrupt"])):
            expected = torch.tensor(logits, dtype=torch.float64)
            torch.testing.assert_close(model(torch.tensor(tokens)), expected, rtol=0, atol=1e-12)
            cached, activations = model.run_with_cache(torch.tensor([tokens]))
            torch.testing.assert_close(cached[0], expected, rtol=0, atol=1e-12)
            assert torch.equal(activations["logits"], cached)
