"""The gradients of heads' inputs, [3 H, B, T, D] a layer, are made one layer after the other, never all together."""

from __future__ import annotations

import weakref

import pytest
import torch
from tests.patching.builders import small_transformer, two_runs
from torch import Tensor

from toulmin.patching import edge_gradients, source_values
from toulmin.patching.attention_kernel import AttentionKernel


def test_gradients_of_one_layer_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_transformer(n_layers=5, d_mlp=0).requires_grad_(False)
    clean, counterfactual = two_runs()
    alive: list[weakref.ref[Tensor]] = []
    together: list[int] = []
    record = AttentionKernel.record

    def watched(self: AttentionKernel, read: Tensor, rules: str) -> object:
        made = record(self, read, rules)  # type: ignore[arg-type]
        pull = made.pull

        def pulled(gradients: list[Tensor | None]) -> Tensor:
            found = pull(gradients)
            alive.append(weakref.ref(found))
            together.append(sum(one() is not None for one in alive))
            return found

        object.__setattr__(made, "pull", pulled)
        return made

    monkeypatch.setattr(AttentionKernel, "record", watched)
    values = source_values(model, counterfactual).values
    edge_gradients(model, clean, lambda logits: logits[:, 1].sum(), values=values)
    assert len(together) == 5
    assert max(together) <= 2  # that of the layer before may still be named
    assert torch.is_tensor(values)
