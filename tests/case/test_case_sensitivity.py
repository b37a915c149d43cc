"""What a conclusion hinges on, against evaluating everything again."""

from __future__ import annotations

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from toulmin.case import Freshness, Health, Probability
from toulmin.case.argument.confidence import Quantities, propagate
from toulmin.case.argument.cutsets import cut_sets
from toulmin.case.argument.evaluate import evaluate
from toulmin.case.argument.freshness import staleness
from toulmin.case.argument.graph import Argument, Vertex
from toulmin.case.argument.sensitivity import hinges, leaf_effects, leaves_of, tornado


def random_argument(seed: int, defeaters: int = 0, states: tuple[Health, ...] = tuple(Health)) -> Argument:
    rng = random.Random(seed)
    vertices: dict[str, Vertex] = {}
    leaves = [f"e{i}" for i in range(rng.randint(2, 6))]
    for name in leaves:
        vertices[name] = Vertex(name, "evidence", base=rng.choice(states), stale=rng.random() < 0.15)
    for name in ("a0", "a1"):
        vertices[name] = Vertex(name, "assumption")
    goals = rng.randint(2, 6)
    for i in reversed(range(goals)):
        below = [f"g{j}" for j in range(i + 1, goals)] + leaves
        # mostly trees, so that the composed answers are used too
        free = [b for b in below if not any(b in v.children for v in vertices.values())] or below
        chosen = rng.sample(free if rng.random() < 0.7 else below, 1)
        more = [b for b in (free if rng.random() < 0.7 else below) if b not in chosen]
        chosen += rng.sample(more, rng.randint(0, min(3, len(more))))
        vertices[f"g{i}"] = Vertex(
            f"g{i}",
            "goal",
            tuple(chosen),
            rng.choice(["all", "any", rng.randint(1, len(chosen))]),
            tuple(rng.sample(["a0", "a1"], rng.randint(0, 1))),
            undeveloped=rng.random() < 0.1,
        )
    for i in range(defeaters):
        name = f"d{i}"
        vertices[name] = Vertex(name, "defeater", kind=rng.choice(["rebut", "undercut"]))
        if rng.random() < 0.5:
            vertices[name].children = (rng.choice(leaves),)
    for i in range(defeaters):
        targets = [n for n in vertices if n != f"d{i}"]
        for target in rng.sample(targets, rng.randint(1, 2)):
            vertices[target].attackers.append(f"d{i}")
    return Argument(vertices, "g0")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 3))
def test_effects_of_leaves_equal_a_full_evaluation(seed, defeaters):
    argument = random_argument(seed, defeaters)
    state = evaluate(argument)
    stale = staleness(argument, state)
    before = dict(state.low), dict(state.labels), dict(state.caps)
    for effect in leaf_effects(argument, state, stale):
        for own, found in ((Health.REFUTED, effect.if_refuted), (Health.UNSUPPORTED, effect.if_unsupported)):
            assert evaluate(argument, {effect.id: own}).low["g0"] is found, effect.id
        vertex = argument.vertices[effect.id]
        was, vertex.stale = vertex.stale, True
        expected = Freshness.STALE if "g0" in staleness(argument, state) else Freshness.CURRENT
        vertex.stale = was
        assert effect.if_stale is expected, effect.id
    assert before == (state.low, state.labels, state.caps)  # nothing was left changed


def sunk(argument: Argument, failed: frozenset[str]) -> bool:
    return evaluate(argument, dict.fromkeys(failed, Health.REFUTED)).low[argument.root] < Health.CONDITIONAL


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9))
def test_minimal_cut_sets_by_brute_force(seed):
    argument = random_argument(seed, states=(Health.SUPPORTED,))
    for vertex in argument.vertices.values():
        vertex.undeveloped = False
    state = evaluate(argument)
    below = reachable(argument)
    leaves = [leaf for leaf in leaves_of(argument) if leaf in below]
    sinking = [
        frozenset(chosen)
        for size in range(1, 4)
        for chosen in itertools.combinations(sorted(leaves), size)
        if sunk(argument, frozenset(chosen))
    ]
    minimal = {s for s in sinking if not any(other < s for other in sinking)}
    found = cut_sets(argument, state)
    assert {frozenset(s) for s in found} == minimal


def reachable(argument: Argument) -> set[str]:
    seen, queue = {argument.root}, [argument.root]
    while queue:
        for below in argument.vertices[queue.pop()].depends_on():
            if below not in seen:
                seen.add(below)
                queue.append(below)
    return seen


def test_an_answer_is_a_hinge_too():
    vertices = {
        "g0": Vertex("g0", "goal", ("e",), attackers=["p"]),
        "e": Vertex("e", "evidence", base=Health.SUPPORTED),
        "p": Vertex("p", "defeater", kind="rebut", attackers=["q", "r"]),
        "q": Vertex("q", "defeater", ("f",), kind="rebut"),
        "r": Vertex("r", "defeater", kind="rebut"),
        "f": Vertex("f", "evidence", base=Health.SUPPORTED),
    }
    argument = Argument(vertices, "g0")
    found = {frozenset(s) for s in cut_sets(argument, evaluate(argument))}
    assert found == {frozenset({"e"}), frozenset({"f", "r"})}
    assert all(sunk(argument, s) for s in found)


def test_hinges_are_what_several_branches_share():
    vertices = {
        "g0": Vertex("g0", "goal", ("g1", "g2")),
        "g1": Vertex("g1", "goal", ("e",), contexts=("a",)),
        "g2": Vertex("g2", "goal", ("e",), contexts=("a",)),
        "e": Vertex("e", "evidence", base=Health.SUPPORTED),
        "a": Vertex("a", "assumption"),
    }
    found = hinges(Argument(vertices, "g0"))
    assert [(h.id, set(h.used_by)) for h in found] == [("a", {"g1", "g2"}), ("e", {"g1", "g2"})]


def test_tornado_orders_by_swing():
    vertices = {
        "g0": Vertex("g0", "goal", ("e", "f"), "any"),
        "e": Vertex("e", "evidence", base=Health.SUPPORTED),
        "f": Vertex("f", "evidence", base=Health.SUPPORTED),
    }
    argument = Argument(vertices, "g0")
    state = evaluate(argument)
    quantities = Quantities({"e": Probability(0.9, 1.0), "f": Probability(0.1, 0.2)})
    bars = tornado(argument, state, frozenset(), quantities)
    assert [bar.id for bar in bars] == ["e", "f"]
    assert bars[0].if_false == (0.1, 0.2)
    assert bars[0].if_true == (1.0, 1.0)
    assert propagate(argument, state, frozenset(), quantities)["g0"] == (0.9, 1.0)
