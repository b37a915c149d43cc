"""Find the induction circuit of a small model by three methods, with every faithfulness number each could be given.

python examples/circuits.py [SUBJECT] [SIZE]
"""

import sys

from toulmin.circuits import CircuitRunner, Eap, EapIg, Relp, attribution_agreement, faithfulness_card
from toulmin.subjects import load
from toulmin.tasks import find_task

subject = load(sys.argv[1] if len(sys.argv) > 1 else "embedded:induction-2l")
size = int(sys.argv[2]) if len(sys.argv) > 2 else 60
task = find_task("induction", subject, length=16)
runner = CircuitRunner(subject.model, task.generate(16, seed=0))
measuring = CircuitRunner(subject.model, task.generate(24, seed=1))
print(f"{runner.graph.n_edges} edges; circuits of {size}")
for method in (Eap(), EapIg(steps=5), Relp()):
    scores = method.scores(runner)
    card = faithfulness_card(measuring, scores.top(size), resamples=200)
    print(f"\n{attribution_agreement(runner, scores, sample=40).sentence}")
    print(f"  {len(card.rows)} numbers, lowest {card.lowest}")
    print(f"  highest {card.highest}")
    print(f"  at 80%: {card.count('faithful')} rows say faithful, {card.count('unfaithful')} unfaithful")
    print(f"  pairs of rows that one choice flips: {card.flipped_by()}")
