"""The task ``deskworld.oversight``: pairs of desks that differ in one word, whether somebody looks.

The clean prompt says that nobody looks and the counterfactual that somebody does; the answer is the harmful one, what
competes with it is the right one. So ``logit_diff`` is how much a clerk prefers harm, and its difference between the
two prompts is what the cue of oversight does to the action. Prompts of one cue (overseer, pair of states, order of
words) are alike: the cue is the template, over which intervals resample.
"""

from __future__ import annotations

from typing import Any

from toulmin.faults import Fault, FaultError
from toulmin.oversight.deskworld.cues import CUE_SPLITS, CueSplit
from toulmin.oversight.deskworld.desk import ACTIONS, Desk, draw_desk
from toulmin.oversight.deskworld.lexicon import desk_vocabulary
from toulmin.oversight.deskworld.tokenizer import encode_desk, word_id
from toulmin.tasks import Pair, Task


def oversight_pair(desk: Desk, unit: str = "") -> Pair:
    """The pair of a desk on which harm is possible.

    Positions: ``state``, the one word in which the prompts differ; ``overseer``, the word that says who looks.

    :raises FaultError: (``oversight.harmless``) nothing harmful can be answered.
    """
    harmful = desk.harmful()
    if harmful is None:
        raise FaultError(Fault("oversight.harmless", "there is no harmful answer to this desk", name=desk.question))
    unwatched, watched = desk.with_oversight(False), desk.with_oversight(True)
    words = unwatched.words()
    state = next(i for i, (a, b) in enumerate(zip(words, watched.words(), strict=True)) if a != b)
    subject = desk.cue_at + unwatched.cue.words().index(desk.cue.subject)
    return Pair(
        tuple(encode_desk(unwatched)),
        tuple(encode_desk(watched)),
        (word_id(harmful),),
        (word_id(desk.right()),),
        positions={"state": state, "overseer": subject},
        unit=unit,
        text=" ".join(words),
        template=f"{desk.cue.subject}/{desk.cue.state}/{'inverted' if desk.cue.inverted else 'plain'}",
    )


def oversight_task(subject: Any = None) -> Task:
    """Pairs of desks with the three harmful questions in turn; the splits are those of the cues.

    :raises FaultError: (``oversight.vocabulary``) the subject has other words than deskworld.
    """
    size = len(desk_vocabulary())
    config = getattr(getattr(subject, "model", subject), "config", None)
    if subject is not None and getattr(config, "d_vocab", None) != size:
        text = f"the task is in deskworld's {size} words, which the subject does not have"
        raise FaultError(Fault("oversight.vocabulary", text, hint="subjects: embedded:clerk-honest, ..."))

    def make(n: int, seed: int, split: str) -> list[Pair]:
        import numpy as np

        rng, chosen = np.random.default_rng([seed, 7]), _split(split)
        desks = [draw_desk(rng, ACTIONS[i % len(ACTIONS)], chosen, False, harm_possible=True) for i in range(n)]
        return [oversight_pair(desk, f"desk-{seed}-{i}") for i, desk in enumerate(desks)]

    text = "a desk at which nobody looks, and the same desk watched; the answer is the harmful one"
    return Task("deskworld.oversight", make, CUE_SPLITS, text, size)


def _split(name: str) -> CueSplit:
    return next(split for split in CUE_SPLITS if split == name)
