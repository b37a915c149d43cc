"""Edge sets, file formats, curves and tests of the circuit hypothesis: everything that needs no model."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.agreement import compare_scores, overlap, ranks, spearman
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.circuits.edges import edge_name, parse_edge, removal_order
from toulmin.circuits.faithfulness.card import Card, CardRow, PromptValues, judge, make_card
from toulmin.circuits.faithfulness.curves import area_under, cmd, cpr, roc, sizes_for
from toulmin.circuits.faithfulness.recovered import AGGREGATIONS, recovered
from toulmin.circuits.formats import from_autocircuit, from_mib, to_autocircuit, to_mib
from toulmin.circuits.methodology import Methodology, grid
from toulmin.circuits.pictures import draw_agreement, draw_card, draw_circuit, draw_curves, draw_percents, round_percent
from toulmin.evidence import Interval
from toulmin.faults import FaultError
from toulmin.patching.graph import Graph
from toulmin.studies import find_study

GRAPH = Graph.transformer(2, 2)


def drawn(seed: int, share: float = 0.4, positions: int | None = None) -> Circuit:
    shape = GRAPH.allowed.shape + ((positions,) if positions else ())
    allowed = GRAPH.allowed if positions is None else GRAPH.allowed[:, :, None]
    return Circuit(GRAPH, allowed & (np.random.default_rng(seed).random(shape) < share))


def test_gpt2_small_has_the_published_edge_counts() -> None:
    assert len(Circuit.full(Graph.transformer(12, 12))) == 32_491
    assert len(Circuit.full(Graph.transformer(12, 12, merged_qkv=True))) == 11_611


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(0, 99), st.sampled_from([None, 3]))
def test_the_algebra_of_sets(a: int, b: int, positions: int | None) -> None:
    x, y = drawn(a, positions=positions), drawn(b, positions=None)
    names = set(x | y)
    assert names == set(x) | set(y)
    assert (x - y) | (x & y) == x.at_positions(positions) if positions else (x - y) | (x & y) == x
    assert ~~x == x
    assert (x & y) <= x <= (x | y)
    assert len(~x) + len(x) == GRAPH.n_edges * (positions or 1)
    again = Circuit.from_json(json.loads(json.dumps(x.to_json())))
    assert again == x
    assert (hash(again), again.digest()) == (hash(x), x.digest())
    assert from_autocircuit(GRAPH, to_autocircuit(x), positions) == x
    assert x.pruned() <= x


def test_pruning_keeps_complete_paths_only() -> None:
    whole = Circuit.of(GRAPH, ["embed->L0.H1[V]", "L0.H1->L1.H0[K]", "L1.H0->logits"])
    stray = Circuit.of(GRAPH, ["embed->L0.H0[Q]", "L0.mlp->L1.mlp", "L1.mlp->logits"])
    assert (whole | stray).pruned() == whole
    assert whole.nodes() == ("embed", "L0.H1", "L1.H0", "logits")
    # a key at position 0 serves queries at 0 and later; one at 2 serves none before it
    table = np.zeros((*GRAPH.allowed.shape, 3), dtype=bool)
    for name, at in (("embed->L0.H1[K]", 0), ("embed->L0.H1[V]", 2), ("L0.H1->logits", 1)):
        table[(*parse_edge(GRAPH, name), at)] = True
    placed = Circuit(GRAPH, table)
    assert set(placed.pruned()) == {"embed->L0.H1[K]", "L0.H1->logits"}
    assert set(placed.pruned(causal=False)) == {"embed->L0.H1[K]", "embed->L0.H1[V]", "L0.H1->logits"}


def test_both_spellings_of_an_edge_and_the_order_of_removal() -> None:
    assert parse_edge(GRAPH, "embed -> [Q] L1.H0") == parse_edge(GRAPH, "embed->L1.H0[Q]")
    order = [edge_name(GRAPH, *edge) for edge in removal_order(GRAPH)]
    assert order[:2] == ["L1.mlp->logits", "L1.H1->logits"]
    assert order[-1] == "embed->L0.H0[Q]"


def test_mib_files_come_back(shared: Path) -> None:
    data = json.loads((shared / "data/circuit_tasks/mib/circuits/ioi-eap-ig.json").read_text())
    circuit, scores = from_mib(data)
    assert len(circuit) == 756
    again, same = from_mib(to_mib(circuit, 768, scores))
    assert again == circuit
    np.testing.assert_array_equal(same.values, scores.values)
    assert set(to_mib(circuit, 768)["nodes"]) == set(data["nodes"])
    edges = data["edges"]
    assert all(to_mib(circuit, 768, scores)["edges"][name] == edges[name] for name in list(edges)[::997])


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"cfg": {"n_layers": 1, "n_heads": 1}, "edges": {"input->m7": {"score": 1.0}}},
        {"cfg": {"n_layers": 1, "n_heads": 1}, "edges": {"input->m0": {"score": "a"}}},
        {"cfg": {"n_layers": 0, "n_heads": 1}, "edges": {}},
    ],
)
def test_broken_mib_files_are_refused(broken: dict) -> None:
    with pytest.raises(FaultError):
        from_mib(broken)


def test_the_grid_has_no_two_equal_methodologies() -> None:
    found = grid()
    assert len(set(found)) == len(found) == 23
    assert len(grid(all_positions=True)) == 46
    assert "branches/resample/noising" not in map(str, found)
    assert "branches/resample/denoising" in map(str, found)
    assert [str(m) for m in found if m.exact] == ["edges/resample/noising", "nodes/resample/noising"]
    assert all(m.ablation == "resample" for m in found if m.direction == "denoising")
    with pytest.raises(FaultError, match="granularity"):
        Methodology(granularity="neurons")  # type: ignore[arg-type]


def test_percentages_by_hand() -> None:
    c, f, e = np.array([2.0, 3.0, 1.0]), np.array([4.0, 4.0, 2.0]), np.array([0.0, 2.0, 1.0])
    assert recovered(c, f, e, "mean_of_percents").value == pytest.approx(100 * (0.5 + 0.5 + 0.0) / 3)
    assert recovered(c, f, e, "percent_of_means").value == pytest.approx(100 * 3 / 7)
    assert recovered(c, f, e, "percent_of_means", baseline="zero").value == pytest.approx(60)
    tiny = recovered(np.array([1.0, 1.0]), np.array([1.0, 1e-6]), np.zeros(2), "mean_of_percents")
    assert tiny.small == 1
    # a large effect of the other sign is not small
    turned = recovered(np.ones(3), np.array([1.0, 0.01, -1.0]), np.zeros(3), "percent_of_means")
    assert turned.small == 1
    assert tiny.value > 1e6
    none = recovered(np.array([1.0, 1.0, 1.0]), np.array([1.0, 0.0, 2.0]), np.zeros(3), "mean_of_percents")
    assert none.interval is None
    assert none.value == pytest.approx(75)
    assert "1 prompts" in (none.why_no_interval or "")
    assert "other 2" in (none.why_no_interval or "")
    assert np.isnan(none.percents).tolist() == [False, True, False]
    assert "zero" in (none.why_no_interval or "")
    with pytest.raises(FaultError, match="nothing to recover"):
        recovered(c, e, e, "percent_of_means")
    with pytest.raises(FaultError, match="unequal"):
        recovered(c, f, e[1:], "percent_of_means")
    with pytest.raises(FaultError, match="unequal or no"):
        recovered(np.zeros(0), np.zeros(0), np.zeros(0), "percent_of_means")
    half = np.array([0.5, 0.5, 0.5])
    mean_zero = np.array([1.0, -1.0, 1.0, -1.0])
    with pytest.raises(FaultError, match="mean effect to recover is zero"):
        recovered(mean_zero, mean_zero, np.zeros(4), "percent_of_means")
    near = recovered(mean_zero, mean_zero + 0.02, np.zeros(4), "percent_of_means")
    assert near.interval is None
    assert "near zero" in (near.why_no_interval or "")
    far = recovered(np.array([0.5, 0.2, 0.9]), half + 0.5, half - 0.5, "percent_of_means")
    assert far.interval is not None
    assert far.why_no_interval is None
    np.testing.assert_allclose(far.percents, [50, 20, 90])
    assert far.small == 0
    with pytest.raises(FaultError, match="NaN"):
        recovered(np.array([np.nan, 1.0, 1.0]), f, e, "percent_of_means")


def test_areas() -> None:
    shares, f = [0.0, 0.5, 1.0], [0.0, 1.5, 1.0]
    assert area_under([1, 2, 4], [1, 3, 5]) == pytest.approx(10)
    assert cpr(shares, f) == pytest.approx(1.0)
    assert cmd(shares, f) == pytest.approx((1 + 0.5) / 4 + 0.5 / 4)
    assert cmd(shares, [1, 1, 1]) == 0
    assert area_under([1, np.e], [2, 2], log_x=True) == pytest.approx(2)
    with pytest.raises(FaultError, match="logarithm"):
        area_under(shares, f, log_x=True)
    with pytest.raises(FaultError, match="rising"):
        area_under([1, 0], [1, 1])
    wrongs: list[Any] = [[1.0], [[1.0, 2.0]]]
    for wrong in wrongs:
        with pytest.raises(FaultError, match="two or more points"):
            area_under(wrong, wrong)
    with pytest.raises(FaultError, match="NaN"):
        area_under([1, 2], [np.nan, 1])
    assert area_under([1, 1, 2], [0, 4, 4]) == pytest.approx(4)
    with pytest.raises(FaultError, match="logarithm"):
        area_under([-1, 1], [1, 1], log_x=True)
    assert sizes_for(1000, 4) == [0, 1, 32, 1000]
    assert sizes_for(3, 20) == [0, 1, 2, 3]
    assert sizes_for(1000, 10)[:2] == [0, 1]
    assert sizes_for(1000, 10)[-1] == 1000


def test_roc_against_a_count_of_pairs() -> None:
    reference = drawn(1)
    assert roc(EdgeScores.of_circuit(reference), reference).auroc == 1.0
    rng = np.random.default_rng(0)
    values = rng.integers(0, 5, GRAPH.allowed.shape).astype(float)  # many ties
    scores = EdgeScores(GRAPH, values, "ties")
    flat, truth = scores.flat(), EdgeScores.of_circuit(reference).flat() > 0
    wins = [(a > b) + 0.5 * (a == b) for a in flat[truth] for b in flat[~truth]]
    found = roc(scores, reference)
    assert found.auroc == pytest.approx(np.mean(wins))
    assert (found.false_positive_rate[0], found.true_positive_rate[-1]) == (0, 1)
    for useless in (Circuit.full(GRAPH), Circuit.empty(GRAPH)):
        with pytest.raises(FaultError, match="none or all"):
            roc(scores, useless)
    assert roc(scores, Circuit.of(GRAPH, ["embed->logits"])).true_positive_rate[-1] == 1


def test_rank_agreement() -> None:
    a = np.array([1.0, 2.0, 2.0, 5.0])
    np.testing.assert_array_equal(ranks(a), [1, 2.5, 2.5, 4])
    assert spearman(a, a**3) == pytest.approx(1)
    assert spearman(a, -a) == pytest.approx(-1)
    assert overlap(np.array([3.0, -2, 1]), np.array([1.0, 5, -4]), 2) == 0.5
    scores = EdgeScores.random(GRAPH, np.random.default_rng(0))
    edges = [(e.source, e.receiver) for e in GRAPH.edges]
    same = compare_scores(scores, edges, scores.values[tuple(np.array(edges).T)])
    assert same.absolute_rank_correlation == pytest.approx(1)
    assert same.top == {10: 1.0}
    assert same.sign_agreement == 1
    assert "top-10 100%" in same.sentence
    assert "overlap of the 10 largest" in str(same)
    assert draw_agreement(same).rows()
    rows, best = scores.tables()[0].rows, scores.order()
    assert [row[0] for row in rows] == [edge_name(GRAPH, *edges[i]) for i in best[: len(rows)]]
    assert rows[0][1] == scores.flat()[best[0]]
    # edges without any effect: every sign is right, and there is nothing to divide by
    assert compare_scores(scores, edges, np.zeros(len(edges))).sign_agreement == 1
    larger = EdgeScores.random(Graph.transformer(3, 4), np.random.default_rng(0))
    places = larger.places()
    assert compare_scores(larger, places, larger.flat(), resamples=50).top == {10: 1.0, 50: 1.0}


def test_the_tables_of_edges_cannot_be_written_to() -> None:
    for table in (drawn(0).table, EdgeScores.random(GRAPH, np.random.default_rng(0)).values):
        with pytest.raises(ValueError, match="read-only"):
            table[0, 0] = 1


def test_a_position_outside_of_the_prompt_is_refused() -> None:
    name = to_autocircuit(Circuit.of(GRAPH, ["embed->logits"]).at_positions(3))[2]
    assert from_autocircuit(GRAPH, [name], 3).table.sum() == 1
    with pytest.raises(FaultError, match=r"circuits\.positions.*position 2 of 2"):
        from_autocircuit(GRAPH, [name], 2)


def test_percentages_for_people() -> None:
    found = [round_percent(percent) for percent in (0.012345, -0.98765, 1.0, 1.4, -12.6, 99.5)]
    assert found == [0.0123, -0.988, 1.0, 1.0, -13.0, 100.0]


def test_a_method_that_does_not_exist_is_named_with_its_neighbours() -> None:
    study = find_study("circuits.card").preset("tiny").configuration()
    with pytest.raises((FaultError, ValidationError), match=r"no discovery method of that name .eap_gi.; there are"):
        find_study("circuits.card").model_validate({**study, "method": {"name": "eap_gi", "size": 3}})


def test_the_card_says_what_flips() -> None:
    rng = np.random.default_rng(3)
    full = 4 + rng.random(40)
    most = full * rng.uniform(0.93, 0.97, size=40)
    good = PromptValues(most, full, np.zeros(40))
    counted = PromptValues(most, full, np.zeros(40), shares=False)
    bad = PromptValues(full * rng.uniform(0.28, 0.32, size=40), full, np.zeros(40))
    none = PromptValues(full, full, full, from_zero=False)
    zero = Methodology(ablation="zero")
    card = make_card(
        {
            (Methodology(), "logit_diff"): good,
            (zero, "logit_diff"): bad,
            (zero, "choice_accuracy"): counted,
            (Methodology(ablation="mean_clean"), "kl"): none,
        },
        resamples=200,
    )
    assert card.flips
    assert card.count("faithful") == sum(row.value > 80 for row in card.rows) == 6
    assert card.count("unfaithful") == 4
    assert card.count("undecided") == 0
    assert card.n == 40
    assert card.highest.value == pytest.approx(95, abs=0.5)
    assert card.lowest.methodology == zero
    assert card.spread == pytest.approx(65, abs=1)
    flipped = {"ablation": 4, "metric": 2}
    assert card.flipped_by() == {**dict.fromkeys(card.flipped_by(), 0), **flipped}
    assert {row.aggregation for row in card.rows if row.metric == "choice_accuracy"} == {"percent_of_means"}
    assert len(card.skipped) == 2
    with pytest.raises(FaultError, match="nothing to recover"):
        card.find(Methodology(ablation="mean_clean"), "kl", "percent_of_means", "ablated")
    heatmap = draw_card(card)
    assert (len(heatmap.y_labels), heatmap.threshold) == (2, 80)
    assert draw_percents(card).rows()
    assert not make_card({(Methodology(), "logit_diff"): good}).flips
    with pytest.raises(FaultError, match="no row"):
        make_card({(Methodology(), "kl"): none})


def test_what_flips_by_comparing_all_pairs() -> None:
    rng = np.random.default_rng(0)
    rows = tuple(
        CardRow(
            method, metric, aggregation, baseline, 0.0, None, None, 0, np.zeros(1),
            str(rng.choice(["faithful", "undecided", "unfaithful"])),  # type: ignore[arg-type]
        )
        for method in grid(granularities=("edges", "nodes"), all_positions=True)
        for metric in ("kl", "loss")
        for aggregation in AGGREGATIONS
        for baseline in ("ablated", "zero")
    )  # fmt: skip
    expected = dict.fromkeys(Card(rows, 80, None, 1, {}).flipped_by(), 0)
    for a, b in itertools.combinations(rows, 2):
        choices = {
            **{key: (getattr(a.methodology, key), getattr(b.methodology, key)) for key in Methodology.model_fields},
            **{key: (getattr(a, key), getattr(b, key)) for key in ("metric", "aggregation", "baseline")},
        }
        differing = [key for key, (one, other) in choices.items() if one != other]
        if {a.verdict, b.verdict} == {"faithful", "unfaithful"} and len(differing) == 1:
            expected[differing[0]] += 1
    assert min(expected[key] for key in ("granularity", "ablation", "positions", "metric", "baseline")) > 0
    assert Card(rows, 80, None, 1, {}).flipped_by() == expected


def test_verdicts() -> None:
    def interval(low: float, high: float) -> Interval:
        return Interval(low=low, high=high, method="by hand")

    assert judge(interval(85, 95), 80, None) == "faithful"
    assert judge(interval(10, 79), 80, None) == "unfaithful"
    assert judge(interval(70, 90), 80, None) == judge(None, 80, None) == "undecided"
    assert judge(interval(130, 150), 80, 120) == "unfaithful"
    assert judge(interval(80, 120), 80, 120) == "faithful"
    assert judge(interval(80, 121), 80, 120) == "undecided"
    assert judge(interval(70, 80), 80, 120) == "undecided"
    assert judge(interval(120, 130), 80, 120) == "undecided"
    assert judge(interval(85, 1e9), 80, None) == "faithful"


def test_drawings_of_circuits_and_curves() -> None:
    scores = EdgeScores.random(GRAPH, np.random.default_rng(0))
    figure = draw_circuit(scores.top(7), scores)
    assert len(figure.edges) == 7
    assert figure.layers[0] == "embed"
    assert "drawn" not in figure.caption  # all of it is
    assert all(edge.weight == pytest.approx(scores.at(str(edge.facts["edge"]))) for edge in figure.edges)
    placed = draw_circuit(drawn(0, positions=3), tokens=("a", "b", "c"))
    assert placed.positions == ("a", "b", "c")
    assert len(placed.edges) == len(drawn(0, positions=3))
    assert draw_circuit(Circuit.empty(GRAPH)).nodes
    some = draw_circuit(scores.top(7), scores, most=3)
    assert {edge.facts["edge"] for edge in some.edges} == set(scores.top(3))
    assert "7 of" in some.caption
    assert "(3 drawn, of largest score)" in some.caption
    assert "(2 drawn, nearest to the output)" in draw_circuit(scores.top(7), most=2).caption
    assert len(draw_circuit(drawn(0, positions=3), most=2).edges) == 2
    assert draw_curves({"eap": (np.array([0, 1, 9]), np.array([0.0, 5, 90]))}, title="t", y="%").rows()


def test_of_a_large_circuit_the_edges_of_largest_score_are_drawn() -> None:
    values = np.random.default_rng(1).normal(size=(*GRAPH.allowed.shape, 3)) * GRAPH.allowed[:, :, None]
    whole, scores = Circuit.full(GRAPH), EdgeScores(GRAPH, values, "by hand")
    summed = values.sum(-1)  # an edge without positions has the score of all of them
    largest = np.sort(np.abs(summed), axis=None)[-5:]
    shown = draw_circuit(whole, scores, most=5)
    assert sorted(abs(edge.weight) for edge in shown.edges) == pytest.approx(largest)
    assert all(edge.weight == pytest.approx(summed[parse_edge(GRAPH, str(edge.facts["edge"]))]) for edge in shown.edges)
    placed = draw_circuit(whole.at_positions(3), scores, most=5)
    assert sorted(abs(edge.weight) for edge in placed.edges) == pytest.approx(np.sort(np.abs(values), axis=None)[-5:])
    best = int(np.abs(summed).argmax())  # scores without positions: an edge's is the same at each
    alike = draw_circuit(whole.at_positions(3), EdgeScores(GRAPH, summed, "by hand"), most=3)
    assert {parse_edge(GRAPH, str(edge.facts["edge"])) for edge in alike.edges} == {
        np.unravel_index(best, summed.shape)
    }
    assert {edge.target for edge in draw_circuit(whole, most=4).edges} == {"logits"}
