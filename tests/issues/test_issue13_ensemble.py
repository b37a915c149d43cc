"""Issue 13, section 4 (d): ensembles of scores and greedy construction as methods that a study can run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from toulmin.circuits import Circuit, CircuitRunner, Eap, EapIg
from toulmin.circuits.discovery import Acdc, Ensemble, RandomScores, Relp
from toulmin.circuits.discovery.combine import combine_scores, greedy_circuit
from toulmin.circuits.discovery.methods import discover
from toulmin.evidence import Store
from toulmin.faults import FaultError
from toulmin.studies import Run, execute, find_study, re_derive
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.tasks import Pair, find_metric


@pytest.fixture(scope="module")
def runner() -> CircuitRunner:
    model = Transformer(TransformerConfig(2, 16, 2, 4, 24, 8, 11), torch.Generator().manual_seed(0)).double()
    rng = np.random.default_rng(0)
    pairs = [Pair(tuple(rng.integers(0, 11, 5)), tuple(rng.integers(0, 11, 5)), (1,), (2,)) for _ in range(4)]
    return CircuitRunner(model.requires_grad_(False), pairs)


def test_the_circuit_is_that_of_the_mean_of_the_members_scores(runner: CircuitRunner) -> None:
    members = [Eap(), EapIg(steps=3), Relp(patterns="gradient")]
    expected = combine_scores([member.scores(runner) for member in members], weights=[2, 1, 1])
    found = discover(runner, "ensemble", members=members, weights=(2, 1, 1), size=9)
    assert found.scores is not None
    np.testing.assert_array_equal(found.scores.values, expected.values)
    assert found.circuit == expected.top(9)
    assert found.circuit != members[0].scores(runner).top(9), "the other members must count"
    assert found.scores.ablation == "resample"
    assert found.scores.metric == find_metric("logit_diff")
    assert found.method.startswith("ensemble (scaled mean of 2 EAP")
    ranks = Ensemble(members=tuple(members), how="ranks").scores(runner)
    np.testing.assert_array_equal(ranks.values, combine_scores([m.scores(runner) for m in members], how="ranks").values)


def leads_nowhere(circuit: Circuit) -> list[str]:
    """The edges into a component of which no edge is kept."""
    sources = {edge.split("->")[0] for edge in circuit}
    receivers = {edge: edge.split("->")[1].split("[")[0] for edge in circuit}
    return [edge for edge, receiver in receivers.items() if receiver not in {*sources, "logits"}]


def test_one_member_built_greedily(runner: CircuitRunner) -> None:
    scores = Eap().scores(runner)
    found = discover(runner, "ensemble", members=("eap",), greedy=True, size=6)
    assert found.circuit == greedy_circuit(scores, 6)
    assert leads_nowhere(found.circuit) == []
    assert leads_nowhere(scores.top(6)), "the largest scores alone must leave an edge that leads nowhere"
    assert found.method.endswith(", greedy)")


def test_steps_are_those_of_the_members_and_the_seed_reaches_them(runner: CircuitRunner) -> None:
    method = Ensemble(members=(Eap(), EapIg(steps=3)))
    told: list[int] = []
    method.scores(runner, told.append)
    assert sum(told) == method.steps_on(runner) == Eap().steps_on(runner) + EapIg(steps=3).steps_on(runner)
    assert method.passes(runner) == pytest.approx(Eap().passes(runner) + EapIg(steps=3).passes(runner))
    drawn = Ensemble(members=(Eap(), RandomScores())).with_seed(7).members[1]
    assert isinstance(drawn, RandomScores)
    assert drawn.seed == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"members": (Acdc(),)}, "acdc scores no edges"),
        ({"members": (Eap(per_position=True),)}, "eap scores edges at positions, the ensemble does not"),
        ({"members": (Eap(),), "weights": (1.0, 2.0)}, "2 weights for 1 members"),
        ({"members": (Eap(), EapIg()), "weights": (1.0, -1.0)}, "sum to 0"),
        ({"members": (Eap(per_position=True),), "per_position": True, "greedy": True}, "has no positions"),
        ({"members": ()}, "at least 1"),
    ],
)
def test_ensembles_that_cannot_be_are_refused(settings: Any, message: str) -> None:
    with pytest.raises(FaultError, match=message):
        Ensemble(**settings)


def test_a_study_of_an_ensemble_leaves_a_record_that_follows_from_its_items(tmp_path: Any) -> None:
    kind: Any = find_study("circuits.discover")
    method = {"name": "ensemble", "members": ["eap", {"name": "eap_ig", "steps": 2}], "greedy": True, "size": 30}
    store = Store(tmp_path)
    evidence = execute(kind.model_validate({**kind.presets["tiny"], "method": method}), store, Run(tmp_path / "work"))
    assert re_derive(evidence, store) == []
    assert "agreement" in evidence.measures
