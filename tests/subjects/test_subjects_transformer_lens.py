"""Reading TransformerLens's names: gated biases, folded norms, buffers, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.functional import silu

from toulmin.faults import FaultError
from toulmin.subjects import from_transformer_lens

CFG: dict[str, Any] = {
    "n_layers": 1,
    "d_model": 6,
    "n_ctx": 5,
    "d_head": 3,
    "n_heads": 2,
    "d_mlp": 7,
    "d_vocab": 9,
    "act_fn": "silu",
    "gated_mlp": True,
    "normalization_type": None,
    "positional_embedding_type": "alibi",
}


def random_state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "embed.W_E": (9, 6),
        "pos_embed.W_pos": (5, 6),
        "unembed.W_U": (6, 9),
        "unembed.b_U": (9,),
        "blocks.0.mlp.W_in": (6, 7),
        "blocks.0.mlp.W_gate": (6, 7),
        "blocks.0.mlp.b_in": (7,),
        "blocks.0.mlp.W_out": (7, 6),
        "blocks.0.mlp.b_out": (6,),
        "blocks.0.attn.b_O": (6,),
        "blocks.0.attn.W_O": (2, 3, 6),
        "blocks.0.attn.mask": (5, 5),
    }
    shapes |= {f"blocks.0.attn.W_{x}": (2, 6, 3) for x in "QKV"} | {f"blocks.0.attn.b_{x}": (2, 3) for x in "QKV"}
    return {name: torch.randn(shape, generator=generator).double() for name, shape in shapes.items()}


def test_gated_bias_comes_after_the_gate_there() -> None:
    state = random_state()
    model = from_transformer_lens(state, CFG)
    tokens = torch.tensor([1, 4, 2])
    cache = model.run_with_cache(tokens, ["L0.resid_mid", "L0.mlp_out"])[1]
    x, mlp = cache["L0.resid_mid"], {k.removeprefix("blocks.0.mlp."): v for k, v in state.items() if ".mlp." in k}
    inside = silu(x @ mlp["W_gate"]) * (x @ mlp["W_in"]) + mlp["b_in"]
    torch.testing.assert_close(cache["L0.mlp_out"], inside @ mlp["W_out"] + mlp["b_out"], rtol=0, atol=1e-12)


def test_input_weights_are_one_matrix_in_memory() -> None:
    """Else every projection of all heads would copy them."""
    state = random_state()
    attn = from_transformer_lens(state, CFG).layers[0].attn
    for slot in "QKV":
        weight = getattr(attn, f"W_{slot}")
        assert torch.equal(weight, state[f"blocks.0.attn.W_{slot}"].to(weight.dtype))
        assert weight.permute(1, 0, 2).reshape(6, -1).data_ptr() == weight.data_ptr()


def test_live_object_is_read_through_cfg_and_state_dict() -> None:
    live = SimpleNamespace(cfg=SimpleNamespace(**CFG), state_dict=random_state)
    tokens = torch.tensor([1, 4, 2])
    assert torch.equal(from_transformer_lens(live)(tokens), from_transformer_lens(random_state(), CFG)(tokens))


def test_folded_norms_have_no_weights() -> None:
    cfg = CFG | {"normalization_type": "LNPre", "positional_embedding_type": "standard", "gated_mlp": False}
    state = {name: tensor for name, tensor in random_state().items() if "gate" not in name}
    model = from_transformer_lens(state, cfg)
    x = torch.randn(6, generator=torch.Generator().manual_seed(1)).double()
    expected = (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(model.layers[0].norm2(x), expected)


def test_everything_wrong_is_listed_under_their_names() -> None:
    state = random_state()
    del state["blocks.0.attn.W_Q"]
    state["blocks.0.mlp.b_out"] = torch.zeros(5).double()
    state["surplus"] = torch.zeros(1)
    with pytest.raises(FaultError) as caught:
        from_transformer_lens(state, CFG)
    assert sorted(str(fault.name) for fault in caught.value.faults) == [
        "blocks.0.attn.W_Q",
        "blocks.0.mlp.b_out",
        "surplus",
    ]
    with pytest.raises(FaultError) as caught:
        from_transformer_lens(state, CFG | {"act_fn": "solu_ln", "num_experts": 4, "d_model": "six"})
    assert sorted(str(fault.name) for fault in caught.value.faults) == ["act_fn", "d_model", "num_experts"]
    with pytest.raises(FaultError, match="no HookedTransformer or TransformerBridge"):
        from_transformer_lens(object())
