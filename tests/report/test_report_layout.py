"""The argument's tree and its layout: known answers, and nothing ever overlaps."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toulmin.case import ArgumentEdge, Freshness, Health, NodeVerdict, Verdict
from toulmin.faults import ExitCode
from toulmin.report.layout import CARD, Box, Way, lay_out
from toulmin.report.outline import outline

Grow = Callable[..., Verdict]


def verdict_of(edges: list[ArgumentEdge], root: str = "G1") -> Verdict:
    kinds = {"G": "goal", "E": "evidence", "A": "assumption", "C": "context", "D": "defeater", "S": "strategy"}
    names = dict.fromkeys([root, *(end for edge in edges for end in (edge.source, *edge.target.split("->")))])
    nodes = {n: NodeVerdict(n, kinds[n[0]], n, Health.SUPPORTED, Freshness.CURRENT) for n in names}
    return Verdict("t", "f", root, Health.SUPPORTED, Freshness.CURRENT, ExitCode.OK, (), (), nodes, tuple(edges))


def test_shared_nodes_are_drawn_once_nearest_to_the_root() -> None:
    edges = [
        ArgumentEdge("G1", "G2", "supported_by"),
        ArgumentEdge("G2", "G3", "supported_by"),
        ArgumentEdge("G3", "E1", "supported_by"),
        ArgumentEdge("G1", "E1", "supported_by"),
    ]
    tree = outline(verdict_of(edges))
    assert [(b.key, b.parent, b.away, b.level) for b in tree.branches.values()] == [
        ("G1", None, False, 0),
        ("G2", "G1", False, 1),
        ("G3", "G2", False, 2),
        ("E1@G3", "G3", True, 3),
        ("E1", "G1", False, 1),
    ]
    assert tree.path("E1@G3") == ["G1", "G2", "G3", "E1@G3"]


def test_contexts_stand_beside_and_attacks_are_branches() -> None:
    edges = [
        ArgumentEdge("G1", "A1", "in_context_of"),
        ArgumentEdge("G1", "G2", "supported_by"),
        ArgumentEdge("G2", "A1", "in_context_of"),
        ArgumentEdge("D1", "G1->G2", "attacks"),
        ArgumentEdge("D2", "A1", "attacks"),
        ArgumentEdge("D3", "D1", "attacks"),
    ]
    tree = outline(verdict_of(edges))
    assert tree.branches["G1"].beside == [("A1", False)]
    assert tree.branches["G2"].beside == [("A1", True)]
    assert tree.branches["G1"].children == ["G2", "D1", "D2"]
    assert tree.branches["D1"].note == "the step to G2"
    assert tree.branches["D2"].note == "A1"
    assert tree.branches["D3"].parent == "D1"
    assert tree.loose == ()


def test_circles_of_attacks_end_and_loose_elements_are_named() -> None:
    edges = [
        ArgumentEdge("D1", "G1", "attacks"),
        ArgumentEdge("D2", "D1", "attacks"),
        ArgumentEdge("D1", "D2", "attacks"),
        ArgumentEdge("G7", "E7", "supported_by"),
    ]
    tree = outline(verdict_of(edges))
    assert [branch.key for branch in tree.branches.values()] == ["G1", "D1", "D2", "D1@D2"]
    assert tree.branches["D1@D2"].away
    assert set(tree.loose) == {"G7", "E7"}


def test_known_layout() -> None:
    """Two leaves touch with the gap between them and the parent stands over their middle."""
    edges = [ArgumentEdge("G1", "E1", "supported_by"), ArgumentEdge("G1", "E2", "supported_by")]
    plan = lay_out(outline(verdict_of(edges)), "lr")
    first, second, root = plan.cards["E1"], plan.cards["E2"], plan.cards["G1"]
    assert second.y - first.y == CARD[1] + 16
    assert root.y == (first.y + second.y) / 2
    assert first.x == second.x == root.x + CARD[0] + 62
    plan = lay_out(outline(verdict_of(edges)), "td")
    assert plan.cards["E2"].x - plan.cards["E1"].x == CARD[0] + 28
    assert plan.cards["G1"].x == (plan.cards["E1"].x + plan.cards["E2"].x) / 2


def test_boxes_that_touch_do_not_meet() -> None:
    assert not Box(0, 0, 10, 10).meets(Box(10, 0, 10, 10))
    assert Box(0, 0, 10, 10).meets(Box(9, 9, 10, 10))


def holds(outer: Box, inner: Box) -> bool:
    right, bottom = inner.x + inner.width <= outer.width, inner.y + inner.height <= outer.height
    return inner.x >= outer.x and inner.y >= outer.y and right and bottom


@pytest.mark.parametrize("way", ["lr", "td"])
@pytest.mark.parametrize(("size", "seed"), [(1, 0), (12, 3), (60, 0), (60, 5), (300, 0), (300, 3)])
def test_nothing_overlaps_at_any_size(random_verdict: Grow, size: int, seed: int, way: Way) -> None:
    plan = lay_out(outline(random_verdict(size, seed)), way)
    boxes = [*plan.cards.values(), *plan.chips.values()]
    assert not [pair for pair in itertools.combinations(boxes, 2) if pair[0].meets(pair[1])]
    whole = Box(0, 0, plan.width, plan.height)
    assert all(holds(whole, box) for box in boxes)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 7)), max_size=40))
def test_nothing_overlaps_in_any_tree(grown: list[tuple[int, int]]) -> None:
    """Trees of every shape, with up to seven contexts beside a claim and shared evidence."""
    edges, claims = [], ["G1"]
    for index, (parent, beside) in enumerate(grown):
        claim = f"G{index + 2}"
        edges.append(ArgumentEdge(claims[parent % len(claims)], claim, "supported_by"))
        edges += [ArgumentEdge(claim, f"C{index}.{k}", "in_context_of") for k in range(beside)]
        if parent % 5 == 0:
            edges.append(ArgumentEdge(claim, "E1", "supported_by"))
        claims.append(claim)
    tree = outline(verdict_of(edges))
    for way in ("lr", "td"):
        plan = lay_out(tree, way)
        boxes = [*plan.cards.values(), *plan.chips.values()]
        assert not any(one.meets(other) for one, other in itertools.combinations(boxes, 2))
        for key, branch in tree.branches.items():
            if branch.children:
                ends = [plan.cards[branch.children[0]], plan.cards[branch.children[-1]]]
                middles = [box.y + box.height / 2 if way == "lr" else box.x + box.width / 2 for box in ends]
                own = plan.cards[key]
                middle = own.y + own.height / 2 if way == "lr" else own.x + own.width / 2
                assert middle == pytest.approx(sum(middles) / 2, abs=0.2)


def test_deep_arguments_are_laid_out() -> None:
    edges = [ArgumentEdge(f"G{i}", f"G{i + 1}", "supported_by") for i in range(1, 1500)]
    assert len(lay_out(outline(verdict_of(edges)), "lr").cards) == 1500


def test_the_room_imports_without_torch() -> None:
    heavy = ("torch", "numba", "scipy.stats", "vl_convert")
    code = f"import sys, toulmin.report; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
