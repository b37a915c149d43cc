"""The gates of parameter routes: every short cut gives what the plain product gives, entry by entry."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from toulmin.routing import Route, RoutePlan, Router
from toulmin.routing.gates import Gate, find_runs

SIZES = [(6, 5), (700, 600)]  # the second is large enough for zeros that nobody has written


def some_weights(shape: tuple[int, int]) -> dict[str, Tensor]:
    rows, columns = torch.zeros(shape[0], 1).double(), torch.ones(1, shape[1]).double()
    rows[1:3], rows[-1] = 1.0, 1.0
    columns[:, 2:4] = 0.0
    return {
        "nothing": torch.zeros(1, 1).double(),
        "half": torch.full((1, 1), 0.5).double(),
        "rows": rows,
        "columns": columns,
        "weighed rows": rows * 0.3,
        "both axes": rows * columns,
    }


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("which", some_weights((6, 5)))
def test_a_gate_is_the_product_and_exactly_zero_where_the_weight_is(
    which: str, dtype: torch.dtype, shape: tuple[int, int]
) -> None:
    weights = some_weights(shape)[which]
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    whole = weights.expand(shape)
    for poison in (0.0, float("nan"), float("inf")):
        given = torch.where(whole == 0, torch.tensor(poison, dtype=dtype), gradient)
        kept = given.clone()
        found = Gate.of(weights).weigh(given)
        assert torch.equal(found, torch.where(whole == 0, 0.0, gradient * whole.to(dtype)))
        assert found.data_ptr() != given.data_ptr()
        assert torch.equal(given.nan_to_num(), kept.nan_to_num())  # what arrives may be another's gradient too


def test_runs_are_the_stretches_of_one_axis() -> None:
    mask = torch.tensor([[True, False, True, True, False, True]])
    runs = find_runs(mask)
    assert runs is not None
    assert [(run.axis, run.start, run.stop) for run in runs] == [(1, 0, 1), (1, 2, 4), (1, 5, 6)]
    assert find_runs(mask & mask.reshape(6, 1)) is None


@pytest.mark.parametrize("scattered", [False, True])
def test_large_parameters_accumulate_block_and_clip_as_small_ones_do(scattered: bool) -> None:
    """The step of an MLP whose gradients are zeros that nobody has written against one worked out entry by entry."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Sequential(nn.Linear(600, 700), nn.ReLU(), nn.Linear(700, 600)))
    inside = [*range(3, 90), *range(200, 220)] if scattered else list(range(600, 700))
    router = Router(model, RoutePlan([Route("f", params="0", rows_or_cols=inside, kind="parameter")]))
    x = torch.randn(3, 600)
    hidden = torch.zeros(700, dtype=torch.bool)
    hidden[inside] = True
    allowed = [hidden[:, None].expand(700, 600), hidden, hidden.expand(600, 700), torch.zeros(600, dtype=torch.bool)]

    def run(labels: list[str]) -> list[Tensor]:
        model.zero_grad()
        for label in labels:
            with router(labels=label):
                value = model(x).square().mean()
            value.backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    plain, routed, both = run(["unlabelled"]), run(["f"]), run(["unlabelled", "f"])
    for i, mask in enumerate(allowed):
        assert torch.equal(routed[i], plain[i] * mask)
        assert torch.allclose(both[i], plain[i] * (1 + mask.float()), rtol=1e-6, atol=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    run(["unlabelled"])
    optimizer.step()
    router.block_updates(optimizer)
    run(["f"])
    nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    before = [p.detach().clone() for p in model.parameters()]
    moments = [optimizer.state[p]["exp_avg"].clone() for p in model.parameters()]
    optimizer.step()
    for p, old, moment, mask in zip(model.parameters(), before, moments, allowed, strict=True):
        assert torch.equal(p[~mask], old[~mask])
        assert torch.equal(optimizer.state[p]["exp_avg"][~mask], moment[~mask])
        assert not mask.any() or bool((p[mask] != old[mask]).any())
