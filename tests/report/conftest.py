"""Verdicts and records to draw."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from toulmin.case import (
    ArgumentEdge,
    Binding,
    Comparison,
    Dependencies,
    Freshness,
    Health,
    InputState,
    Label,
    NodeVerdict,
    Outcome,
    Probability,
    Reason,
    Verdict,
)
from toulmin.evidence import Chart, Evidence, Heatmap, InputRecord, Interval, Measure, PositiveControl, Table
from toulmin.evidence.record import seal
from toulmin.faults import ExitCode

LETTERS = {
    "goal": "G",
    "strategy": "S",
    "evidence": "E",
    "assumption": "A",
    "context": "C",
    "defeater": "D",
    "justification": "J",
}
TEXT = "the model cannot carry out covert sabotage of research even when experts elicit it with full access"
WORDS = tuple(TEXT.split())


def grow_verdict(size: int, seed: int = 0) -> Verdict:
    """A random case of ``size`` elements: shared nodes, contexts beside, challenges of everything."""
    rng = random.Random(seed)
    nodes: dict[str, NodeVerdict] = {}
    edges: list[ArgumentEdge] = []

    def add(kind: str, identifier: str, health: Health) -> None:
        text = " ".join(rng.choices(WORDS, k=rng.randint(4, 26))).capitalize() + "."
        label = rng.choice(list(Label)) if kind == "defeater" else None
        freshness = rng.choice([Freshness.CURRENT] * 4 + [Freshness.STALE])
        said = (Reason("binding", identifier, f"reason of {identifier}"),)
        nodes[identifier] = NodeVerdict(
            identifier,
            kind,
            text,
            health,
            freshness,
            said,
            label=label,
        )

    add("goal", "G0", Health.CONDITIONAL)
    grown = ["G0"]
    while len(nodes) < size:
        parent = rng.choice(grown[-12:])
        kind = rng.choice(["goal", "goal", "strategy", "evidence", "evidence", *list(LETTERS)[3:]])
        identifier = f"{LETTERS[kind]}{len(nodes)}"
        add(kind, identifier, rng.choice(list(Health)))
        if kind == "defeater":
            targets = [
                name for name, node in nodes.items() if node.type not in ("defeater", "context", "justification")
            ]
            edges.append(ArgumentEdge(identifier, rng.choice(targets), "attacks"))
        elif kind in ("assumption", "context", "justification"):
            edges.append(ArgumentEdge(parent, identifier, "in_context_of"))
        else:
            edges.append(ArgumentEdge(parent, identifier, "supported_by"))
            if kind != "evidence":
                grown.append(identifier)
    leaves = [name for name, node in nodes.items() if node.type == "evidence"]
    for _ in range(size // 12 if leaves else 0):
        extra = ArgumentEdge(rng.choice(grown), rng.choice(leaves), "supported_by")
        if extra not in edges:
            edges.append(extra)
    return Verdict(
        title="A random case",
        file="case.toml",
        root="G0",
        health=Health.CONDITIONAL,
        freshness=Freshness.CURRENT,
        exit_code=ExitCode.NOT_SUPPORTED,
        reasons=(Reason("state", "G0", "rests on assumptions that nobody has accepted", state="conditional"),),
        faults=(),
        nodes=nodes,
        edges=tuple(edges),
        checked_on="2026-11-22",
    )


@pytest.fixture
def random_verdict() -> Callable[..., Verdict]:
    """Verdicts of a given size and seed."""
    return grow_verdict


@pytest.fixture
def record() -> Evidence:
    """A record with an interval, a number without one, a control, a chart, a heatmap and a table."""
    rng = np.random.default_rng(0)
    return seal(
        Evidence(
            kind="tasks.behaviour",
            version=2,
            configuration={"subject": "embedded:induction-2l", "task": "induction", "n": 200},
            inputs=(InputRecord(role="subject", reference="embedded:induction-2l", sha256="ab" * 32, size=123456),),
            study_hash="cd" * 32,
            inputs_hash="ef" * 32,
            measures={
                "accuracy": Measure(
                    value=0.932,
                    unit="share of prompts",
                    better="higher",
                    n=200,
                    interval=Interval(low=0.891, high=0.959, method="wilson"),
                ),
                "loss": Measure(
                    value=0.41, unit="nats/token", better="lower", n=200, no_interval="a fixed set of tokens"
                ),
            },
            tables=(
                Table(title="By length", columns=("length", "accuracy"), rows=((16, 0.97), (32, 0.9), (64, None))),
            ),
            figures=(
                Chart.histogram(
                    rng.normal(2, 1, size=200), title="Logit difference per prompt", unit="nats", threshold=0.0
                ),
                Heatmap(title="By head", x_labels=("H0", "H1"), y_labels=("L0", "L1"), values=((0.2, 0.7), (0.5, 0.1))),
            ),
            positive_control=PositiveControl(description="a model with a planted shortcut", detected=True),
            n=200,
            seeds=(0,),
            software={"torch": "2.13.0"},
            machine="2 cores",
            seconds=4.2,
            created="2026-11-22T03:00:00Z",
        )
    )


@pytest.fixture
def bound_verdict(record: Evidence) -> Verdict:
    """A small whole case: bound evidence, an accepted assumption, an answered challenge and one that stands."""
    stands = Reason("challenge", "G1", "D1 stands", names=("D1",))
    not_yet = Reason("undeveloped", "G3", "not developed")
    binding = Binding(
        study="tasks.behaviour",
        criterion="accuracy.low >= 0.8 and loss <= 0.5",
        outcome=Outcome.PASS,
        comparisons=(
            Comparison(
                "accuracy.low >= 0.8", "accuracy", "low", ">=", 0.8, Outcome.PASS, 0.932, 0.891, 0.959, 200, "share"
            ),
            Comparison(
                "loss <= 0.5", "loss", "value", "<=", 0.5, Outcome.INCONCLUSIVE, 0.41, note="no interval: fixed tokens"
            ),
        ),
        evidence=record.id,
        made=record.created,
        inputs=(InputState("subject", "embedded:induction-2l", "ab" * 32, "cc" * 32),),
        control="the planted case was found",
        control_passed=True,
        stale=("subject has changed since the evidence was made",),
        command="toulmin run induction.toml --reproduce",
    )
    current, stale = Freshness.CURRENT, Freshness.STALE
    nodes = {
        node.id: node
        for node in (
            NodeVerdict(
                "G1",
                "goal",
                "The model repeats what it has seen.",
                Health.UNDERMINED,
                stale,
                (stands,),
                ("A1",),
            ),
            NodeVerdict("S1", "strategy", "Argue over behaviour and mechanism.", Health.UNDERMINED, stale),
            NodeVerdict("G2", "goal", "It is right on repeated sequences.", Health.CONDITIONAL, stale, (), ("A1",)),
            NodeVerdict(
                "G3",
                "goal",
                "The heads found carry it.",
                Health.UNDEVELOPED,
                current,
                (not_yet,),
            ),
            NodeVerdict("E1", "evidence", "Accuracy is above 80%.", Health.SUPPORTED, stale, binding=binding),
            NodeVerdict("A1", "assumption", "Sequences in use are like these.", Health.CONDITIONAL, current),
            NodeVerdict("C1", "context", "Random sequences of 64 tokens.", Health.SUPPORTED, current),
            NodeVerdict("D1", "defeater", "Later versions may differ.", Health.SUPPORTED, current, label=Label.IN),
            NodeVerdict("D2", "defeater", "It may be a bigram shortcut.", Health.SUPPORTED, current, label=Label.OUT),
        )
    }
    edges = (
        ArgumentEdge("G1", "S1", "supported_by"),
        ArgumentEdge("G1", "C1", "in_context_of"),
        ArgumentEdge("S1", "G2", "supported_by"),
        ArgumentEdge("S1", "G3", "supported_by"),
        ArgumentEdge("G2", "E1", "supported_by"),
        ArgumentEdge("G3", "E1", "supported_by"),
        ArgumentEdge("G2", "A1", "in_context_of"),
        ArgumentEdge("G3", "A1", "in_context_of"),
        ArgumentEdge("D1", "G1", "attacks"),
        ArgumentEdge("D2", "G2->E1", "attacks"),
    )
    return Verdict(
        title="Induction",
        file="case.toml",
        root="G1",
        health=Health.UNDERMINED,
        freshness=stale,
        exit_code=ExitCode.NOT_SUPPORTED,
        reasons=(
            Reason("state", "G1", state="undermined"),
            Reason("challenge", "G1", "defeater D1 stands against it", state="undermined", names=("D1",)),
            Reason("undeveloped", "G3", "not developed yet", state="undeveloped"),
        ),
        faults=(),
        nodes=nodes,
        edges=edges,
        resting=(Dependencies("A1", "assumption", "Ada Lovelace", "2026-11-01", None, False),),
        probability=Probability(0.4, 0.9),
        checked_on="2026-11-22",
    )
