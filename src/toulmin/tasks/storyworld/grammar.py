"""storyworld: stories from a probabilistic grammar whose latent factors are known.

A story has a topic and a cast of two people; its sentences are drawn from :data:`WEIGHTS`, and the words of a sentence
from the topic (a word of another topic with probability :data:`STRAY`). Story i of a seed is a function of (seed, i),
so a stream of stories is resumed by one integer, and any story can be made again on its own.

Each token carries its latent factors: the topic of the story, the entity (which person of the story it names or refers
to, numbered by first mention; -1 for none) and its role.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from toulmin.tasks.storyworld import lexicon, templates
from toulmin.tasks.storyworld.lexicon import TOPICS, Topic

#: how often each kind of sentence is drawn
WEIGHTS: Mapping[str, float] = {
    "two_name": 0.36,
    "one_name": 0.12,
    "pronoun": 0.16,
    "years": 0.07,
    "one_year": 0.02,
    "count": 0.04,
    "no_count": 0.03,
    "list": 0.08,
    "event": 0.12,
}
STRAY = 0.03  #: probability that a word of the topic is one of another topic
INTRODUCED = 0.3  #: probability that a story begins by naming its topic
CAST_REUSED = 0.3  #: probability that a two-name sentence is about the cast, where the split allows it
ROLES = (
    "bos",
    "word",
    "punctuation",
    "subject",
    "other",
    "object",
    "owner",
    "companion",
    "recipient",
    "pronoun",
    "place",
    "thing",
    "repeated",
    "adjective",
    "verb",
    "count",
    "event",
    "century",
    "year",
    "topic",
)
_PEOPLE = {"a": "subject", "b": "other", "p": "companion", "q": "companion", "s": "subject", "io": "recipient"}
_KINDS = {"place": "place", "object": "thing", "objects": "thing", "adj": "adjective", "verb": "verb"}
_PLAIN = {"count": "count", "event": "event", "century": "century", "y1": "year", "y2": "year", "topic": "topic"}


@dataclass(frozen=True)
class Labelled:
    """A text with its ground truth: for each of T words its role and entity; the topic is that of the story.

    ``roles[i]`` is one of :data:`ROLES`; ``entities[i]`` indexes ``people`` or is -1; ``topics[i]`` is the index in
    ``TOPICS`` of the topic the word belongs to (-1 where it belongs to none), ``topic`` the story's.
    """

    words: tuple[str, ...]
    roles: tuple[str, ...]
    entities: tuple[int, ...]
    topics: tuple[int, ...]
    topic: int
    people: tuple[str, ...]


@cache
def parse_template(template: str) -> tuple[tuple[str, str, str], ...]:
    """The parts of a template, each (word, kind, role): a literal has kind ''."""
    parts = []
    for word in template.split():
        slot = re.fullmatch(r"\{(\w+)(?::(\w+))?\}", word)
        if slot is None:
            parts.append((word, "", "punctuation" if word in lexicon.PUNCTUATION else "word"))
        else:
            parts.append(("", slot[1], slot[2] or _role(slot[1])))
    return tuple(parts)


def _role(kind: str) -> str:
    if kind in lexicon.PRONOUNS:
        return "pronoun"
    if kind in _PEOPLE:
        return _PEOPLE[kind]
    if kind in _KINDS:
        return _KINDS[kind]
    return _PLAIN.get(kind, "thing")  # o1 .. o4, any1 .. any4


class Draw:
    """Picks by a seed. Only ``random.random`` is used, whose sequence Python promises to keep."""

    def __init__(self, seed: int, index: int) -> None:
        self.random = random.Random((seed << 48) + index).random

    def one(self, items: Sequence[str]) -> str:
        """One item, uniformly."""
        return items[int(self.random() * len(items))]

    def below(self, n: int) -> int:
        """An integer of 0 .. n - 1, uniformly."""
        return int(self.random() * n)

    def distinct(self, items: Sequence[str], n: int, avoid: Sequence[str] = ()) -> list[str]:
        """``n`` different items, none of ``avoid``."""
        chosen: list[str] = []
        while len(chosen) < n:
            item = self.one(items)
            if item not in chosen and item not in avoid:
                chosen.append(item)
        return chosen


@cache
def _all_objects() -> tuple[str, ...]:
    return tuple(word for topic in TOPICS for word in topic.objects)


@cache
def topic_of_word(word: str) -> int:
    """The topic a word belongs to, or -1."""
    for index, topic in enumerate(TOPICS):
        objects = (*topic.objects, *map(lexicon.plural, topic.objects))
        if word == topic.name or word in (*topic.places, *objects, *topic.verbs, *topic.adjectives):
            return index
    return -1


def fill_slots(kinds: Sequence[str], topic: int, draw: Draw, given: Mapping[str, str], stray: float) -> list[str]:
    """A word for each slot of a sentence; ``given`` fixes slots (people, mostly)."""
    fixed = dict(given)
    words = []
    for kind in kinds:
        if kind not in fixed:
            word = _word(kind, topic, draw, fixed, stray)
            if kind[-1].isdigit() or kind == "century":
                fixed[kind] = word  # numbered slots and the century keep their word within the sentence
            words.append(word)
        else:
            words.append(fixed[kind])
    return words


def _word(kind: str, topic: int, draw: Draw, fixed: dict[str, str], stray: float) -> str:
    about: Topic = TOPICS[draw.below(len(TOPICS)) if stray and draw.random() < stray else topic]
    if kind == "place":
        return draw.one(about.places)
    if kind == "object":
        return draw.one(about.objects)
    if kind == "objects":
        return lexicon.plural(draw.one(about.objects))
    if kind == "adj":
        return draw.one(about.adjectives)
    if kind == "verb":
        return draw.one(about.verbs)
    if kind[0] == "o" and kind[1:].isdigit():
        return draw.distinct(about.objects, 1, [w for k, w in fixed.items() if k[0] == "o"])[0]
    if kind.startswith("any"):
        return draw.distinct(_all_objects(), 1, [w for k, w in fixed.items() if k.startswith("any")])[0]
    if kind == "count":
        return draw.one(lexicon.COUNTS)
    if kind == "event":
        return draw.one(lexicon.EVENTS)
    if kind == "century":
        return draw.one(lexicon.CENTURIES)
    if kind == "topic":
        return TOPICS[topic].name
    if kind == "y1":
        return lexicon.TWO_DIGITS[2 + draw.below(96)]
    if kind == "y2":
        first = int(fixed["y1"])
        return lexicon.TWO_DIGITS[first + 1 + draw.below(99 - first)]
    raise ValueError(f"unknown slot {kind}")


def pronouns_of(name: str) -> dict[str, str]:
    """The words of the slots ``he``, ``his``, ``him`` for a name."""
    she = name in lexicon.SHE
    return {slot: words[she] for slot, words in lexicon.PRONOUNS.items()}


def write_sentence(
    template: str, topic: int, draw: Draw, given: Mapping[str, str], *, stray: float = STRAY
) -> tuple[list[str], list[str], list[str]]:
    """Words, roles, and for each word the person it names or refers to ('' for none)."""
    parts = parse_template(template)
    slots = iter(fill_slots([kind for _, kind, _ in parts if kind], topic, draw, given, stray))
    words, roles, people = [], [], []
    for literal, kind, role in parts:
        words.append(next(slots) if kind else literal)
        roles.append(role)
        people.append(given["a"] if kind in lexicon.PRONOUNS else given[kind] if kind in _PEOPLE else "")
    return words, roles, people


def two_names(draw: Draw, names: Sequence[str]) -> dict[str, str]:
    """People of a two-name sentence: who is mentioned again is the first or the second with equal probability."""
    first, second = names
    again = draw.below(2)
    return {"p": first, "q": second, "s": names[again], "io": names[1 - again]}


def write_sentences(choices: Sequence[str], seed: int, index: int, length: int) -> tuple[list[str], list[str]]:
    """Words and roles: ``<bos>`` and sentences of ``choices`` (templates), each of a topic and people of its own."""
    draw = Draw(seed, index)
    words, roles = ["<bos>"], ["bos"]
    while len(words) < length:
        a, b = draw.distinct(lexicon.NAMES, 2)
        given = {"a": a, "b": b, **pronouns_of(a)}
        new, kinds, _ = write_sentence(draw.one(choices), draw.below(len(TOPICS)), draw, given)
        words += new
        roles += kinds
    return words[:length], roles[:length]


_KINDS_OF_SENTENCE = tuple(WEIGHTS)
_CUMULATIVE = tuple(sum(list(WEIGHTS.values())[: i + 1]) / sum(WEIGHTS.values()) for i in range(len(WEIGHTS)))


def _sentence(kind: str, topic: int, cast: Sequence[str], draw: Draw) -> tuple[list[str], list[str], list[str]]:
    if kind == "two_name":
        reuse = draw.random() < CAST_REUSED and not set(cast) & set(lexicon.HELD_OUT_NAMES)
        names = list(cast) if reuse else draw.distinct(lexicon.TRAIN_NAMES, 2)
        if reuse and draw.below(2):
            names.reverse()
        return write_sentence(draw.one(templates.TWO_NAME["train"]), topic, draw, two_names(draw, names))
    first = draw.below(2)
    given = {"a": cast[first], "b": cast[1 - first], **pronouns_of(cast[first])}
    chosen = {
        "one_name": templates.ONE_NAME,
        "pronoun": templates.PRONOUN["train"],
        "years": templates.YEARS["train"],
        "one_year": templates.ONE_YEAR,
        "count": templates.COUNT,
        "no_count": templates.NO_COUNT,
        "list": templates.LIST["train"],
        "event": templates.EVENT,
        "introduction": templates.INTRODUCTION,
    }[kind]
    return write_sentence(draw.one(chosen), topic, draw, given)


def write_story(seed: int, index: int, length: int, introduced: float = INTRODUCED) -> Labelled:
    """Story ``index`` of ``seed``: ``<bos>`` and whole sentences, cut to ``length`` words."""
    draw = Draw(seed, index)
    topic = draw.below(len(TOPICS))
    cast = draw.distinct(lexicon.NAMES, 2)
    words, roles, people = ["<bos>"], ["bos"], [""]
    if draw.random() < introduced:
        for all_of, new in zip((words, roles, people), _sentence("introduction", topic, cast, draw), strict=True):
            all_of.extend(new)
    while len(words) < length:
        point = draw.random()
        kind = next(
            k for k, c in zip(_KINDS_OF_SENTENCE, _CUMULATIVE, strict=True) if point < c or c == _CUMULATIVE[-1]
        )
        for all_of, new in zip((words, roles, people), _sentence(kind, topic, cast, draw), strict=True):
            all_of.extend(new)
    known: dict[str, int] = {}
    entities = [known.setdefault(person, len(known)) if person else -1 for person in people[:length]]
    return Labelled(
        tuple(words[:length]),
        tuple(roles[:length]),
        tuple(entities),
        tuple(topic_of_word(word) for word in words[:length]),
        topic,
        tuple(known),
    )


def stories(seed: int, length: int, start: int = 0) -> Iterator[Labelled]:
    """Stories ``start``, ``start`` + 1, ... of a seed, without end."""
    index = start
    while True:
        yield write_story(seed, index, length)
        index += 1
