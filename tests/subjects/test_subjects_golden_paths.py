"""Plain forward passes against the golden models of path patching."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from toulmin.subjects import Transformer

Load = Callable[[str], tuple[Transformer, dict]]


@pytest.mark.parametrize("name", ["A_attn2_noln", "C_mlp2_ln", "E_short2_ln"])
def test_logits_equal_the_golden_ones(golden_model: Load, name: str) -> None:
    model, case = golden_model(name)
    for pair in case["pairs"]:
        for tokens, logits in ((pair["x_r"], pair["clean"]), (pair["x_c"], pair["corrupt"])):
            expected = torch.tensor(logits, dtype=torch.float64)
            torch.testing.assert_close(model(torch.tensor(tokens)), expected, rtol=0, atol=1e-12)
            cached, activations = model.run_with_cache(torch.tensor([tokens]))
            torch.testing.assert_close(cached[0], expected, rtol=0, atol=1e-12)
            assert torch.equal(activations["logits"], cached)
