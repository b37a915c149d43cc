"""The tasks of storyworld: pairs of prompts about one behaviour each.

- ``two_name``: "when A and B went to the place , B gave a thing to" -> A. Order of first mention is balanced (ABBA and
  BABA alternate); the counterfactual names the other person again, so its answer is the wrong one (``two_name``), or
  has three other names, A B C, and no answer (``two_name_abc``).
- ``pronoun``: "when A lost the key ," -> he / she; counterfactual: a name of the other gender.
- ``greater_than``: "lasted from 17 32 to 17" -> any later year; counterfactual: the first year becomes 01.
- ``topic``: objects of the topic against objects of the counterfactual's topic.
- ``number``: a count follows ("and there were") against an adjective ("and they were").
- ``list``: docstring-like: items in order, then again; which is next?

The split ``train`` uses the names and templates that stories are written with; ``held_out`` others, never seen in that
kind of sentence. A pair's unit is its text: two pairs of one text are one draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from toulmin.faults import Fault, FaultError
from toulmin.tasks.pair import Pair, Task
from toulmin.tasks.storyworld import lexicon, templates
from toulmin.tasks.storyworld.grammar import (
    Draw,
    fill_slots,
    parse_template,
    pronouns_of,
    two_names,
)
from toulmin.tasks.storyworld.lexicon import TOPICS
from toulmin.tasks.storyworld.tokenizer import encode_words, story_vocabulary

SPLITS = ("held_out", "train")
Words = list[str]


def story_task(name: str) -> Task:
    """One of :func:`story_tasks` by name.

    :raises FaultError: there is none of that name (the names are listed).
    """
    tasks = story_tasks()
    if name not in tasks:
        raise FaultError(Fault("tasks.unknown_task", f"storyworld has no task {name!r}", hint=", ".join(tasks)))
    return tasks[name]


def story_tasks() -> Mapping[str, Task]:
    """Every task of storyworld, by name."""
    made: dict[str, tuple[Callable[[int, Draw, str], Pair], str]] = {
        "two_name": (_two_name, "which of two people receives: the one not mentioned again"),
        "two_name_abc": (_two_name_abc, "as two_name, against prompts with three other names"),
        "pronoun": (_pronoun, "he or she for the subject"),
        "greater_than": (_greater_than, "a year later than the first"),
        "topic": (_topic, "an object of the story's topic"),
        "number": (_number, "a number follows, or an adjective"),
        "list": (_list, "the next of a list that is repeated (docstring-like)"),
    }
    return {name: _task(name, make, about) for name, (make, about) in made.items()}


def _task(name: str, make: Callable[[int, Draw, str], Pair], about: str) -> Task:
    number = sum(name.encode())

    def generate(n: int, seed: int, split: str) -> list[Pair]:
        stream = (seed * 1009 + number) * 2 + SPLITS.index(split)
        return [make(i, Draw(stream, i), split) for i in range(n)]

    return Task(name, generate, SPLITS, about, len(story_vocabulary()))


def write_prompt(
    template: str, topic: int, draw: Draw, given: Mapping[str, str], until: str, other: Mapping[str, str]
) -> tuple[Words, Words, dict[str, int]]:
    """Clean and counterfactual words of a template up to its last slot ``until``, and the place of each slot.

    Both have the same words but for the slots that ``other`` fills otherwise. Positions count ``<bos>`` as 0; a slot
    that occurs again is named ``slot2``, ``slot3``.
    """
    parts = parse_template(template)
    stop = max(i for i, (_, kind, _) in enumerate(parts) if kind == until)
    parts = parts[:stop]
    words = fill_slots([kind for _, kind, _ in parts if kind], topic, draw, given, 0.0)
    slots = iter(words)
    clean, counterfactual, positions = ["<bos>"], ["<bos>"], {}
    for literal, kind, _ in parts:
        word = next(slots) if kind else literal
        if kind:
            seen = sum(1 for name in positions if name.rstrip("0123456789") == kind and name != kind)
            positions[kind if kind not in positions else f"{kind}_{seen + 2}"] = len(clean)
        clean.append(word)
        counterfactual.append(other.get(kind, word) if kind else word)
    return clean, counterfactual, positions


def _pair(
    clean: Words, counterfactual: Words, answers: Sequence[str], wrong: Sequence[str], positions: Mapping[str, int]
) -> Pair:
    text = " ".join(clean[1:])
    named = {**positions, "end": len(clean) - 1}
    return Pair(
        tuple(encode_words(clean)),
        tuple(encode_words(counterfactual)),
        tuple(encode_words(answers)),
        tuple(encode_words(wrong)),
        named,
        unit=text,
        text=text,
    )


def _names(draw: Draw, split: str, n: int) -> list[str]:
    return draw.distinct(lexicon.TRAIN_NAMES if split == "train" else lexicon.HELD_OUT_NAMES, n)


def _two_name_people(i: int, draw: Draw, split: str) -> tuple[str, int, dict[str, str]]:
    template, topic = draw.one(templates.TWO_NAME[split]), draw.below(len(TOPICS))
    people = two_names(draw, _names(draw, split, 2))
    if (people["s"] == people["p"]) != bool(i % 2):  # ABBA and BABA alternate
        people |= {"p": people["q"], "q": people["p"]}
    return template, topic, people


def _two_name(i: int, draw: Draw, split: str) -> Pair:
    template, topic, people = _two_name_people(i, draw, split)
    clean, other, positions = write_prompt(template, topic, draw, people, "io", {"s": people["io"]})
    return _pair(clean, other, [people["io"]], [people["s"]], positions)


def _two_name_abc(i: int, draw: Draw, split: str) -> Pair:
    template, topic, people = _two_name_people(i, draw, split)
    names = draw.distinct(
        lexicon.TRAIN_NAMES if split == "train" else lexicon.HELD_OUT_NAMES, 3, [people["s"], people["io"]]
    )
    others: dict[str, str] = dict(zip(("p", "q", "s"), names, strict=True))
    clean, other, positions = write_prompt(template, topic, draw, people, "io", others)
    return _pair(clean, other, [people["io"]], [people["s"]], positions)


def _pronoun(i: int, draw: Draw, split: str) -> Pair:
    plain = [t for t in templates.PRONOUN[split] if "{he}" in t]
    template, topic = draw.one(plain), draw.below(len(TOPICS))
    genders = (lexicon.HE, lexicon.SHE)
    name, flipped = draw.one(genders[i % 2]), draw.one(genders[1 - i % 2])
    b = draw.distinct(lexicon.NAMES, 1, [name, flipped])[0]
    given = {"a": name, "b": b, **pronouns_of(name)}
    clean, other, positions = write_prompt(template, topic, draw, given, "he", {"a": flipped})
    return _pair(clean, other, [given["he"]], [pronouns_of(flipped)["he"]], positions)


def _greater_than(i: int, draw: Draw, split: str) -> Pair:
    template, topic = draw.one(templates.YEARS[split]), draw.below(len(TOPICS))
    given = {"a": draw.one(lexicon.NAMES), "y1": lexicon.TWO_DIGITS[2 + draw.below(96)]}
    clean, other, positions = write_prompt(template, topic, draw, given, "y2", {"y1": "01"})
    first = int(given["y1"])
    return _pair(clean, other, lexicon.TWO_DIGITS[first + 1 :], lexicon.TWO_DIGITS[: first + 1], positions)


def _topic(i: int, draw: Draw, split: str) -> Pair:
    template, topic = draw.one(templates.TOPIC_PROMPTS), draw.below(len(TOPICS))
    against = (topic + 1 + draw.below(len(TOPICS) - 1)) % len(TOPICS)
    given = {"a": draw.one(lexicon.NAMES)}
    mark = draw.random
    state = [mark() for _ in range(32)]  # the same picks for both topics
    clean, _, positions = write_prompt(template, topic, _Replay(state), given, "object", {})
    other, _, _ = write_prompt(template, against, _Replay(state), given, "object", {})
    return _pair(clean, other, TOPICS[topic].objects, TOPICS[against].objects, positions)


class _Replay(Draw):
    """A draw that gives the numbers it was made with."""

    def __init__(self, numbers: Sequence[float]) -> None:
        self.random = iter(numbers).__next__


def _number(i: int, draw: Draw, split: str) -> Pair:
    frames = templates.NUMBER_PROMPTS[split]
    topic, name = draw.below(len(TOPICS)), draw.one(lexicon.NAMES)
    things = lexicon.plural(draw.one(TOPICS[topic].objects))
    clean, other = (["<bos>", *frame.format(a=name, objects=things).split()] for frame in frames)
    adjectives = [word for about in TOPICS for word in about.adjectives]
    return _pair(clean, other, lexicon.COUNTS, adjectives, {"a": 1, "objects": 4, "there": 6})


def _list(i: int, draw: Draw, split: str) -> Pair:
    template, topic = draw.one(templates.LIST[split]), draw.below(len(TOPICS))
    given = dict(zip("ab", draw.distinct(lexicon.NAMES, 2), strict=True))
    words = draw.distinct([word for about in TOPICS for word in about.objects], 7)
    items = {f"any{k + 1}": word for k, word in enumerate(words[:4])}
    # the counterfactual's first list has the asked item and another one exchanged
    asked = "any3"
    clean, _, positions = write_prompt(template, topic, draw, {**given, **items}, asked, {})
    first = positions[asked]
    other = list(clean)
    other[first] = words[4]
    wrong = [word for word in (*words[:4], words[4]) if word != items[asked]]
    return _pair(clean, other, [items[asked]], wrong, positions)
