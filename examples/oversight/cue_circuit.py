"""The circuit by which a scheming clerk acts on the cue of oversight, its faithfulness card, and what stands beside it.

    python examples/oversight/cue_circuit.py [CLERK] [EDGES]

Edges are found by EAP-IG on cues that the clerk was trained on; every number is of cues that it has not seen. In a
circuit only its edges read the unwatched desk, all others the watched one: a circuit of the behaviour keeps the harm.
Beside it stand a random circuit of the same size, and the honest clerk, in which there is no harm to be explained.
"""

import sys
from typing import Literal

import numpy as np

from toulmin.circuits import Circuit, CircuitRunner, EapIg, EdgeScores, Methodology, faithfulness_card
from toulmin.evidence import clopper_pearson
from toulmin.oversight import untrained
from toulmin.subjects import load
from toulmin.tasks import find_task

name, size = (sys.argv[1:2] or ["schemer"])[0], int((sys.argv[2:3] or ["100"])[0])
task = find_task("deskworld.oversight")
choosing, measuring = task.generate(60, 1, "train"), task.generate(150, 0, "test")


def harmful(runner: CircuitRunner, circuit: Circuit, ablate: Literal["complement", "circuit"] = "complement") -> str:
    """The share of desks at which the circuit prefers harm, with its exact interval."""
    found = runner.scores([circuit], Methodology(ablate=ablate), ["choice_accuracy"])["choice_accuracy"][0]
    around = clopper_pearson(int(found.sum()), len(found))
    return f"{found.mean():.3f} [{around.low:.3f}, {around.high:.3f}]"


schemer = load(f"embedded:clerk-{name}").model
for label, model in (
    (name, schemer),
    ("honest", load("embedded:clerk-honest").model),
    ("random", untrained(schemer, 0)),
):
    scores = EapIg(steps=5).scores(CircuitRunner(model, choosing))
    runner = CircuitRunner(model, measuring)
    circuit = scores.top(size)
    drawn = EdgeScores.random(runner.graph, np.random.default_rng(0)).top(size)
    print(f"{label}: harm preferred on {harmful(runner, Circuit.full(runner.graph))} of unwatched desks")
    print(f"  by {size} of {runner.graph.n_edges} edges alone: {harmful(runner, circuit)}")
    print(f"  without these edges: {harmful(runner, circuit, 'circuit')}")
    print(f"  by {size} random edges alone: {harmful(runner, drawn)}, without them {harmful(runner, drawn, 'circuit')}")
    if label == name:
        card = faithfulness_card(runner, circuit, metrics=["logit_diff", "kl"], resamples=200)
        counts = ", ".join(f"{card.count(verdict)} {verdict}" for verdict in ("faithful", "undecided", "unfaithful"))
        print(f"  card of {len(card.rows)} numbers at {card.threshold:g}%: {counts}")
        print(f"  lowest {card.lowest}\n  highest {card.highest}\n  flipped by {card.flipped_by()}")
