"""The factored transformer on its own: known logits, names, parts, edits, transforms, every architecture's parts."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, hessian, jvp, vmap

from toulmin.faults import ExitCode, FaultError
from toulmin.subjects import (
    KeyValueCache,
    Transformer,
    TransformerConfig,
    activation_names,
    generate,
)
from toulmin.subjects.positions import alibi_slopes

# torch's own forward-mode rules call torch.jit.script, which warns since 2.13
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

BASE = TransformerConfig(n_layers=2, d_model=8, n_heads=4, d_head=4, d_vocab=13, n_ctx=9, d_mlp=12)
VARIANTS: dict[str, dict] = {
    "learned": {},
    "attention-only": {"d_mlp": 0},
    "shortformer": {"positions": "shortformer"},
    "rotary": {"positions": "rotary", "rotary_dim": 2, "rotary_interleaved": True},
    "alibi": {"positions": "alibi", "norm": "rms"},
    "grouped": {"n_kv_heads": 2, "positions": "rotary", "gated": True, "activation": "silu", "biases": ()},
    "parallel": {"parallel": True, "activation": "relu"},
    "post-norms": {"post_norms": True, "norm": "rms", "logit_softcap": 3.0, "attn_softcap": 2.0, "qk_norm": True},
    "joint-qk-norm": {"qk_norm": True, "qk_norm_joint": True, "n_kv_heads": 2, "positions": "rotary", "norm": "rms"},
    "norms-after-only": {"pre_norms": False, "post_norms": True, "qk_norm": True, "qk_norm_joint": True},
    "experts": {"n_experts": 3, "experts_per_token": 2, "gated": True, "biases": (), "normalise_routing": True},
    "some-rotary": {"positions": "rotary", "unrotated_layers": (1,)},
    "windows": {"windows": (2, None), "tied": True},
    "bidirectional": {"causal": False, "norm": "none"},
    "bidirectional-window": {"causal": False, "windows": (2, 3), "positions": "alibi"},
    "wide-output": {"d_vocab_out": 5, "embed_scale": 2.5, "attn_scale": 1.0},
}
TOKENS = torch.randint(0, 13, (3, 7), generator=torch.Generator().manual_seed(1))


def make(name: str) -> Transformer:
    model = Transformer(dataclasses.replace(BASE, **VARIANTS[name])).double()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(2)
        for parameter in model.parameters():  # biases and norm weights too
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


def test_one_layer_by_hand() -> None:
    """Two tokens, one head of one dimension, no norm: every number can be worked out on paper."""
    config = TransformerConfig(1, 2, 1, 1, 2, 2, d_mlp=1, norm="none", activation="relu", biases=("mlp",))
    model = Transformer(config).double()
    layer = model.layers[0]
    assert layer.mlp is not None
    weights = {
        model.W_E: [[1.0, 0.0], [0.0, 1.0]],
        model.W_pos: [[0.0, 0.0], [1.0, 0.0]],
        layer.attn.W_Q: [[[1.0], [0.0]]],
        layer.attn.W_K: [[[0.0], [math.log(3)]]],
        layer.attn.W_V: [[[2.0], [4.0]]],
        layer.attn.W_O: [[[0.0, 1.0]]],
        layer.mlp.W_in: [[1.0], [-1.0]],
        layer.mlp.b_in: [0.5],
        layer.mlp.W_out: [[1.0, 0.0]],
        layer.mlp.b_out: [0.0, 0.25],
        model.W_U: [[1.0, 0.0], [0.0, 1.0]],
    }
    with torch.no_grad():
        for parameter, value in weights.items():
            parameter.copy_(torch.tensor(value, dtype=torch.float64))
    logits, cache = model.run_with_cache(torch.tensor([0, 1]))
    # streams (1,0), (1,1); keys 0, ln 3; query of position 1 is 1: pattern 1/4, 3/4; values 2, 6: z = 2, 5
    close(cache["L0.pattern"], torch.tensor([[[1.0, 0.0], [0.25, 0.75]]]).double())
    close(
        cache["L0.result"][:, 0],
        torch.tensor([[0.0, 2.0], [0.0, 5.0]]).double(),
    )
    close(cache["L0.resid_mid"], torch.tensor([[1.0, 2.0], [1.0, 6.0]]).double())
    close(logits, torch.tensor([[1.0, 2.25], [1.0, 6.25]]).double())  # relu(1-2+.5) = relu(1-6+.5) = 0


def test_experts_by_hand() -> None:
    """Each token's output is the sum, over its two most probable experts, of their probability times a small MLP."""
    model = make("experts")
    mlp, x = model.requires_grad_(False).layers[0].mlp, model.layers[0].norm2(model.run_to(TOKENS, 1))[0]
    assert mlp is not None
    assert mlp.W_router is not None
    assert mlp.W_gate is not None
    expected = torch.zeros_like(x)
    for token, own in enumerate(x):
        likely = {e: math.exp(float(own @ mlp.W_router[:, e])) for e in range(3)}
        chosen = sorted(likely, key=lambda e: -likely[e])[:2]
        for e in chosen:
            neurons = range(4 * e, 4 * e + 4)
            for n in neurons:
                gate = torch.nn.functional.gelu(own @ mlp.W_gate[:, n], approximate="tanh")
                weight = likely[e] / sum(likely[other] for other in chosen)
                expected[token] += weight * gate * (own @ mlp.W_in[:, n]) * mlp.W_out[n]
    close(mlp(x), expected)


def test_the_same_seed_gives_the_same_logits() -> None:
    model = Transformer(BASE, torch.Generator().manual_seed(11))
    expected = torch.tensor([0.7344, -0.4614, -1.1660])
    torch.testing.assert_close(model(TOKENS)[0, -1, :3], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
class TestEveryVariant:
    def test_cached_pass_equals_plain(self, name: str) -> None:
        model = make(name)
        with torch.no_grad():
            plain = model(TOKENS)  # the fused kernel
        logits, cache = model.run_with_cache(TOKENS)
        close(logits, plain)
        assert list(cache) == [name for name in activation_names(model.config) if not name.endswith(".result")]
        assert plain.shape == (3, 7, model.config.vocab_out)

    def test_the_stream_is_the_sum_of_its_components(self, name: str) -> None:
        model = make(name)
        wanted = [*model.components[:-1], "pos_embed", "L1.resid_post"]
        cache = model.run_with_cache(TOKENS, [n for n in wanted if n != "pos_embed" or name_is_learned(model)])[1]
        stream = cache.pop("L1.resid_post")
        if model.config.additive:
            biases = [layer.attn.b_O for layer in model.layers if layer.attn.b_O is not None]
            total = sum([*cache.values(), *biases], torch.zeros_like(stream))
            close(total, stream)

    def test_running_in_two_parts(self, name: str) -> None:
        model = make(name)
        for layer in range(3):
            close(model.run_from(model.run_to(TOKENS, layer), layer), model(TOKENS))

    def test_parts_on_separate_inputs(self, name: str) -> None:
        """Each head fed its own copy of the stream, as patching does, gives what the whole layer gives."""
        model = make(name)
        cache = model.run_with_cache(TOKENS)[1]
        at, heads = model.positions(7), [2, 0, 3, 1]
        for index, layer in enumerate(model.layers):
            x = layer.norm1(cache[f"L{index}.resid_pre"])
            own = x.unsqueeze(-2).expand(3, 7, 4, 8)
            q, k, v = (part(own, at, heads, per_head=True) for part in (layer.attn.q, layer.attn.k, layer.attn.v))
            shared = [part(x, at, heads) for part in (layer.attn.q, layer.attn.k, layer.attn.v)]
            for each, both in zip((q, k, v), shared, strict=True):
                close(each, both)
            z = layer.attn.attend(q, k, v, at, heads=heads)
            close(z, cache[f"L{index}.z"][..., heads, :])
            close(layer.attn.result(z, heads), cache[f"L{index}.result"][..., heads, :])
            late = torch.tensor([2, 5])  # only some positions, with an extra leading axis on the queries
            z = layer.attn.attend(q[None, :, late], k, v, at.at(late), at, heads)
            close(z[0], cache[f"L{index}.z"][:, late][..., heads, :])
            close(layer.attention_out(cache[f"L{index}.resid_pre"], at), cache[f"L{index}.attn_out"])

    def test_transforms(self, name: str) -> None:
        model = make(name)
        parameters: dict[str, Tensor] = dict(model.named_parameters())
        whole = model(TOKENS)
        close(vmap(lambda tokens: functional_call(model, parameters, (tokens,)))(TOKENS), whole)
        resid = model.run_to(TOKENS, 1).detach()
        direction = torch.ones_like(resid)
        tangent = jvp(lambda r: model.run_from(r, 1), (resid,), (direction,))[1]
        step = (model.run_from(resid + 1e-6 * direction, 1) - model.run_from(resid - 1e-6 * direction, 1)) / 2e-6
        torch.testing.assert_close(tangent, step, rtol=1e-5, atol=1e-6)
        gradients = grad(lambda p: functional_call(model, p, (TOKENS,)).logsumexp(-1).sum())(parameters)
        whole.logsumexp(-1).sum().backward()
        for key, parameter in parameters.items():
            close(gradients[key], parameter.grad if parameter.grad is not None else torch.zeros_like(parameter))

    def test_training_mode_has_the_same_gradients(self, name: str) -> None:
        model = make(name)
        model(TOKENS).pow(2).sum().backward()
        exact = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        model.zero_grad()
        model.train()(TOKENS).pow(2).sum().backward()
        for a, b in zip(exact, (p.grad for p in model.parameters() if p.grad is not None), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in VARIANTS if "bidirectional" not in name])
def test_writing_with_a_cache(name: str) -> None:
    model = make(name)
    past = KeyValueCache(2, 7)
    with torch.no_grad():
        pieces = [model(TOKENS[:, :3], past), model(TOKENS[:, 3:4], past), model(TOKENS[:, 4:], past)]
        close(torch.cat(pieces, dim=1), model(TOKENS))


def name_is_learned(model: Transformer) -> bool:
    return model.config.positions == "learned"


def test_second_derivatives() -> None:
    model = make("learned")
    resid = model.run_to(TOKENS[:1, :2], 1).detach()
    assert hessian(lambda r: model.run_from(r, 1)[0, -1, 0])(resid).abs().max() > 0


def test_edits_replace_what_they_name() -> None:
    model = make("learned")
    base, cache = model.run_with_cache(TOKENS)
    edited, after = model.run_with_cache(TOKENS, ["L0.H2", "L0.result", "L0.resid_mid"], {"L0.H2": torch.zeros_like})
    assert list(after) == ["L0.H2", "L0.result", "L0.resid_mid"]
    assert after["L0.H2"].abs().max() == 0
    close(after["L0.resid_mid"], cache["L0.resid_mid"] - cache["L0.result"][..., 2, :])
    assert not torch.equal(edited, base)
    for name in ("embed", "pos_embed", "L0.q", "L1.pattern", "L1.mlp", "L1.resid_post"):
        close(model.run_with_cache(TOKENS, [], {name: lambda value: value.clone()})[0], base)
        assert not torch.equal(model.run_with_cache(TOKENS, [], {name: lambda value: value * 0.5})[0], base)
    close(
        model.run_with_cache(TOKENS, [], {"L1.resid_pre": lambda _: cache["L1.resid_pre"][:1].expand(3, 7, 8)})[0],
        base[:1].expand(3, 7, 13),
    )


@pytest.mark.parametrize("norm", ["layer", "rms", "none"])
def test_shares_sum_to_the_logits(norm: str) -> None:
    model = Transformer(dataclasses.replace(BASE, norm=norm), torch.Generator().manual_seed(4)).double()
    parts = [*model.components[:-1], "pos_embed"]
    logits, cache = model.run_with_cache(TOKENS, [*parts, "L1.resid_post"])
    shares = [model.final_norm.share(cache[name], cache["L1.resid_post"]) @ model.W_U for name in parts]
    close(sum(shares, torch.zeros_like(logits)), logits)  # all biases are zero here


def test_unknown_names_are_all_listed() -> None:
    with pytest.raises(FaultError) as caught:
        make("attention-only").run_with_cache(TOKENS, ["L0.mlp", "L0.H4", "embed"], {"L9.q": torch.zeros_like})
    assert [fault.name for fault in caught.value.faults] == ["L0.mlp", "L0.H4", "L9.q"]


def test_components() -> None:
    assert make("learned").components == [
        "embed",
        *(f"L0.H{head}" for head in range(4)),
        "L0.mlp",
        *(f"L1.H{head}" for head in range(4)),
        "L1.mlp",
        "logits",
    ]


def test_alibi_slopes() -> None:
    assert alibi_slopes(8) == [2.0**-k for k in range(1, 9)]
    assert alibi_slopes(12)[8:] == [2**-0.5, 2**-1.5, 2**-2.5, 2**-3.5]
    assert alibi_slopes(1) == [2.0**-8]


def test_sampling_repeats_with_its_seed_and_stops() -> None:
    model = Transformer(BASE)
    prompt = torch.tensor([[1, 2]])

    def sample(seed: int) -> Tensor:
        return generate(model, prompt, 7, temperature=1.0, top_k=5, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(sample(3), sample(3))
    assert len({tuple(sample(seed)[0].tolist()) for seed in range(20)}) > 5
    first = int(generate(model, prompt, 1)[0, -1])
    assert generate(model, prompt, 7, stop=[first]).tolist() == [[1, 2, first]]
    wrongs: list[dict[str, Any]] = [{"n_tokens": 8}, {"n_tokens": 2, "temperature": 1.0}]
    for wrong in wrongs:
        with pytest.raises(FaultError):
            generate(model, prompt, **wrong)
    with pytest.raises(FaultError) as caught:
        generate(model, prompt, 8)
    assert caught.value.exit_code == ExitCode.LIMIT


def test_contradictory_shapes_are_all_listed() -> None:
    with pytest.raises(FaultError) as caught:
        TransformerConfig(0, 8, 4, 3, 13, 9, n_kv_heads=3, positions="rotary", tied=True, d_vocab_out=4, biases=("x",))
    names = [fault.name for fault in caught.value.faults]
    assert names == ["n_layers", "n_kv_heads", "biases", "rotary_dim", "tied"]
    assert caught.value.exit_code == ExitCode.SUBJECT


@pytest.mark.parametrize("name", VARIANTS)
def test_shapes_survive_json(name: str) -> None:
    config = dataclasses.replace(BASE, **VARIANTS[name])
    assert TransformerConfig.from_dict(config.to_dict()) == config
