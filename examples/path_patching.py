"""How much of induction runs through three kinds of paths? A hypothesis, its cost, and the proportion it explains.

    python examples/path_patching.py [embedded:induction-2l | hf:NAME@REVISION]

With a model of your own, give pairs of your own: ``Pair(clean, counterfactual, answers)`` of token ids.
"""

import sys

from toulmin.paths import describe, evaluate, hypothesis
from toulmin.subjects import load
from toulmin.tasks import find_task

subject = load(sys.argv[1] if len(sys.argv) > 1 else "embedded:induction-2l")
pairs = find_task("induction", subject).generate(60, seed=0)
heads = "L1.H{0,2-7}"
together = hypothesis(
    f"""
    !{heads}                                          # all paths that avoid these heads
    embed -> [V] {heads} -> logits                    # they copy the token they look at
    embed -> [Q] {heads} -> logits                    # they look for the present token
    embed -> L0.H{{1,3}}[V@i-1] -> [K] {heads} -> logits  # where it stands just before
    """,
    "all three",
)
print(describe(subject, together, pairs[0].length))
(result,) = evaluate(subject, together, pairs, baseline=f"!{heads}")
print(result)
