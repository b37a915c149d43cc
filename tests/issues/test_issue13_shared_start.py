"""Issue 13, section 3: positions at which the two runs read the same tokens are not computed, and no logit changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.patching.builders import close, small_transformer, two_runs
from torch import Tensor

from toulmin.patching import Graph, SourceValues, run_circuits, run_paths, source_values
from toulmin.patching.cache import first_difference
from toulmin.patching.execute import Execution
from toulmin.patching.models import as_computation
from toulmin.patching.plan_circuits import plan_circuits
from toulmin.patching.run_paths import start_of
from toulmin.paths import hypothesis
from toulmin.paths.space import make_space
from toulmin.subjects import Transformer

SAME = 3  # positions that read the same tokens

MODELS: dict[str, dict[str, Any]] = {
    "learned": {},
    "rotary, grouped queries": {"positions": "rotary", "n_kv_heads": 2, "norm": "rms"},
    "QK-norm": {"positions": "rotary", "qk_norm": True},
    "alibi": {"positions": "alibi"},
    "shortformer": {"positions": "shortformer"},
    "attention only": {"d_mlp": 0},
    "parallel": {"parallel": True},
    "biases": {"biases": ("q", "k", "v", "o")},
}


def runs(length: int = 6) -> tuple[Tensor, Tensor]:
    clean, counterfactual = two_runs(length=length)
    counterfactual[:, :SAME] = clean[:, :SAME]
    counterfactual[0, SAME] = clean[0, SAME] + 1 if clean[0, SAME] == 0 else clean[0, SAME] - 1
    return clean, counterfactual


def logits(model: Transformer, masks: np.ndarray[Any, Any], scored: Any, start: int | None) -> Tensor:
    clean, counterfactual = runs()
    computation = as_computation(model)
    first, second = SourceValues(computation, clean, scored), SourceValues(computation, counterfactual)
    plan = plan_circuits(computation.graph, masks, counterfactual_is_run=True)
    begin = start_of(first, second, scored) if start is None else start
    return Execution(computation, plan, first, second, start=begin).run(scored)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("share", [0.03, 0.5, 0.97])
def test_circuits_are_what_they_are_when_every_position_is_computed(kind: str, share: float) -> None:
    model = small_transformer(**MODELS[kind])
    graph = Graph.of(model)
    masks = (torch.rand(9, *graph.allowed.shape, generator=torch.Generator().manual_seed(5)) < share).numpy()
    for scored in (None, 4, torch.tensor([5, 3, 4]), torch.tensor([[3, 5], [4, 5], [3, 4]])):
        with torch.no_grad():
            close(logits(model, masks, scored, None), logits(model, masks, scored, 0))
    clean, counterfactual = runs()
    with torch.no_grad():
        dense = run_circuits(
            model, clean, source_values(model, counterfactual).values, torch.from_numpy(masks).double()
        )
        close(logits(model, masks, None, None), dense)


def test_the_first_position_is_where_the_runs_may_differ() -> None:
    model = small_transformer()
    clean, counterfactual = runs()
    first, second = source_values(model, clean), source_values(model, counterfactual)
    assert first_difference(first, second) == SAME
    assert first_difference(first.of_rows(slice(1, 2)), second.of_rows(slice(1, 2))) >= SAME
    assert first_difference(first, source_values(model, clean)) == 5
    assert start_of(first, second, torch.tensor([1, 5, 5])) == 1
    assert start_of(first, second, "all") == 0
    other = small_transformer(causal=False)
    assert first_difference(source_values(other, clean), source_values(other, counterfactual)) == 0


def test_circuits_at_positions() -> None:
    """Masks [C, S, R, T]: edges at single positions, among them those that are not computed."""
    model = small_transformer()
    graph, (clean, counterfactual) = Graph.of(model), runs()
    masks = torch.rand(5, *graph.allowed.shape, 6, generator=torch.Generator().manual_seed(1)) < 0.3
    with torch.no_grad():
        run = source_values(model, counterfactual)
        close(run_circuits(model, clean, run, masks), run_circuits(model, clean, run.values, masks.double()))


@pytest.mark.parametrize(
    "text", ["embed -> L0.H1[V@i-1] -> [K] L1.H2 -> logits", "embed@=4 ~> logits", "!L1.H0", "L0.H0@=1"]
)
def test_paths_with_offsets_and_positions(text: str) -> None:
    """Against the same values given as a tensor, which are never known to agree with the clean run."""
    model = small_transformer()
    clean, counterfactual = runs()
    space = make_space(Graph.of(model), [hypothesis(text)], 6)
    sets = [space.compile(hypothesis(text))]
    with torch.no_grad():
        found = run_paths(model, sets, clean, counterfactual, graph=space.graph, classes=space.classes)
        given = source_values(model, counterfactual, graph=space.graph).values
        close(
            found, run_paths(model, sets, clean, counterfactual, graph=space.graph, classes=space.classes, values=given)
        )
