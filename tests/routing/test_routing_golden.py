"""Masked gradients against the reference, and against steps written out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from routing_models import Net, gradients, loss, losses, tokens
from torch import Tensor, nn

from toulmin.routing import Route, RoutePlan, Router, token_strengths, token_weights
from toulmin.routing.token_weights import weights_of_rates


def test_masked_gradients_are_those_of_the_reference(shared: Path) -> None:
    case = json.loads((shared / "golden/routing/mlp_masked_grad.json").read_text())
    value = {k: torch.tensor(v, dtype=torch.float64) for k, v in case.items() if isinstance(v, list)}
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).double()
    with torch.no_grad():
        for parameter, name in zip(model.parameters(), ("W1", "b1", "W2", "b2"), strict=True):
            parameter.copy_(value[name])
    # five regions of one dimension; the strengths of a data point add to at most 1, so weights are 1 - 10 s
    wide = [Route(f"d{d}", at="1", dims=[d], inside=-9.0, outside=1.0) for d in range(5)]
    router = Router(model, RoutePlan(wide))
    strengths = (1 - value["mask"]) / 10
    x = value["x"].clone().requires_grad_()
    with router(labels=strengths):
        out = model(x)
        error = (out - value["y"]).square().mean()
    error.backward()
    assert torch.allclose(out, value["out"], rtol=0, atol=1e-12)
    assert abs(error.item() - case["loss"]) < 1e-12
    for parameter, name in zip(model.parameters(), ("dW1", "db1", "dW2", "db2"), strict=True):
        assert parameter.grad is not None
        assert (parameter.grad - value[name]).abs().max() < 1e-12, name
    assert x.grad is not None
    assert (x.grad - value["dx"]).abs().max() < 1e-12


def test_the_published_token_weights(shared: Path) -> None:
    table = json.loads((shared / "golden/routing/token_freq_weights.json").read_text())
    for token, row in table.items():
        rates = (torch.tensor([row[f"{part}_per_10k"]]) for part in ("forget", "retain"))
        (weight,) = weights_of_rates(*rates, pseudo=0.0)  # the rates of the table have theirs already
        assert abs(float(weight) - row["paper_weight"]) < 0.006, token


def test_token_weights_of_counts_follow_the_formula() -> None:
    forget, retain = torch.tensor([50, 0, 50]), torch.tensor([5, 5, 90])
    p = [(1e4 * f / 100 + 0.05) / (1e4 * r / 100 + 0.05) for f, r in ((50, 5), (0, 5), (50, 90))]
    expected = [1 - torch.sigmoid(torch.tensor(r - 1 / r - 4, dtype=torch.float64)) for r in p]
    assert torch.allclose(token_weights(forget, retain), torch.stack(expected))


def test_the_weight_of_a_position_is_that_of_the_next_token() -> None:
    weights = torch.tensor([1.0, 0.25, 0.5])
    rows = torch.tensor([[0, 1, 2], [0, 1, 2]])
    labels = token_strengths(rows, weights, torch.tensor([True, False]))
    assert labels[..., 0].tolist() == [[0.75, 0.5], [0.0, 0.0]]


FORGET = slice(12, 16)


def by_hand(model: Net, batch: Tensor, weights: Tensor, dims: slice, outside: float) -> dict[str, Tensor]:
    """Activation routing as detach arithmetic: w x + (1 - w) x.detach(), the weights w written out."""
    x = model.embed(batch[:, :-1])
    for block in model.blocks:
        hidden = block.mlp.act(block.mlp.fc(block.norm(x)))
        mask = torch.full((hidden.shape[-1],), outside, dtype=hidden.dtype)
        mask[dims] = 1.0
        w = (1 - weights[..., None]) + weights[..., None] * mask
        x = x + block.mlp.out(w * hidden + ((1 - w) * hidden).detach())
    logits = model.head(x)
    value = nn.functional.cross_entropy(logits.transpose(1, 2), batch[:, 1:])
    model.zero_grad()
    value.backward()
    return gradients(model)


@pytest.mark.parametrize("dims", [FORGET, [3, 7, 1]], ids=["span", "list"])
def test_activation_routes_against_detach_written_out(dims: slice | list[int]) -> None:
    model, batch = Net().double(), tokens()
    plan = RoutePlan([Route("forget", at="blocks.*.mlp.act", dims=dims, inside=1.0, outside=-0.75)])
    strengths = torch.rand(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    expected = by_hand(model, batch, strengths, dims, -0.75)  # type: ignore[arg-type]
    router = Router(model, plan)
    model.zero_grad()
    with router(labels=strengths[..., None]):
        value = loss(model, batch)
    value.backward()
    for name, gradient in gradients(model).items():
        assert (gradient - expected[name]).abs().max() < 1e-12, name


def zero_outside(model: Net, found: dict[str, Tensor], *, everything: bool) -> dict[str, Tensor]:
    """What only the forget units may train: rows of fc, columns of out."""
    for name, gradient in found.items():
        if name.endswith(("fc.weight", "fc.bias")):
            gradient[: FORGET.start] = 0
        elif name.endswith("out.weight"):
            gradient[:, : FORGET.start] = 0
        elif name.endswith("out.bias") or everything:
            gradient.zero_()
    return found


def test_parameter_routes_against_two_backward_passes() -> None:
    model, batch = Net().double(), tokens()
    labels = torch.tensor([0, -1, 0, 0, 1, -1])
    each = losses(model, batch)
    model.zero_grad()
    (each[labels == 0].sum() / each.numel()).backward(retain_graph=True)
    forget = zero_outside(model, gradients(model), everything=True)
    model.zero_grad()
    (each[labels != 0].sum() / each.numel()).backward()
    expected = {name: forget[name] + other for name, other in gradients(model).items()}

    plan = RoutePlan([Route("forget", params="blocks.*.mlp", rows_or_cols=FORGET, kind="parameter")])
    router = Router(model, plan)
    model.zero_grad()
    with router(labels=labels):
        each = losses(model, batch)
    per_item = each.mean(1)
    assert torch.equal(router.backward(per_item), per_item.mean())
    for name, gradient in gradients(model).items():
        assert (gradient - expected[name]).abs().max() < 1e-12, name


def sgtm_step(model: Net, batch: Tensor, mode: str) -> dict[str, Tensor]:
    """Selective gradient masking by hand: retain data see the forget units as zero; forget data run plainly."""
    x = model.embed(batch[:, :-1])
    for block in model.blocks:
        hidden = block.mlp.fc(block.norm(x))
        if mode == "retain":
            hidden = torch.cat([hidden[..., : FORGET.start], torch.zeros_like(hidden[..., FORGET])], -1)
        x = x + block.mlp.out(block.mlp.act(hidden))
    logits = model.head(x)
    model.zero_grad()
    nn.functional.cross_entropy(logits.transpose(1, 2), batch[:, 1:]).backward()
    found = gradients(model)
    return zero_outside(model, found, everything=False) if mode == "forget" else found


@pytest.mark.parametrize("mode", ["forget", "retain", "unlabelled"])
def test_forward_masks_against_a_step_of_selective_gradient_masking(mode: str) -> None:
    model, batch = Net().double(), tokens()
    expected = sgtm_step(model, batch, mode)
    route = Route("forget", at="blocks.*.mlp.act", dims=FORGET, params="blocks.*.mlp", kind="forward")
    router = Router(model, RoutePlan([route]))
    model.zero_grad()
    with router(labels=mode):
        value = loss(model, batch)
    value.backward()
    for name, gradient in gradients(model).items():
        assert (gradient - expected[name]).abs().max() < 1e-12, name
    if mode == "forget":
        assert gradients(model)["embed.weight"].abs().max() > 0  # the code masks the MLPs, not the whole model
