"""Issue 11: settings of discovery methods are never ignored; studies load once, resume, and keep the whole graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toulmin.circuits import (
    Acdc,
    Circuit,
    CircuitRunner,
    Discovery,
    Eap,
    EapIg,
    EdgeProbing,
    EdgeScores,
    ExactEffects,
    Methodology,
    Relp,
    attribution_agreement,
    discover,
    to_autocircuit,
    to_mib,
)
from toulmin.circuits.discovery import (
    ActivationMagnitude,
    CircuitProbing,
    DiscoveryMethod,
    EapIgActivations,
    Ensemble,
    MaskGradient,
    MaskIg,
    RandomScores,
    exact_effects,
)
from toulmin.circuits.discovery.methods import METHODS
from toulmin.circuits.studies.base import CircuitStudy, discovery_of
from toulmin.evidence import Store
from toulmin.faults import FaultError
from toulmin.patching import Graph
from toulmin.studies import Run, execute, find_study, read_study
from toulmin.subjects import load
from toulmin.tasks import find_task

INDUCTION: dict[str, Any] = {"subject": "embedded:induction-2l", "task": "induction"}
TINY: dict[str, Any] = {**INDUCTION, "n": 6, "n_discover": 3, "resamples": 60, "metrics": ["logit_diff", "kl"]}
ALL: list[DiscoveryMethod] = [
    Acdc(tau=0.05), ActivationMagnitude(), CircuitProbing(epochs=2), Eap(), EapIg(steps=2), EapIgActivations(steps=2),
    EdgeProbing(epochs=2), Ensemble(members=(Eap(), EapIg(steps=2)), how="ranks"), ExactEffects(),
    MaskGradient(), MaskIg(steps=2), RandomScores(), Relp(),
]  # fmt: skip


@pytest.fixture(scope="module")
def runner() -> CircuitRunner:
    subject: Any = load("embedded:induction-2l")
    return CircuitRunner(subject.model, find_task("induction", subject, length=6).generate(4, 0))


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("acdc", {"size": 5, "metric": "prob_diff"}, ["acdc.size", "acdc takes tau, metric"]),
        ("eap_ig", {"ablation": "zero"}, ["eap_ig.ablation", "eap_ig takes"]),
        ("eap", {"steps": 3, "tau": 0.1}, ["eap.steps", "eap.tau"]),
        ("edge_probing", {"size": 5}, ["edge_probing.size"]),
        ("eap_ig", {"steps": 0}, ["greater than or equal to 1", "eap_ig.steps"]),
        ("eap", {"metric": "accuracy"}, ["no gradient"]),
        ("eap", {"ablation": "zeros"}, ["eap.ablation", "'resample'"]),
        ("eap_gi", {}, ["eap_gi", "eap_ig"]),
        (7, {}, ["7", "acdc"]),
    ],
)
def test_a_setting_that_a_method_does_not_take_is_a_fault(
    runner: CircuitRunner, method: Any, settings: dict[str, Any], said: list[str]
) -> None:
    with pytest.raises(FaultError) as caught:
        discover(runner, method, **settings)
    assert {fault.code for fault in caught.value.faults} == {"circuits.method"}
    assert all(part in str(caught.value) for part in said)
    if isinstance(method, str) and method in METHODS.names():
        with pytest.raises(FaultError, match=said[0] if "." in said[0] else "."):
            METHODS.find(method)(**settings)
    with pytest.raises(FaultError, match="tau belong"):
        discover(runner, Eap(), tau=0.1)


def test_no_setting_is_ignored(runner: CircuitRunner) -> None:
    """What was ignored changes the result, and by the rule that names it."""
    by_default, by_prob = Acdc(tau=0.05).remove(runner), Acdc(tau=0.05, metric="prob_diff").remove(runner)
    assert by_default.circuit != by_prob.circuit
    change = runner.scores([by_prob.circuit], Methodology(), ["prob_diff"])["prob_diff"].mean()
    assert by_prob.distance == pytest.approx(abs(change - runner.full_scores(["prob_diff"])["prob_diff"].mean()))
    assert len(discover(runner, "eap", size=7).circuit) == 7
    assert len(discover(runner, "eap").circuit) == runner.graph.n_edges // 20
    two, five = (discover(runner, "eap_ig", steps=steps).scores for steps in (2, 5))
    assert two is not None
    assert five is not None
    assert np.abs(two.values - five.values).max() > 1e-3
    small, large = (
        EdgeProbing(epochs=15, learning_rate=0.5, penalty=penalty).discover(runner).circuit for penalty in (0.0, 50.0)
    )
    assert len(large) < len(small)
    signed, scores = Eap(size=9, signed=True).discover(runner), Eap().scores(runner)
    assert set(signed.circuit) == set(sorted(scores.by_name(), key=lambda n: -scores.by_name()[n])[:9])
    assert not np.array_equal(RandomScores(seed=1).scores(runner).values, RandomScores(seed=2).scores(runner).values)


def test_every_method_is_found_by_name_says_its_steps_and_is_stored(runner: CircuitRunner) -> None:
    assert {type(method) for method in ALL} == {METHODS.find(name) for name in METHODS.names()}
    for method in ALL:
        steps: list[int] = []
        found = method.discover(runner, steps.append)
        assert sum(steps) == method.steps_on(runner)
        assert (found.scores is not None) == method.scored
        assert type(method).model_validate(json.loads(method.model_dump_json())) == method
        again = Discovery.from_json(json.loads(json.dumps(found.to_json())))
        assert (again.circuit, again.method) == (found.circuit, found.method)
        assert method.title in found.method
        assert str(found).count("->") >= min(1, len(found.circuit))
        if found.scores is not None and again.scores is not None:
            np.testing.assert_array_equal(again.scores.values, found.scores.values)
            assert attribution_agreement(runner, again.scores, sample=5).n == 5
    with pytest.raises(FaultError, match="not a discovery"):
        Discovery.from_json({"format": "x", "circuit": Circuit.empty(runner.graph).to_json(), "method": ""})


@pytest.mark.parametrize("method", ALL, ids=lambda method: method.key)
def test_every_method_works_at_positions_or_refuses_prompts_of_several_lengths(
    runner: CircuitRunner, method: DiscoveryMethod
) -> None:
    placed = method.model_copy(update={"per_position": True})
    subject: Any = load("embedded:induction-2l")
    others = find_task("induction", subject, length=5).generate(2, 0)
    with pytest.raises(FaultError, match="one length") as caught:
        placed.discover(CircuitRunner(runner.model, [*runner.pairs, *others]))
    assert caught.value.faults[0].name == method.key
    few = CircuitRunner(runner.model, others)
    found = placed.discover(few)
    assert found.circuit.positions == few.lengths[0]
    if found.scores is not None:
        assert found.scores.positions == few.lengths[0]


def test_agreement_is_with_the_effect_that_the_scores_estimate(runner: CircuitRunner) -> None:
    for ablation in ("resample", "zero"):
        scores = Eap(ablation=ablation, metric="prob_diff").scores(runner)
        found = attribution_agreement(runner, scores, sample=12, seed=3)
        exact = exact_effects(runner, "prob_diff", ablation=ablation)
        rows = tuple(found.edges.T)
        np.testing.assert_allclose(found.effects, exact.values[rows], atol=1e-6)
        np.testing.assert_array_equal(found.scores, scores.values[rows])
    given = attribution_agreement(runner, scores, ablation="resample", metric="logit_diff", sample=12, seed=3)
    np.testing.assert_allclose(given.effects, exact_effects(runner).values[rows], atol=1e-6)
    assert np.abs(given.effects - found.effects).max() > 1e-3
    assert attribution_agreement(runner, EdgeScores.random(runner.graph, np.random.default_rng(0)), sample=5).n == 5


def test_a_method_of_ones_own(runner: CircuitRunner) -> None:
    """The edges into the logits, as a class outside of the package."""

    class IntoLogits(DiscoveryMethod):
        title = "into logits"
        scored = False
        limit: float = 0.0

        def discover(self, runner: CircuitRunner, progress: Any = None) -> Discovery:
            names = [name for name in Circuit.full(runner.graph) if name.endswith("->logits")]
            return Discovery(Circuit.of(runner.graph, names), None, self.label)

        def steps_on(self, runner: CircuitRunner) -> int:
            return 0

    found = discover(runner, IntoLogits())
    assert len(found.circuit) == len(runner.graph.sources)
    assert found.method == "into logits (limit 0.0)"
    with pytest.raises(FaultError, match=r"IntoLogits\.limits"):
        IntoLogits(limits=1)  # type: ignore[call-arg]
    assert MaskGradient(mix=0).label == "mask gradient (metric logit_diff, mix 0.0, ablation resample)"
    assert RandomScores(seed=0).label == "random (seed 0)"
    assert (RandomScores().with_seed(4).seed, RandomScores(seed=0).with_seed(4).seed) == (4, 0)


def test_the_defaults_are_the_documented_ones() -> None:
    assert EapIg().points == [k / 10 for k in range(10)]
    assert EapIgActivations().points == [k / 10 for k in range(1, 11)]
    assert MaskIg().points == [k / 10 for k in range(11)]
    assert MaskIg(steps=2, endpoints="midpoints").points == [0.25, 0.75]
    assert (Acdc().tau, Acdc().metric, Acdc().speculate) == (0.01, "kl", 64)
    assert (EdgeProbing().penalty, CircuitProbing().penalty, EdgeProbing().threshold) == (1.0, 10.0, 0.5)
    assert (EdgeProbing().learning_rate, EdgeProbing().start, EdgeProbing().epochs) == (0.1, 0.9, 40)


STUDY = """
study = "circuits.discover"
preset = "tiny"

[configuration.method]
name = "{name}"
{setting}
"""


def test_a_study_refuses_settings_of_other_methods_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(STUDY.format(name="acdc", setting="size = 5"))
    with pytest.raises(FaultError) as caught:
        read_study(file)
    fault = caught.value.faults[0]
    assert (fault.name, fault.line, fault.file) == ("configuration.method.size", 7, str(file))
    file.write_text(STUDY.format(name="eap_gi", setting=""))
    with pytest.raises(FaultError, match="eap_ig") as caught:
        read_study(file)
    assert caught.value.faults[0].name == "configuration.method"
    file.write_text(STUDY.format(name="eap_ig", setting="steps = 3"))
    study: Any = read_study(file)
    assert study.method == EapIg(steps=3)
    assert find_study("circuits.card").model_validate({**INDUCTION, "method": "relp"}).configuration()["method"] == {
        **Relp().model_dump(mode="json")
    }
    file.write_text('study = "circuits.card"\n[configuration]\nsubject = "x"\ntask = "induction"\nsize = 5\n')
    with pytest.raises(FaultError) as caught:
        read_study(file)
    assert (caught.value.faults[0].name, caught.value.faults[0].line) == ("configuration.size", 5)


def test_discovery_loads_once_and_is_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toulmin.circuits.discovery import eap as eap_module
    from toulmin.tasks import PromptStudy

    calls = {"load": 0, "discover": 0}
    load_subject, scores_of = PromptStudy.load, eap_module.Eap.scores

    def counted_load(self: Any, run: Run) -> Any:
        calls["load"] += 1
        return load_subject(self, run)

    def counted_scores(self: Any, *given: Any) -> Any:
        calls["discover"] += 1
        return scores_of(self, *given)

    monkeypatch.setattr(CircuitStudy, "load", counted_load)
    monkeypatch.setattr(eap_module.Eap, "scores", counted_scores)
    study = find_study("circuits.discover").model_validate(
        {**TINY, "method": {"name": "eap", "size": 20}, "points": 4, "compared": 6}
    )
    first = study.collect(Run(tmp_path))
    assert calls == {"load": 1, "discover": 1}
    again = study.collect(Run(tmp_path))
    assert calls == {"load": 2, "discover": 1}
    assert first.files["circuit.json"] != again.files["circuit.json"]  # a file is of one run alone
    for name in first.columns:
        np.testing.assert_array_equal(first[name], again[name])
    # another seed, other settings or other inputs are another discovery
    study.collect(Run(tmp_path, seed=1))
    assert calls["discover"] == 2


@pytest.mark.parametrize("shape", [{"merged_qkv": True}, {"split_embed": True}, {"parallel": True, "has_mlp": False}])
def test_a_stored_graph_is_the_graph(shape: dict[str, bool]) -> None:
    graph = Graph.transformer(2, 2, **shape)
    for positions in (None, 3):
        circuit = EdgeScores.random(graph, np.random.default_rng(0), positions).top(9)
        again = Circuit.from_json(json.loads(json.dumps(circuit.to_json())))
        assert again == circuit
        assert again.graph.to_json() == graph.to_json()
    if shape.get("split_embed"):
        flat = circuit.without_positions()
        for write in (to_autocircuit, lambda c: to_mib(c, 8)):
            with pytest.raises(FaultError, match="one embedding"):
                write(flat)


def test_items_keep_graph_and_scores_at_positions(tmp_path: Path) -> None:
    options = {"options": {"length": 5}, "method": {"name": "eap", "size": 50, "per_position": True}}
    study: Any = find_study("circuits.discover").model_validate({**TINY, **options, "points": 4, "compared": 8})
    store = Store(tmp_path / "store")
    evidence = execute(study, store, Run(tmp_path / "work"))
    found = discovery_of(store.items(evidence))
    assert found.circuit.positions == found.scores.positions == 5  # type: ignore[union-attr]
    assert len(found.circuit) == 50
    assert evidence.measures["edges"].value == 50
    assert Circuit.from_json(json.loads(store.artefact(evidence.id, "circuit.json").read_text())) == found.circuit
    tests: Any = find_study("circuits.tests").preset("tiny")
    kept = discovery_of(tests.collect(Run(tmp_path / "tests")))
    assert kept.circuit.graph == found.circuit.graph
