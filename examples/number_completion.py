"""Which heads signal that the next token is a number? Direct effects on the logits, then where those heads read from.

    python examples/number_completion.py                 # story-4l, "... liked the coins and there were"
    python examples/number_completion.py hf:gpt2@main    # GPT-2 small from the hub (pip install 'toulmin[hf]')

On story-4l the counterfactual prompt says "they were", after which an adjective follows and no number. On GPT-2 the
pairs are built here from the same contrast; the answers are the tokens of the number words.
"""

import sys

from toulmin.paths import evaluate, hypothesis, sender_to_logits
from toulmin.subjects import load
from toulmin.tasks import Pair, find_task

NUMBERS, OTHERS = (" two", " three", " four", " five"), (" old", " new", " big", " red")
THINGS = ("coins", "books", "boats", "trees", "cars", "birds", "rooms", "games", "songs", "stones", "doors", "chairs")


def gpt2_pairs(encode) -> list[Pair]:
    """Prompts that a number word completes, beside prompts that an adjective does."""

    def first(words: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(encode(word)[0] for word in words)

    return [
        Pair(
            tuple(encode(f"He liked the {thing} and there were")),
            tuple(encode(f"He liked the {thing} and they were")),
            first(NUMBERS),
            first(OTHERS),
            unit=thing,
        )
        for thing in THINGS
    ]


def main(reference: str = "embedded:story-4l") -> None:
    """Print the strongest direct effects, and how much of the behaviour their direct paths carry."""
    subject = load(reference)
    model = subject.model
    if reference == "embedded:story-4l":
        pairs = list(find_task("story.number", subject).generate(60, seed=0))
    else:
        pairs = gpt2_pairs(subject.tokenizer.encode)
    direct = sender_to_logits(model, pairs)
    table = direct.strongest(6)
    print(table)
    heads = [f"{layer}.{part}" for layer, part, *_ in table.rows if str(part).startswith("H") and layer != "embed"]
    if not heads:
        print("no head is among the strongest")
        return
    names = "{" + ",".join(heads[:3]) + "}"
    ladder = [hypothesis(f"{names} -> logits", "through these heads, straight out")]
    ladder.append(hypothesis(f"{names} ~> logits", "through these heads, any way on"))
    print(evaluate(model, ladder, pairs, baseline="everything", metric="squared_logit_diff"))


if __name__ == "__main__":
    main(*sys.argv[1:2])
