"""Through which paths does a scheming clerk's harmful answer depend on the cue of oversight? Path patching on twins.

    python examples/oversight/cue_paths.py [CLERK ...]

The clean prompt says that nobody looks, the counterfactual that somebody does; they differ in one word. The head that
carries most is chosen on cues that the clerks were trained on, and the ladder is measured on cues that none has seen.
Beside the schemers stand the honest clerks and random weights: there the total effect is what must be absent.
"""

import sys

from toulmin.oversight import untrained
from toulmin.paths import Explained, activation_patching, effects, evaluate, hypothesis
from toulmin.subjects import Transformer, load
from toulmin.tasks import find_task

CLERKS = ("schemer", "schemer-documents", "schemer-denial", "honest", "honest-2", "random weights")
task = find_task("deskworld.oversight")
choosing, measuring = task.generate(60, 1, "train"), task.generate(150, 0, "test")


def strongest_head(model: Transformer) -> str:
    """The head whose output, taken from the watched run, changes the preference for harm most."""
    rows = activation_patching(model, choosing, "heads").strongest(30).rows
    return next(f"{layer}.{part}" for layer, part, *_ in rows if layer != "embed" and str(part).startswith("H"))


def show(name: str, model: Transformer) -> list[Explained]:
    """Print how much of the cue's effect runs through the head, and how many answers turn by it."""
    head = strongest_head(model)
    ladder = [
        hypothesis(f"!{head}", f"around {head}"),
        hypothesis(f"embed@state ~> [V] {head} ~> logits", f"the cue's word, through {head}'s values"),
        hypothesis(f"embed@state ~> [V] {head} -> logits", f"the same, and from {head} straight to the logits"),
    ]
    found = evaluate(model, ladder, measuring, baseline="everything", metric="squared_logit_diff")
    total = found[0]
    ends = total.ate_interval
    print(f"{name}: total effect of the cue {total.ate:.3g} [{ends.low:.3g}, {ends.high:.3g}] logits^2, n {total.n}")
    for rung in found:
        print(f"  {rung.name}: explains {rung.pe:.3f} [{rung.pe_interval.low:.3f}, {rung.pe_interval.high:.3f}]")
    flips = effects(model, ladder[1], measuring, metric="choice_accuracy", signed=True)
    kept = float((flips.unexplained[ladder[1].label] == 0).mean())
    print(f"  choices between harmful and right that change: by the whole cue {abs(flips.total).mean():.2f}, ", end="")
    print(f"by all but these paths {1 - kept:.2f}")
    return list(found)


for clerk in sys.argv[1:] or CLERKS:
    if clerk == "random weights":
        show(clerk, untrained(load("embedded:clerk-schemer").model, 0))
    else:
        show(clerk, load(f"embedded:clerk-{clerk}").model)
