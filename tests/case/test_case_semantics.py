"""The semantics against brute force: root status over all leaf states, defeaters against a fixpoint, monotonicity."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_arguments import LEAF_STATES, Spec, random_spec

from toulmin.case.argument.dependencies import resting
from toulmin.case.argument.evaluate import evaluate
from toulmin.case.argument.graph import Argument, Vertex
from toulmin.case.argument.health import Health, Label


def needed(mode: str | int, children: int) -> int:
    """How many children must hold."""
    return children if mode == "all" else 1 if mode == "any" else int(mode)


def brute_health(spec: Spec, name: str, leaves: dict[str, Health]) -> Health:
    """The definition, recursively, for arguments without defeaters: count the children that reach each level."""
    if name in leaves:
        return leaves[name]
    children = [brute_health(spec, child, leaves) for child in spec.children[name]]
    children = [
        Health.UNSUPPORTED if h is Health.REFUTED and child not in leaves else h
        for child, h in zip(spec.children[name], children, strict=True)
    ]
    if children:
        mode = spec.modes[name]
        k = needed(mode, len(children))
        reached = [h for h in Health if sum(c >= h for c in children) >= k]
        best = max(reached)
    else:
        best = Health.UNDEVELOPED
    if name in spec.marks:
        best = min(best, Health.UNDEVELOPED)
    return min(best, Health.CONDITIONAL) if spec.assumed.get(name) else best


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_root_by_brute_force_over_all_leaf_states(seed):
    spec = random_spec(seed)
    for states in itertools.product(LEAF_STATES, repeat=len(spec.leaves)):
        spec.leaves = dict(zip(spec.leaves, states, strict=True))
        state = evaluate(spec.argument())
        for goal in (g for g in spec.children if g.startswith("g")):
            assert state.low[goal] is state.high[goal] is brute_health(spec, goal, spec.leaves)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9))
def test_raising_a_leaf_lowers_nothing(seed):
    spec = random_spec(seed, goals=8, leaves=6)
    before = evaluate(spec.argument()).low
    for leaf in spec.leaves:
        raised = Spec(**{**spec.__dict__, "leaves": {**spec.leaves, leaf: Health.SUPPORTED}})
        after = evaluate(raised.argument()).low
        assert all(after[name] >= before[name] for name in before)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9))
def test_order_and_names_never_matter(seed):
    spec = random_spec(seed, defeaters=5)
    first = spec.argument()
    names = list(first.vertices)
    random.Random(seed).shuffle(names)
    second = spec.argument(order=names, rename=lambda name: f"z{hash_of(name)}")
    one, two = evaluate(first), evaluate(second)
    for vertex in second.vertices.values():
        random.Random(seed).shuffle(vertex.attackers)
    two = evaluate(Argument(second.vertices, second.root))
    rests = [resting(first, one, {}), resting(second, two, {})]
    for name in first.vertices:
        other = f"z{hash_of(name)}"
        assert one.low[name] is two.low[other]
        assert one.labels.get(name) is two.labels.get(other)
        assert one.caveats.get(name) == two.caveats.get(other)
        assert {f"z{hash_of(n)}" for n in rests[0][name]} == rests[1][other]


def hash_of(name: str) -> int:
    return (int.from_bytes(name.encode()) * 2654435761) % 1000003


def brute_labels(attacks: dict[str, list[str]], usable: dict[str, str]) -> dict[str, Label]:
    """Grounded semantics as the least fixpoint of Dung's characteristic function, set by set.

    ``usable``: in (stands by itself), out (its own support failed), open (its own support decides nothing).
    """
    names = list(usable)
    attackers = {n: [a for a in names if n in attacks[a]] for n in names}
    grounded: set[str] = set()
    while True:
        out = {n for n in names if usable[n] == "out" or any(a in grounded for a in attackers[n])}
        defended = {n for n in names if usable[n] == "in" and all(a in out for a in attackers[n])}
        if defended == grounded:
            return {n: Label.IN if n in grounded else Label.OUT if n in out else Label.UNDECIDED for n in names}
        grounded = defended


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 9))
def test_grounded_semantics_against_a_brute_force_fixpoint(seed, count):
    rng = random.Random(seed)
    names = [f"d{i}" for i in range(count)]
    attacks = {n: rng.sample(names, rng.randint(0, min(3, count))) for n in names}
    usable = {n: rng.choice(["in", "in", "in", "out", "open"]) for n in names}
    vertices = {n: Vertex(n, "defeater", kind="rebut") for n in names}
    base = {"out": Health.REFUTED, "open": Health.UNSUPPORTED, "in": Health.SUPPORTED}
    for n in names:
        vertices[f"e{n}"] = Vertex(f"e{n}", "evidence", base=base[usable[n]])
        vertices[n].children = (f"e{n}",)
    for n, targets in attacks.items():
        for target in targets:
            vertices[target].attackers.append(n)
    vertices["g"] = Vertex("g", "goal", undeveloped=True, attackers=list(names[:1]))
    state = evaluate(Argument(vertices, "g"))
    assert state.labels == brute_labels(attacks, usable)


def exhaustive_labels(spec: Spec) -> dict[str, Label]:
    """Least fixpoint over the whole argument by plain rounds: everything at once, from all undecided."""
    argument = spec.argument()
    labels = dict.fromkeys(spec.attacks, Label.UNDECIDED)
    while True:
        low = {v: _health(argument, v, labels, True) for v in argument.vertices}
        new: dict[str, Label] = {}
        for d in spec.attacks:
            vertex = argument.vertices[d]
            evidence = [argument.vertices[child] for child in vertex.children if child in spec.leaves]
            contrary = any(
                e.base is Health.REFUTED and all(labels[a] is Label.OUT for a in e.attackers) for e in evidence
            )
            if contrary or any(labels[a] is Label.IN for a in vertex.attackers):
                new[d] = Label.OUT
            elif low[d] >= Health.CONDITIONAL and all(labels[a] is Label.OUT for a in vertex.attackers):
                new[d] = Label.IN
            else:
                new[d] = Label.UNDECIDED
        if new == labels:
            return labels
        labels = new


def _health(argument: Argument, name: str, labels: dict[str, Label], low: bool) -> Health:
    vertex = argument.vertices[name]
    below = [_health(argument, child, labels, low) for child in vertex.children]
    if vertex.type != "defeater":
        below = [
            Health.UNSUPPORTED if h is Health.REFUTED and argument.vertices[child].type == "goal" else h
            for child, h in zip(vertex.children, below, strict=True)
        ]
    if vertex.type == "defeater":
        return min(below, default=Health.SUPPORTED)
    if vertex.base is not None:
        health = vertex.base
    elif vertex.type == "assumption":
        health = Health.CONDITIONAL
    else:
        k = needed(vertex.mode, len(below)) if below else 0
        health = sorted(below, reverse=True)[k - 1] if below else Health.UNDEVELOPED
        if vertex.undeveloped:
            health = min(health, Health.UNDEVELOPED)
        health = min([health, *(_health(argument, c, labels, low) for c in vertex.contexts)])
    standing = [a for a in vertex.attackers if labels[a] is Label.IN or (low and labels[a] is Label.UNDECIDED)]
    return min(health, Health.UNDERMINED) if standing else health


def exhaustive_health(spec: Spec, labels: dict[str, Label]) -> dict[str, Health]:
    """Health under the labels, with caveats as the greatest fixpoint, by plain rounds over the whole argument."""
    argument = spec.argument()
    caveats = dict.fromkeys(spec.attacks, True)
    while True:
        health = dict.fromkeys(argument.vertices, Health.REFUTED)
        for _ in range(len(health) * 2):
            health = {v: _capped(argument, v, health, labels, caveats) for v in argument.vertices}
        new = {d: _caveat(argument, d, health, labels, caveats) for d in spec.attacks}
        if new == caveats:
            return health
        caveats = new


def _capped(
    argument: Argument, name: str, health: dict[str, Health], labels: dict[str, Label], caveats: dict[str, bool]
) -> Health:
    vertex = argument.vertices[name]
    if vertex.type == "defeater":
        return min((health[child] for child in vertex.children), default=Health.SUPPORTED)
    worth = [
        Health.UNSUPPORTED if health[c] is Health.REFUTED and argument.vertices[c].type == "goal" else health[c]
        for c in vertex.children
    ]
    if vertex.base is not None:
        result = vertex.base
    elif vertex.type == "assumption":
        result = Health.CONDITIONAL
    else:
        k = needed(vertex.mode, len(worth)) if worth else 0
        result = sorted(worth, reverse=True)[k - 1] if worth else Health.UNDEVELOPED
        result = min(result, Health.UNDEVELOPED) if vertex.undeveloped else result
    below = [health[context] for context in vertex.contexts]
    for attacker in vertex.attackers:
        doubt = argument.vertices[attacker]
        if labels[attacker] is Label.OUT:
            below.append(Health.CONDITIONAL if caveats[attacker] else Health.SUPPORTED)
        elif labels[attacker] is Label.IN and doubt.kind == "rebut" and doubt.children:
            below.append(Health.REFUTED if health[attacker] is Health.SUPPORTED else Health.UNDERMINED)
        else:
            below.append(Health.UNDERMINED)
    return min([result, *below])


def _caveat(
    argument: Argument, name: str, health: dict[str, Health], labels: dict[str, Label], caveats: dict[str, bool]
) -> bool:
    vertex = argument.vertices[name]
    if labels[name] is Label.IN:
        doubted = any(caveats[a] for a in vertex.attackers)
        return not vertex.children or health[name] < Health.SUPPORTED or doubted
    if labels[name] is Label.UNDECIDED:
        return False
    contrary = [
        child
        for child in (argument.vertices[c] for c in vertex.children)
        if child.base is Health.REFUTED and all(labels[a] is Label.OUT for a in child.attackers)
    ]
    if any(not any(caveats[a] for a in child.attackers) for child in contrary):
        return False
    return all(caveats[a] for a in vertex.attackers if labels[a] is Label.IN)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 6))
def test_support_and_attack_together_against_plain_rounds(seed, defeaters):
    spec = random_spec(seed, goals=5, leaves=4, defeaters=defeaters)
    state = evaluate(spec.argument())
    labels = exhaustive_labels(spec)
    assert state.labels == labels
    assert state.low == exhaustive_health(spec, labels)


def defeated(*attacks: tuple[str, str], bare: str = "", evidence: dict[str, Health] | None = None) -> dict[str, Health]:
    """The health of g, supported by evidence, under attacks (attacker, target); ``bare`` have no support."""
    vertices = {"g": Vertex("g", "goal", ("e",)), "e": Vertex("e", "evidence", base=Health.SUPPORTED)}
    for attacker, target in attacks:
        if attacker not in vertices:
            vertices[attacker] = Vertex(attacker, "defeater", kind="rebut")
            if attacker not in bare:
                health = (evidence or {}).get(attacker, Health.SUPPORTED)
                vertices[f"e{attacker}"] = Vertex(f"e{attacker}", "evidence", base=health)
                vertices[attacker].children = (f"e{attacker}",)
        vertices[target].attackers.append(attacker)
    return evaluate(Argument(vertices, "g")).low


@pytest.mark.parametrize(
    ("attacks", "bare", "evidence", "health"),
    [
        ([("p", "g")], "p", {}, Health.UNDERMINED),  # a doubt nobody answered
        ([("p", "g")], "", {}, Health.REFUTED),  # a rebuttal that its evidence supports
        ([("p", "g")], "", {"p": Health.UNSUPPORTED}, Health.UNDERMINED),  # whose evidence is missing
        ([("p", "g")], "", {"p": Health.REFUTED}, Health.SUPPORTED),  # whose evidence shows the contrary
        ([("p", "g"), ("q", "p")], "p", {}, Health.SUPPORTED),  # answered with evidence
        ([("p", "g"), ("q", "p")], "pq", {}, Health.CONDITIONAL),  # answered by somebody's word
        (
            [("p", "g"), ("q", "p")],
            "p",
            {"q": Health.UNSUPPORTED},
            Health.UNDERMINED,
        ),  # the answer's evidence is missing
        ([("p", "g"), ("q", "p"), ("r", "q")], "p", {}, Health.UNDERMINED),  # the answer is rebutted: reinstated
        ([("p", "g"), ("q", "p"), ("p", "q")], "p", {}, Health.UNDERMINED),  # a circle decides nothing
    ],
)
def test_known_dialogues(attacks, bare, evidence, health):
    assert defeated(*attacks, bare=bare, evidence=evidence)["g"] is health


def test_deep_and_wide_arguments_do_not_overflow():
    n = 5000
    vertices = {f"g{i}": Vertex(f"g{i}", "goal", (f"g{i + 1}",)) for i in range(n)}
    vertices[f"g{n}"] = Vertex(f"g{n}", "evidence", base=Health.SUPPORTED)
    for i in range(n):  # and a long dialogue
        vertices[f"d{i}"] = Vertex(f"d{i}", "defeater", kind="rebut", attackers=[f"d{i + 1}"] if i + 1 < n else [])
    vertices["g0"].attackers.append("d0")
    state = evaluate(Argument(vertices, "g0"))
    assert state.labels["d0"] is Label.OUT  # an even number follows it
    assert state.low["g0"] is Health.CONDITIONAL  # every answer is somebody's word
