"""Several regions by forward masks: data of one region never see another, so that access profiles run as trained."""

from __future__ import annotations

import pytest
import torch
from routing_models import Net, gradients, loss, tokens

from toulmin.routing import Route, RoutePlan, Router, profile

SPANS = {"a": slice(4, 8), "b": slice(8, 12), "c": slice(12, 16)}
PLAN = RoutePlan(
    [Route(n, at="blocks.*.mlp.act", dims=s, params="blocks.*.mlp", kind="forward") for n, s in SPANS.items()]
)


@pytest.mark.parametrize("label", [*SPANS, "retain"])
def test_labelled_data_see_the_model_of_their_access_profile(label: str) -> None:
    model = Net().double()
    alone = profile(model, PLAN, on={label} & set(SPANS))(tokens())
    full = model(tokens())
    router = Router(model, PLAN)
    with router(labels=label):
        seen = model(tokens())
    assert torch.allclose(seen, alone, rtol=0, atol=1e-12)
    assert not torch.allclose(seen, full, rtol=0, atol=1e-3)
    with router():
        assert torch.equal(model(tokens()), full)  # unlabelled data see everything


def test_each_row_of_a_mixed_batch_sees_its_own_profile() -> None:
    model, batch = Net().double(), tokens(5)
    labels = ["b", "retain", None, "a", "c"]
    on = [{"b"}, set(), set(SPANS), {"a"}, {"c"}]
    expected = torch.stack([profile(model, PLAN, on=o)(row[None])[0] for o, row in zip(on, batch, strict=True)])
    with Router(model, PLAN)(labels=labels):
        seen = model(batch)
    assert torch.allclose(seen, expected, rtol=0, atol=1e-12)


def test_the_other_regions_get_exactly_no_gradient() -> None:
    model = Net().double()
    with Router(model, PLAN)(labels="b"):
        value = loss(model, tokens())
    value.backward()
    weight = gradients(model)["blocks.0.mlp.fc.weight"]
    assert [bool((weight[s] != 0).any()) for s in (slice(0, 4), *SPANS.values())] == [False, False, True, False]
