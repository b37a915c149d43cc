"""Staleness against its definition: evaluate again with the stale leaves at every possible value."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_arguments import random_spec

from toulmin.case.argument.evaluate import evaluate
from toulmin.case.argument.freshness import _above, _by_ranges, staleness
from toulmin.case.argument.graph import Argument, Vertex
from toulmin.case.argument.health import Health


def test_stale_only_where_it_could_matter():
    vertices = {
        "g": Vertex("g", "goal", ("e", "f"), "any"),
        "e": Vertex("e", "evidence", base=Health.SUPPORTED, stale=True),
        "f": Vertex("f", "evidence", base=Health.SUPPORTED),
    }
    argument = Argument(vertices, "g")
    assert staleness(argument, evaluate(argument)) == {"e"}  # f alone carries it
    vertices["f"].base = Health.UNSUPPORTED
    assert staleness(argument, evaluate(argument)) == {"e", "g"}
    vertices["g"].mode = "all"
    assert staleness(argument, evaluate(argument)) == {"e", "g"}


def exactly_stale(argument: Argument, leaves: list[str]) -> set[str]:
    """Everything that differs under some values of the stale leaves: the definition, evaluated in full each time."""
    before = evaluate(argument)
    found = set(leaves)
    for values in itertools.product(Health, repeat=len(leaves)):
        after = evaluate(argument, dict(zip(leaves, values, strict=True)))
        found |= {name for name in before.low if before.low[name] is not after.low[name]}
        found |= {
            d for d in before.labels if (before.labels[d], before.caveats[d]) != (after.labels[d], after.caveats[d])
        }
    return found


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 3), st.sampled_from([0, 0, 2, 5]))
def test_stale_is_exactly_what_could_change_if_the_stale_leaves_were_anything(seed, count, defeaters):
    spec = random_spec(seed, goals=7, leaves=5, defeaters=defeaters)
    argument = spec.argument()
    candidates = [name for name, vertex in argument.vertices.items() if vertex.type in ("evidence", "assumption")]
    leaves = random.Random(seed).sample(candidates, min(count, len(candidates)))
    for leaf in leaves:
        argument.vertices[leaf].stale = True
    assert staleness(argument, evaluate(argument)) == exactly_stale(argument, leaves)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from([0, 3]))
def test_with_too_many_stale_leaves_to_enumerate_nothing_stale_is_called_current(seed, defeaters):
    spec = random_spec(seed, goals=7, leaves=5, defeaters=defeaters)
    argument = spec.argument()
    leaves = random.Random(seed).sample(list(spec.leaves), 2)
    cone = _above(argument, leaves)
    found = _by_ranges(argument, evaluate(argument), set(leaves), cone)
    assert found >= exactly_stale(argument, leaves)
    if not defeaters:
        assert found == exactly_stale(argument, leaves)


@pytest.mark.parametrize("cap", ["mark", "assumption", "doubt"])
def test_a_cap_that_holds_an_element_where_it_is_keeps_it_current(cap):
    vertices = {
        "g": Vertex("g", "goal", ("f", "e"), undeveloped=cap == "mark"),
        "e": Vertex("e", "evidence", base=Health.UNSUPPORTED, stale=True),
        "f": Vertex("f", "evidence", base=Health.REFUTED),
    }
    if cap == "assumption":
        vertices["a"] = Vertex("a", "assumption")
        vertices["g"].contexts = ("a",)
    if cap == "doubt":
        vertices["d"] = Vertex("d", "defeater", kind="rebut")
        vertices["g"].attackers.append("d")
    argument = Argument(vertices, "g")
    assert staleness(argument, evaluate(argument)) == {"e"}
