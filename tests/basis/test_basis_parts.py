"""The learning coefficient of a part of a transformer: a head, an MLP, a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.func import functional_call, jacrev

from toulmin.basis import learning_coefficient, part_parameters, quadratic_coefficient
from toulmin.faults import FaultError
from toulmin.subjects import Transformer, TransformerConfig

#: attention alone, without norm: the logits are linear in what a head writes
CONFIG = TransformerConfig(n_layers=1, d_model=6, n_heads=3, d_head=2, d_vocab=7, n_ctx=3, norm="none")


def behaviour() -> tuple[Transformer, torch.Tensor, Any]:
    """A random model, tokens, and half the squared distance of the last logits to its own."""
    model = Transformer(CONFIG, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5, generator=torch.Generator().manual_seed(parameter.numel()))
    tokens = torch.randint(0, 7, (60, 3), generator=torch.Generator().manual_seed(1))
    target = model(tokens)[:, -1].detach()

    def loss(p: dict[str, torch.Tensor]) -> torch.Tensor:
        return 0.5 * (functional_call(model, p, (tokens,))[:, -1] - target).square().sum(1).mean()

    return model, tokens, loss


def test_what_a_head_writes_has_the_coefficient_of_its_quadratic_loss() -> None:
    """The curvatures are products of those of z, the head's mixed values, and of W_U."""
    model, tokens, loss = behaviour()
    head = 2
    settings: dict[str, Any] = {"step": 1.2e-3, "localisation": 50.0}
    restrict = {"layers.0.attn.W_O": part_parameters(model, f"L0.H{head}")["layers.0.attn.W_O"]}
    found = learning_coefficient(
        loss,
        dict(model.named_parameters()),
        1000,
        restrict=restrict,
        burn=100,
        draws=500,
        chains=8,
        generator=torch.Generator().manual_seed(2),
        **settings,
    )
    with torch.no_grad():
        attn = model.layers[0].attn
        x = model.run_with_cache(tokens, names=["L0.resid_pre"])[1]["L0.resid_pre"]
        q, k, v = (x @ w[head] for w in (attn.W_Q, attn.W_K, attn.W_V))
        for part, bias in ((q, attn.b_Q), (k, attn.b_K), (v, attn.b_V)):
            assert bias is not None
            part += bias[head]
        z = (((q[:, -1:] @ k.mT) * CONFIG.d_head**-0.5).softmax(-1) @ v)[:, 0]
    curvatures = np.outer(torch.linalg.eigvalsh(z.T @ z / 60), torch.linalg.eigvalsh(model.W_U @ model.W_U.T).detach())
    exact = quadratic_coefficient(curvatures.ravel(), 1000, **settings)
    assert found.interval[0] < exact < found.interval[1]
    assert found.error < 0.3
    assert found.r_hat < 1.05
    assert found.effective_samples > 200


def test_a_whole_head_has_the_coefficient_of_its_curvatures_where_the_chains_stay_near() -> None:
    """Q, K, V and O together are not quadratic; at a low temperature they are nearly, with the Hessian's curvatures."""
    model, _, loss = behaviour()
    restrict = part_parameters(model, "L0.H1")
    start = {name: value.detach() for name, value in model.named_parameters()}
    free = {name: value for name, value in start.items() if name in restrict}

    def of_head(rows: torch.Tensor) -> torch.Tensor:
        moved, at = dict(start), 0
        for name, value in free.items():
            size = value[1].numel()
            moved[name] = torch.cat([value[:1], rows[at : at + size].reshape(value[1:2].shape), value[2:]])
            at += size
        return loss(moved)

    rows = torch.cat([value[1].flatten() for value in free.values()])
    curvatures = torch.linalg.eigvalsh(jacrev(jacrev(of_head))(rows)).clamp(min=0).numpy()
    settings: dict[str, Any] = {"beta": 1.0, "step": 5.5e-7, "localisation": 1e5}
    found = learning_coefficient(
        loss,
        start,
        100_000,
        restrict=restrict,
        burn=150,
        draws=300,
        chains=4,
        generator=torch.Generator().manual_seed(3),
        **settings,
    )
    exact = quadratic_coefficient(curvatures, 100_000, **settings)
    assert 1 < exact < len(rows) / 2
    assert found.interval[0] < exact < found.interval[1]
    assert found.error < 0.05 * exact
    assert found.r_hat < 1.1
    assert found.effective_samples > 80


def test_a_head_whose_chains_have_not_mixed_is_refused() -> None:
    """Steps so small that every chain is still on its way, without and with the check."""
    model, _, loss = behaviour()
    settings: dict[str, Any] = {"step": 1e-7, "localisation": 1.0, "burn": 0, "draws": 30}
    settings["restrict"] = part_parameters(model, "L0.H0")
    with pytest.raises(FaultError, match="disagree"):
        learning_coefficient(loss, dict(model.named_parameters()), 1000, **settings)
    taken = learning_coefficient(loss, dict(model.named_parameters()), 1000, most_r_hat=None, **settings)
    assert taken.r_hat > 1.1
    assert taken.effective_samples < 30


def test_parts_are_what_their_names_say() -> None:
    config = TransformerConfig(
        n_layers=2, d_model=8, n_heads=4, d_head=2, n_kv_heads=2, d_vocab=5, n_ctx=3, d_mlp=10, norm="layer"
    )
    model = Transformer(config)
    head = part_parameters(model, "L1.H2")
    assert {name.rsplit(".", 1)[1] for name in head} == {"W_Q", "W_O", "b_Q"}  # keys and values are shared
    for mask in head.values():
        assert mask is not None
        assert mask[2].all()
        assert not mask[[0, 1, 3]].any()
    both = part_parameters(model, "L1.H2", "L1.H0")["layers.1.attn.W_Q"]
    assert both is not None
    assert both.flatten(1).all(1).tolist() == [True, False, True, False]
    assert part_parameters(model, "L1.H2", "L1.attn") == part_parameters(model, "L1.attn", "L1.H2")
    assert all(mask is None for mask in part_parameters(model, "L1.attn", "L1.H2").values())
    assert {name.split(".")[2] for name in part_parameters(model, "L0.mlp")} == {"mlp"}
    layer = part_parameters(model, "L0")
    assert {name.split(".")[1] for name in layer} == {"0"}
    assert len(layer) == sum(name.startswith("layers.0.") for name, _ in model.named_parameters())
    for wrong in ("L2", "L0.H4", "L0.head", "attn"):
        with pytest.raises(FaultError, match=r"basis\.parameters"):
            part_parameters(model, wrong)
