"""Circuits through the one evaluator: golden outputs of AutoCircuit, and known answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toulmin.faults import FaultError
from toulmin.patching import Graph, mean_values, run_circuits, source_values, zero_values
from toulmin.patching.ablation import resample_values
from toulmin.subjects import Transformer, TransformerConfig


def small(**changes: Any) -> Transformer:
    settings: dict[str, Any] = {
        "n_layers": 2,
        "d_model": 12,
        "n_heads": 3,
        "d_head": 4,
        "d_vocab": 17,
        "n_ctx": 8,
        "d_mlp": 20,
        "positions": "learned",
        "norm": "layer",
    }
    return Transformer(TransformerConfig(**(settings | changes)), torch.Generator().manual_seed(3)).double()


MODELS = {
    "plain": {},
    "attention_only": {"d_mlp": 0},
    "parallel": {"parallel": True},
    "parallel_attention_only": {"parallel": True, "d_mlp": 0},
    "rotary_gqa_gated": {
        "positions": "rotary",
        "norm": "rms",
        "n_heads": 4,
        "n_kv_heads": 2,
        "gated": True,
        "activation": "silu",
    },
    "shortformer": {"positions": "shortformer"},
}


def pair(seed: int = 0, batch: int = 3, length: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randint(17, (batch, length), generator=generator),
        torch.randint(17, (batch, length), generator=generator),
    )


def close(a: torch.Tensor, b: torch.Tensor, atol: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


@pytest.mark.parametrize("kind", MODELS)
def test_nothing_cut_is_the_run_and_everything_cut_is_the_values(kind: str) -> None:
    model = small(**MODELS[kind])
    tokens, other = pair()
    graph = Graph.of(model)
    values = source_values(model, other)
    close(values.logits, model(other)[:, -1])
    close(values.resid(len(graph.stages) - 1), model.run_to(other, model.config.n_layers))
    shape = graph.allowed.shape
    for scored in (None, "all", 2, torch.tensor([1, 5, -1])):
        got = run_circuits(model, tokens, values.values, np.stack([np.zeros(shape), np.ones(shape)]), scored=scored)
        for row, wanted in zip(got, (model(tokens), model(other)), strict=True):
            if isinstance(scored, torch.Tensor):
                close(row, wanted[torch.arange(3), scored])
            else:
                close(row, wanted if scored == "all" else wanted[:, -1 if scored is None else scored])


def reference_run(model: Transformer, tokens: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """One circuit, edge by edge and head by head, written from the definition."""
    graph = Graph.of(model)
    at = model.positions(tokens.shape[-1])
    number = {name: index for index, name in enumerate(graph.receivers)}
    out = {"embed": model.start(tokens, at)}

    def read(receiver: str, layer: int) -> torch.Tensor:
        column = number[receiver]
        stream = torch.zeros_like(out["embed"])
        for index in range(layer):
            bias = model.layers[index].attn.b_O
            stream = stream if bias is None else stream + bias
        if receiver.endswith("mlp") and not model.config.parallel:
            bias = model.layers[layer].attn.b_O
            stream = stream if bias is None else stream + bias
        for index, name in enumerate(graph.sources):
            if graph.allowed[index, column]:
                m = mask[index, column]
                m = m[None, :, None] if m.ndim else m
                stream = stream + (1 - m) * out[name] + m * values[index]
        return stream

    for index, layer in enumerate(model.layers):
        heads = {}
        for head in range(model.config.n_heads):
            name = f"L{index}.H{head}"
            q, k, v = (layer.norm1(read(f"{name}[{slot}]", index)) for slot in "QKV")
            a = layer.attn
            z = a.attend(a.q(q, at, [head]), a.k(k, at, [head]), a.v(v, at, [head]), at)
            heads[name] = a.result(z, [head])[..., 0, :]
        if model.config.parallel and layer.mlp is not None:
            heads[f"L{index}.mlp"] = layer.mlp_out(read(f"L{index}.mlp", index))
        out |= heads
        if layer.mlp is not None and not model.config.parallel:
            out[f"L{index}.mlp"] = layer.mlp_out(read(f"L{index}.mlp", index))
    return model.unembed(read("logits", model.config.n_layers)[:, -1])


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("positions", [False, True])
def test_random_real_masks_against_an_edge_by_edge_run(kind: str, positions: bool) -> None:
    model = small(**MODELS[kind])
    with torch.no_grad():
        for layer in model.layers:
            layer.attn.b_O.normal_(generator=torch.Generator().manual_seed(1)) if layer.attn.b_O is not None else None
    tokens, other = pair()
    values = source_values(model, other).values * 0.5
    generator = torch.Generator().manual_seed(2)
    shape = (2, *Graph.of(model).allowed.shape, *((6,) if positions else ()))
    masks = torch.rand(shape, generator=generator, dtype=torch.float64)
    masks[1] = (masks[1] < 0.3).double()
    got = run_circuits(model, tokens, values, masks)
    for row, mask in zip(got, masks, strict=True):
        close(row, reference_run(model, tokens, values, mask))
    close(run_circuits(model, tokens, values, masks, max_bytes=1), got)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.95])
def test_boolean_masks_take_a_shorter_way_to_the_same_logits(kind: str, share: float) -> None:
    """With values that are no run (half the other run's): a node whose inputs are all cut is still recomputed."""
    model = small(**(MODELS[kind] | {"n_layers": 3}))
    tokens, other = pair()
    values = source_values(model, other).values * 0.5
    draws = torch.rand(6, *Graph.of(model).allowed.shape, generator=torch.Generator().manual_seed(5))
    masks = draws < share
    wanted = run_circuits(model, tokens, values, masks.double())
    close(run_circuits(model, tokens, values, masks), wanted)
    close(run_circuits(model, tokens, values, masks, max_bytes=300_000), wanted)
    narrow = values[:, :1, :1]
    close(run_circuits(model, tokens, narrow, masks), run_circuits(model, tokens, narrow, masks.double()))


def test_merged_inputs_are_three_equal_columns() -> None:
    model = small()
    tokens, other = pair()
    values = source_values(model, other).values
    merged = Graph.of(model, merged_qkv=True)
    masks = torch.rand(2, *merged.allowed.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spread = masks[:, :, torch.from_numpy(merged.unmerged_columns)]
    close(run_circuits(model, tokens, values, masks, graph=merged), run_circuits(model, tokens, values, spread))


def test_edge_counts_of_gpt2_small() -> None:
    assert Graph.transformer(12, 12).n_edges == 32_491
    assert Graph.transformer(12, 12, merged_qkv=True).n_edges == 11_611
    graph = Graph.transformer(2, 2)
    assert [graph.edge_index(graph.edge_name(i)) for i in range(graph.n_edges)] == list(range(graph.n_edges))
    mask = graph.mask_from_edges([0, 7])
    assert mask.sum() == 2
    assert mask[graph.edge_source[7], graph.edge_receiver[7]]
    with pytest.raises(FaultError, match=r"patching\.unknown_edge.*L0\.H1->L1\.H0\[K\]"):
        graph.edge_index("L0.H1->L1.H0[k]")


def test_gradient_of_masks_is_a_finite_difference() -> None:
    model = small()
    tokens, other = pair()
    values = source_values(model, other).values.detach()
    masks = torch.full((1, *Graph.of(model).allowed.shape), 0.3, dtype=torch.float64, requires_grad=True)
    run_circuits(model, tokens, values, masks)[0, :, 3].sum().backward()
    assert masks.grad is not None
    for place in ((0, 1, 14), (0, 2, 19), (0, 4, 20)):
        step = torch.zeros_like(masks)
        step[place] = 1e-5
        with torch.no_grad():
            ends = [run_circuits(model, tokens, values, masks + s * step)[0, :, 3].sum() for s in (1, -1)]
        assert float(masks.grad[place]) == pytest.approx(float((ends[0] - ends[1]) / 2e-5), rel=1e-6, abs=1e-9)


def test_bad_masks_and_values_are_refused() -> None:
    model = small()
    tokens, other = pair()
    values = source_values(model, other).values
    shape = Graph.of(model).allowed.shape
    with pytest.raises(FaultError, match=r"patching\.masks"):
        run_circuits(model, tokens, values, np.zeros(shape))
    with pytest.raises(FaultError, match=r"patching\.nan"):
        run_circuits(model, tokens, values, np.full((1, *shape), np.nan))
    with pytest.raises(FaultError, match=r"patching\.values"):
        run_circuits(model, tokens, values[:, :, :3], np.zeros((1, *shape)))
    with pytest.raises(FaultError, match=r"patching\.tokens"):
        run_circuits(model, tokens + 99, values, np.zeros((1, *shape)))


def golden_circuit_model(folder: Path) -> tuple[Transformer, dict, dict[str, np.ndarray]]:
    case = json.loads((folder / "ln_mlp.json").read_text())
    cfg, weights = case["cfg"], np.load(folder / "ln_mlp_weights.npz")
    model = Transformer(
        TransformerConfig(
            n_layers=cfg["n_layers"],
            d_model=cfg["d_model"],
            n_heads=cfg["n_heads"],
            d_head=cfg["d_head"],
            d_vocab=cfg["d_vocab"],
            n_ctx=cfg["n_ctx"],
            d_mlp=cfg["d_mlp"],
            norm="layer",
            activation="gelu_tanh",
        )
    ).double()
    fixed = {"embed.W_E": "W_E", "pos_embed.W_pos": "W_pos", "unembed.W_U": "_W_U", "unembed.b_U": "b_U"}
    state = {}
    for key in weights.files:
        name = fixed.get(key) or key.replace("ln_final", "final_norm").replace("blocks", "layers").replace(
            ".ln", ".norm"
        )
        state[name] = torch.from_numpy(weights[key]).double()
    model.load_state_dict(state)
    return model, case, dict(np.load(folder / "ln_mlp_ablation_srcs.npz"))


def edge_of(name: str) -> str:
    """AutoCircuit's name of an edge in ours."""
    source, destination = name.split("->")

    def ours(node: str) -> str:
        if node.startswith("A"):
            layer, head, *slot = node[1:].split(".")
            return f"L{layer}.H{head}" + (f"[{slot[0]}]" if slot else "")
        return {"Resid Start": "embed", "Resid End": "logits"}.get(node) or f"L{node.split()[1]}.mlp"

    return f"{ours(source)}->{ours(destination)}"


def test_golden_circuits(shared: Path) -> None:
    """Five circuits, two directions, seven kinds of value: AutoCircuit's patched outputs, batch by batch."""
    model, case, stored = golden_circuit_model(shared / "golden/circuits")
    graph = Graph.of(model)
    clean, corrupt = torch.tensor(case["clean"]), torch.tensor(case["corrupt"])
    rows = [slice(at, at + 4) for at in range(0, 12, 4)]
    fixed = {
        "ZERO": zero_values(model),
        "TOKENWISE_MEAN_CLEAN": mean_values(model, [clean[r] for r in rows]),
        "TOKENWISE_MEAN_CORRUPT": mean_values(model, [corrupt[r] for r in rows]),
        "TOKENWISE_MEAN_CLEAN_AND_CORRUPT": mean_values(model, [clean, corrupt]),
    }
    for kind, value in fixed.items():
        close(value.expand(-1, 4, 6, -1), torch.from_numpy(stored[kind]))
    checked = 0
    for circuit in case["circuits"]:
        mask = graph.mask_from_edges(graph.edge_index(edge_of(name)) for name in circuit["edges"])
        for output, wanted in circuit["outputs"].items():
            direction, kind = output.split("/")
            tokens, other, cut = (clean, corrupt, ~mask) if direction == "TREE_PATCH" else (corrupt, clean, mask)
            for r in rows:
                values = {
                    "RESAMPLE": lambda r=r, other=other: resample_values(model, other[r]),
                    "BATCH_TOKENWISE_MEAN": lambda r=r, other=other: mean_values(model, [other[r]]),
                    "BATCH_ALL_TOK_MEAN": lambda r=r, other=other: mean_values(model, [other[r]], per_position=False),
                }.get(kind, lambda kind=kind: fixed[kind])()
                expected = torch.tensor(wanted[r], dtype=torch.float64)
                close(run_circuits(model, tokens[r], values, cut[None])[0], expected)
                if r is rows[0]:
                    close(run_circuits(model, tokens[r], values, cut[None].astype(float))[0], expected)
                checked += 1
    assert checked == 5 * 14 * 3
