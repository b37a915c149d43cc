"""Squared actions of features: every order of the products gives the sum of the definition."""

from __future__ import annotations

import pytest
import torch

from toulmin.basis import squared_actions as module
from toulmin.basis.squared_actions import squared_actions


@pytest.mark.parametrize("past", [False, True])
@pytest.mark.parametrize("zeros", [0.0, 0.5])
@pytest.mark.parametrize(("J", "K", "F"), [(9, 7, 3), (6, 8, 7), (70, 66, 64)])
def test_every_order_of_the_products_is_the_definition(J: int, K: int, F: int, zeros: float, past: bool) -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    A, B, features, slopes = draw(J, K), draw(K, F), draw(11, J), draw(11, K)
    slopes = slopes * (torch.rand(11, K, generator=generator) >= zeros)
    slopes[4] = 0  # a sample that fires no neuron
    straight = draw(J, F) if past else None
    acting = torch.einsum("jk,nk,ki->nji", A, slopes, B) + (0 if straight is None else straight)
    known = (acting * features[:, :, None]).square().sum(0).T
    for max_bytes in (1, 1 << 14, 1 << 30):
        found = squared_actions(A, slopes, B, features, straight, max_bytes)
        torch.testing.assert_close(found, known, rtol=1e-12, atol=1e-12)
    single = [None if part is None else part.float() for part in (A, slopes, B, features, straight)]
    found = squared_actions(*single, max_bytes=1 << 14)  # type: ignore[arg-type]
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, known, rtol=1e-4, atol=1e-4)


def test_neurons_without_slope_are_left_out_of_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """A neuron that never fires takes no part, whatever it would write: not a number, here."""
    A, B = torch.ones(70, 66), torch.ones(66, 64)
    B[0] = torch.nan
    slopes = torch.ones(3, 66)
    slopes[:, :20] = 0
    known = squared_actions(A[:, 20:], slopes[:, 20:], B[20:], torch.ones(3, 70), None, 1 << 20)
    assert torch.equal(squared_actions(A, slopes, B, torch.ones(3, 70), None, 1 << 20), known)
    monkeypatch.setattr(module, "_LARGE", 1 << 30)  # as small layers are computed: with every neuron
    assert squared_actions(A, slopes, B, torch.ones(3, 70), None, 1 << 20).isnan().all()
