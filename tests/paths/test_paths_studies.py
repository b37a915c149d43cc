"""The two studies on an embedded subject, and what looks into a hypothesis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from small_transformers import model_of

from toulmin.evidence import Store
from toulmin.faults import FaultError
from toulmin.paths import describe, difference, draw, effects, explain_inputs, hypothesis
from toulmin.paths.diagram import draw_in
from toulmin.paths.explained import count_text
from toulmin.paths.space import make_space
from toulmin.paths.studies.evaluate import INDUCTION, PREVIOUS, Evaluate, induction_ladder
from toulmin.paths.studies.matrix import MatrixStudy
from toulmin.studies import Run, execute, re_derive
from toulmin.tasks import Pair
from toulmin.tasks.prompt_study import text_pairs


@pytest.mark.parametrize("study", [Evaluate, MatrixStudy])
def test_studies_leave_evidence_that_re_derives(study: type, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    evidence = execute(study.preset("tiny"), store, Run(workdir=tmp_path / "work"))
    assert re_derive(evidence, store) == []
    assert set(evidence.measures) == set(study.preset("tiny").measure_specs())
    assert evidence.figures


def test_the_induction_ladder_has_the_published_shape(tmp_path: Path) -> None:
    """All three parts together explain less than the best of them; refinements only add paths."""
    study = Evaluate.preset("tiny").model_copy(update={"n": 40})
    items = study.collect(Run(workdir=tmp_path))
    found = {name: 1 - items[f"unexplained/{name}"].sum() / items["total"].sum() for name in _names()}
    parts = [found[name] for name in ("direct V", "direct Q", "previous-token K")]
    assert found["all three"] < max(parts) - 0.2
    assert found["+ parroting"] > found["all three"] + 0.1


def _names() -> list[str]:
    return [rung["name"] for rung in induction_ladder(INDUCTION, PREVIOUS)]


def test_refinements_are_nested_and_together_is_the_intersection() -> None:
    from toulmin.patching import Graph

    rungs = {r["name"]: hypothesis(r["text"]) for r in induction_ladder(INDUCTION, PREVIOUS)}
    space = make_space(Graph.transformer(2, 8, has_mlp=False), list(rungs.values()), 16)
    made = {name: space.compile(h) for name, h in rungs.items()}
    assert made["direct V"] & made["direct Q"] & made["previous-token K"] == made["all three"]
    assert made["all three"] <= made["+ positional"] <= made["+ window of 3"] <= made["+ parroting"]
    assert not made["all three"].is_edge_circuit()


def test_studies_import_no_torch() -> None:
    code = "import sys, toulmin.paths.studies.evaluate, toulmin.paths.studies.matrix; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_configurations_are_checked() -> None:
    rung = {"name": "a", "text": "all"}
    base = {"subject": "embedded:induction-2l", "task": "induction", "hypotheses": [rung]}
    Evaluate.model_validate(base)
    for change in (
        {"task": None},
        {"text": "file:x"},
        {"hypotheses": []},
        {"hypotheses": [rung, rung]},
        {"hypotheses": [{"name": "a", "text": "L0.H0 ->"}]},
        {"baseline": "L0.H0["},
        {"metric": "signed_loss"},
        {"metric": "no_such"},
    ):
        with pytest.raises(ValidationError):
            Evaluate.model_validate(base | change)


def test_windows_of_a_text() -> None:
    pairs = text_pairs(list(range(1000)), 10, 8, seed=1)
    starts = [pair.clean[0] for pair in pairs] + [pair.counterfactual[0] for pair in pairs]
    assert len(set(starts)) == 20
    assert all(pair.answers == (pair.clean[-1] + 1,) for pair in pairs)
    with pytest.raises(FaultError, match=r"tasks\.short_text"):
        text_pairs(list(range(100)), 10, 8)


def test_estimates_before_running() -> None:
    h = hypothesis("!L1.H1\nembed -> L0.H0[V@i-1] -> [K] L1.H1 -> logits")
    found = describe(model_of(), h, 6)
    assert (found.n_copies, found.n_states, found.is_edge_circuit) == (5, 1, False)
    assert 0 < found.passes < 1
    (table,) = found.tables()
    numbers = pytest.approx(found.passes), pytest.approx(found.bytes_per_pair / 2**20)
    assert table.rows == ((count_text(found.n_paths), 5, 1, *numbers),)
    assert table.title == "What the hypothesis takes; it is no set of edges"
    assert describe(model_of(), hypothesis("all"), 6).n_copies == 0


@pytest.mark.parametrize("length", [3, 6])
def test_the_estimated_cost_is_that_of_the_copies_and_sums(length: int) -> None:
    """Multiplications a token: projections and pattern of a head, weights of an MLP, and a few sums of 12 numbers."""
    head, mlp = 4 * 12 * 4 + 2 * length * 4, 2 * 12 * 16
    for text, copies in (
        ("embed -> L0.H0 -> logits", 0),  # the clean output of L0.H0 is at hand
        ("embed -> L0.H0 -> L1.mlp -> logits", mlp),
        ("embed -> L0.H0 -> [V] L1.H1 -> logits", head),
        ("embed -> L0.H0 -> L1.H* -> L1.mlp -> logits", 2 * head + mlp),
    ):
        cost = describe(model_of(), text, length).passes * (4 * head + 2 * mlp)
        assert copies < cost <= copies + 12 * 10


def test_effects_print_as_a_table() -> None:
    rng = np.random.default_rng(0)
    prompts = [rng.integers(0, 17, (2, 6)).tolist() for _ in range(3)]
    prompts.append([prompts[0][0], prompts[1][1]])  # a second counterfactual of the first clean prompt
    pairs = [Pair(clean, other, (3,), (5,)) for clean, other in prompts]
    found = effects(model_of(), [hypothesis("embed -> L0.H0[V] -> logits", "one path")], pairs)
    (table,) = found.tables()
    means = [((v[0] + v[3]) / 2 + v[1] + v[2]) / 3 for v in (found.unexplained["one path"], found.total)]
    assert table.rows == (("one path", "1", found.n_copies["one path"], *map(pytest.approx, means)),)
    of = found.metric, found.unit, found.baseline
    assert table.caption == "Mean change of {} ({}) over 3 clean prompts, total: of {}.".format(*of)


def test_differences_name_paths() -> None:
    a, b = hypothesis("embed -> L0.H0 -> logits"), hypothesis("embed -> [V] L0.H0 -> logits | L1.mlp")
    found = difference(model_of(), a, b, 6)
    assert found.only_first == 2
    assert found.common == 1
    assert found.examples_first == ("embed -> [Q] L0.H0 -> logits", "embed -> [K] L0.H0 -> logits")
    assert found.tables()[0].rows == (
        ("both", "1", ""),
        ("only the first", "2", "\n".join(found.examples_first)),
        ("only the second", count_text(found.only_second), "\n".join(found.examples_second)),
    )
    assert all("L1.mlp" in text for text in found.examples_second)
    assert difference(model_of(), a.text, b.text, 6) == found
    assert describe(model_of(), a, 6).is_edge_circuit


def test_attribution_to_inputs_is_zero_where_the_hypothesis_holds() -> None:
    rng = np.random.default_rng(0)
    clean, other = rng.integers(0, 17, (2, 6)).tolist()
    pair = Pair(clean, other, (3,), (5,))
    h = hypothesis("!L0.H0[V@i-1] -> logits")
    table = explain_inputs(model_of(), h, pair)
    rows = {row[0]: row for row in table.rows}
    # the last position is read by nobody one place later, so its token cannot break this hypothesis
    assert rows[5][3] == pytest.approx(0.0, abs=1e-12)
    effect = rows[4][3]
    assert isinstance(effect, float)
    assert abs(effect) > 1e-9
    assert rows["all"][4] != 0
    # read by all paths, the token changes the metric as the model itself says, and so does the whole prompt
    with torch.no_grad():
        runs = model_of()(torch.tensor([clean, [*clean[:4], other[4], clean[5]], other]))[:, -1]
    plain, one, whole = (-runs.log_softmax(-1)[:, 3]).tolist()
    assert rows[4][4] == pytest.approx(one - plain, abs=1e-12)
    assert rows["all"][4] == pytest.approx(whole - plain, abs=1e-12)


def test_the_drawing_counts_paths() -> None:
    h = hypothesis("embed -> [V] L1.H0 -> logits\nembed -> L0.H1 -> [K] L1.H0 -> logits\n!L1.H0")
    figure = draw(model_of(), h, 6, baseline="!L1.H0")
    edges = {(e.source, e.target, e.facts["input"]): e.facts["paths"] for e in figure.edges}
    assert edges == {
        ("embed", "L1.H0", "V"): 1,
        ("embed", "L0.H1", "Q"): 1,
        ("embed", "L0.H1", "K"): 1,
        ("embed", "L0.H1", "V"): 1,
        ("L0.H1", "L1.H0", "K"): 3,
        ("L1.H0", "logits", "in"): 4,
    }
    assert {node.id: node.layer for node in figure.nodes} == {"embed": 0, "L0.H1": 1, "L1.H0": 3, "logits": 5}


def test_units_of_the_measures_are_those_of_the_metric() -> None:
    specs = Evaluate.preset("tiny").measure_specs()
    assert (specs["pe"].unit, specs["aue"].unit, specs["ate"].unit) == ("1", "nats", "nats")
    assert {spec.unit for name, spec in specs.items() if name.startswith("pe.")} == {"1"}


def test_two_hypotheses_whose_measures_would_have_one_name_are_refused() -> None:
    first, second = ({"name": name, "text": "everything"} for name in ("All three", "all-three"))
    with pytest.raises((FaultError, ValidationError), match="two hypotheses have the same name"):
        Evaluate.model_validate({**Evaluate.presets["tiny"], "hypotheses": (first, second)})


def test_a_matrix_without_components_has_the_direct_effects_on_the_logits_alone(tmp_path: Path) -> None:
    run = Run(workdir=tmp_path)
    whole, alone = (MatrixStudy(**{**MatrixStudy.presets["tiny"], **more}) for more in ({}, {"components": ()}))
    assert set(alone.measure_specs()) == {"strongest_to_logits"}
    found, wanted = alone.summarise(alone.collect(run)), whole.summarise(whole.collect(run))
    assert set(found.measures) == {"strongest_to_logits"}
    assert found.measures["strongest_to_logits"] == wanted.measures["strongest_to_logits"]
    assert [table.title for table in found.tables] == ["Direct effect on the logits: strongest"]


def test_a_drawing_of_a_deep_model_has_the_edges_that_most_paths_run_along(monkeypatch: pytest.MonkeyPatch) -> None:
    from toulmin.patching import Graph

    space = make_space(Graph.transformer(6, 8), [hypothesis("L5.H3 -> logits")], 4)
    figure = draw_in(space, hypothesis("L5.H3 -> logits"))
    assert len(figure.edges) == 400
    assert "edges the 400 that most paths run along are drawn" in figure.caption
    last = [edge for edge in figure.edges if edge.target == "logits"]
    assert [(edge.source, edge.weight) for edge in last] == [("L5.H3", 1.0)]
    assert figure.nodes[-1].id == "logits"
    few = hypothesis("embed -> L0.H1 -> L5.H3 -> logits")
    monkeypatch.setattr("toulmin.paths.diagram.MOST", 7)
    all_of_them = draw_in(space, few)
    assert len(all_of_them.edges) == 7  # Q, K and V of each head, and the logits
    assert "drawn" not in all_of_them.caption
    monkeypatch.setattr("toulmin.paths.diagram.MOST", 4)
    some = draw_in(space, few)
    assert "of 7 edges the 4 that most paths run along are drawn" in some.caption
    assert [edge.weight for edge in some.edges if edge.target == "logits"] == [1.0]  # the one all nine run along


def test_the_ready_studies_of_a_real_model_are_well_formed() -> None:
    from toulmin.studies import read_study

    files = sorted((Path(__file__).parents[2] / "benchmarks/real_model").glob("*.toml"))
    studies = [read_study(file) for file in files]
    of_paths = [study for study in studies if isinstance(study, Evaluate)]
    assert len(of_paths) >= 3
    assert all(len(study.rungs()) == len(study.hypotheses) >= 5 for study in of_paths)
    assert {study.configuration()["subject"] for study in studies} == {"cached:smollm2-135m"}
