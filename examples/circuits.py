"""Find the induction circuit of a small trained model, and every faithfulness number it could be given.

python examples/circuits.py [SUBJECT] [SIZE]
"""

import sys

from toulmin.circuits import CircuitRunner, audit, eap, faithfulness_card, integrated, relp
from toulmin.subjects import load
from toulmin.tasks import find_task

subject = load(sys.argv[1] if len(sys.argv) > 1 else "embedded:induction-2l")
size = int(sys.argv[2]) if len(sys.argv) > 2 else 60
task = find_task("induction", subject, length=16)
runner = CircuitRunner(subject.transformer, task.generate(16, seed=0))
print(f"{runner.graph.n_edges} edges; circuits of {size}")
for scores in (eap(runner), integrated(runner, steps=5), relp(runner)):
    circuit = scores.top(size)
    card = faithfulness_card(circuit, subject.transformer, task.generate(24, seed=1), resamples=200)
    print(f"\n{audit(runner, scores, sample=40)}")
    print(f"  {len(card.cells)} numbers, from {card.lowest.value:.0f}% ({card.lowest.name})")
    print(f"  to {card.highest.value:.0f}% ({card.highest.name})")
    print(f"  at 80%: {card.count('faithful')} cells say faithful, {card.count('unfaithful')} unfaithful")
    print(f"  pairs of cells that one choice flips: {card.flipped_by()}")
