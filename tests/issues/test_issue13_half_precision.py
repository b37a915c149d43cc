"""Issue 13, section 3: attribution on models in half precision: what is summed is summed in float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from scipy.stats import spearmanr

from toulmin.circuits import CircuitRunner, Eap
from toulmin.patching.relevance import norm_transposed
from toulmin.subjects import load
from toulmin.subjects.norms import Normalise
from toulmin.tasks import find_task


@pytest.mark.parametrize(("dtype", "least"), [(torch.float16, 0.99), (torch.bfloat16, 0.97)])
def test_scores_keep_their_order(dtype: torch.dtype, least: float) -> None:
    """Of a metric so faint that its gradients are below float16's smallest number: its scores keep their order."""
    found = []
    for kind in (torch.float32, dtype):
        subject: Any = load("embedded:induction-2l", dtype=kind)
        pairs = find_task("induction", subject, length=16).generate(8, 0)
        runner = CircuitRunner(subject.model.requires_grad_(False), pairs)
        found.append(Eap(metric=_faint).scores(runner))
    exact, half = found
    assert half.values.any()
    ranks: Any = spearmanr(abs(exact.flat()), abs(half.flat()))
    assert ranks.statistic > least
    assert len(exact.top(40) & half.top(40)) >= 36


def _faint(logits: torch.Tensor, batch: Any) -> torch.Tensor:
    """A ten-millionth of the logit difference."""
    rows = torch.arange(logits.shape[-2])
    return 1e-7 * (logits[..., rows, batch.answers[:, 0]] - logits.mean(-1))


def test_the_norms_jacobian_holds_for_large_float16_activations() -> None:
    """Language models have activations of hundreds, whose squares are infinite in float16."""
    norm = Normalise("rms", 16, 1e-5)
    generator = torch.Generator().manual_seed(0)
    resid = 400 * torch.randn(1, 3, 16, generator=generator)
    gradient = 100 * torch.randn(2, 1, 3, 16, generator=generator)
    with torch.no_grad():
        exact = norm_transposed(norm, resid, gradient.clone(), "gradient")
        half = norm_transposed(norm.half(), resid.half(), gradient.half(), "gradient")
    torch.testing.assert_close(half.float(), exact, rtol=1e-2, atol=1e-3)
    assert half.dtype == torch.float16
