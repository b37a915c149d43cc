"""A circuit for indirect-object identification in SmolLM2-135M, found by edge attribution, and its faithfulness card.

``toulmin subjects get smollm2-135m`` fetches the model once. About two minutes of one core and 3 GB.
"""

from toulmin.circuits import CircuitRunner, discover, faithfulness_card
from toulmin.subjects import load
from toulmin.tasks import find_task

subject = load("cached:smollm2-135m")
task = find_task("ioi", subject)
runner = CircuitRunner(subject.model, task.generate(16, seed=0), batch=8)
found = discover(runner, "eap", size=2000)
print(found.circuit)
other = CircuitRunner(subject.model, task.generate(20, seed=1), batch=8)  # measured on other prompts
card = faithfulness_card(other, found.circuit, metrics=["logit_diff", "kl"], resamples=200)
print(card, card.lowest, card.highest, card.flips, sep="\n")
