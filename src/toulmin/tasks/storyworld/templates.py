"""The sentences of storyworld, as templates with slots.

A slot is ``{kind}`` or ``{kind:role}``. Kinds: ``a b`` people of the sentence; ``p q`` the two names of a two-name
sentence in order of first mention, ``s`` the one that is mentioned again, ``io`` the other; ``he his him`` pronouns
of ``a``; ``place object objects adj verb`` words of the topic (``o1 .. o4`` objects that differ); ``any1 .. any4``
objects of any topic; ``count``, ``event``, ``century``, ``y1 < y2`` two-digit years. The role labels the token.
"""

from __future__ import annotations

TWO_NAME = {
    "train": (
        "when {p} and {q} went to the {place} , {s} gave a {object} to {io} .",
        "after {p} and {q} came to the {place} , {s} handed the {object} to {io} .",
        "{p} and {q} were at the {place} . {s} showed a {object} to {io} .",
        "then {p} met {q} near the {place} and {s} sold a {object} to {io} .",
        "while {p} and {q} worked in the {place} , {s} sent the {object} to {io} .",
        "{p} walked with {q} to the {place} . there {s} bought a {object} for {io} .",
        "one day {p} and {q} had a long talk . {s} made a {object} for {io} .",
        "{p} saw {q} by the {place} , and {s} threw the {object} to {io} .",
        "because {p} and {q} were {adj} , {s} kept a {object} for {io} .",
        "soon {p} sat with {q} . {s} told a story to {io} .",
        "{p} had a {o1} and {q} had a {o2} . {s} said thanks to {io} .",
        "at night {p} and {q} left the {place} . then {s} waved to {io} .",
    ),
    "held_out": (
        "while {p} and {q} were at the {place} , {s} threw a {object} to {io} .",
        "one day {p} met {q} by the {place} . {s} handed the {object} to {io} .",
        "after {p} and {q} had a long talk , {s} sold a {object} to {io} .",
        "then {p} and {q} came to the {place} . there {s} made a {object} for {io} .",
        "when {p} walked with {q} near the {place} , {s} gave the {object} to {io} .",
        "because {p} saw {q} at the {place} , {s} bought a {object} for {io} .",
    ),
}

#: one person receives: every name, the held-out ones too, is an answer in such a place, but none of two
ONE_NAME = (
    "when {a} went to the {place} , a friend gave a {object} to {a:owner} .",
    "{a} was at the {place} . the teacher handed the {object} to {a:owner} .",
    "after {a} came to the {place} , someone sold a {object} to {a:owner} .",
    "while {a} worked in the {place} , a friend made a {object} for {a:owner} .",
    "because {a} was {adj} , someone threw the {object} to {a:owner} .",
    "then {a} left the {place} . the teacher bought a {object} for {a:owner} .",
    "{a} saw the {object} , and {a} showed the {object} to someone .",
)

PRONOUN = {
    "train": (
        "{a} lost the {object} , so {he} went to the {place} .",
        "{a} was {adj} because {he} found a {object} .",
        "when {a} saw the {object} , {he} was {adj} .",
        "{a} {verb} the {object} . then {he} left the {place} .",
        "{b:other} was at the {place} . {a} took the {object} and {he} left .",
        "{a} likes the {place} and {he} likes the {object} .",
        "{a} put the {object} in {his} bag .",
        "{b:other} saw {a:object} , and the {object} was near {him} .",
        "after {a} {verb} the {object} , {he} was {adj} .",
        "{b:other} came to the {place} . when {a} {verb} the {object} , {he} was {adj} .",
    ),
    "held_out": (
        "when {a} lost the {object} , {he} was {adj} .",
        "{a} found a {object} , so {he} was {adj} .",
        "{a} was {adj} , so {he} left the {place} .",
        "{b:other} saw the {place} . when {a} lost the {object} , {he} was {adj} .",
        "{a} likes the {object} because {he} found the {place} .",
    ),
}

#: more of them, with the verbs in other frames: not in stories, but there to train on
MORE_PRONOUNS = (
    "when {a} found a {object} , {he} was {adj} .",
    "when {a} took the {object} , {he} left .",
    "when {a} put the {object} in the bag , {he} left .",
    "when {a} bought a {object} , {he} was {adj} .",
    "{b:other} was {adj} . when {a} took the {object} , {he} left .",
    "{b:other} lived near the {place} . when {a} found the {object} , {he} was {adj} .",
    "{a} sold a {object} , so {he} was {adj} .",
    "{a} took the {object} , so {he} left the {place} .",
    "{a} bought a {object} , so {he} was {adj} .",
    "because {a} lost the {object} , {he} was {adj} .",
    "after {a} lost the {object} , {he} left the {place} .",
)

YEARS = {
    "train": (
        "the {event} lasted from the year {century} {y1} to the year {century} {y2} .",
        "the {event} began in {century} {y1} and ended in {century} {y2} .",
        "from {century} {y1} to {century} {y2} the {place} was {adj} .",
        "{a} lived in the {place} from {century} {y1} to {century} {y2} .",
    ),
    "held_out": (
        "the {event} at the {place} lasted from {century} {y1} to {century} {y2} .",
        "the {event} began in the year {century} {y1} and ended in the year {century} {y2} .",
    ),
}
ONE_YEAR = (
    "in the year {century} {y1} , {a} came to the {place} .",
    "{a} found the {object} in {century} {y1} .",
    "the {place} was built in the year {century} {y1} .",
)

COUNT = (
    "{a} had {count} {objects} in the {place} .",
    "there were {count} {objects} near the {place} .",
    "{a} counted the {objects} and there were {count} .",
    "{a} bought {count} {objects} at the {place} .",
)
#: the same frames with an adjective where the number would be
NO_COUNT = (
    "{a} had {adj} {objects} in the {place} .",
    "the {objects} near the {place} were {adj} .",
    "{a} liked the {objects} and they were {adj} .",
)
#: prompts after which a number follows, and after which an adjective does
NUMBER_PROMPTS = {
    "train": ("{a} counted the {objects} and there were", "{a} liked the {objects} and they were"),
    "held_out": ("{a} liked the {objects} and there were", "{a} liked the {objects} and they were"),
}

LIST = {
    "train": (
        "the bag had a {any1} , a {any2} , a {any3} and a {any4} . {a} took the {any1:repeated} , "
        "the {any2:repeated} , the {any3:repeated} and the {any4:repeated} .",
        "{a} wrote : {any1} , {any2} , {any3} , {any4} . {b:other} read : {any1:repeated} , {any2:repeated} , "
        "{any3:repeated} , {any4:repeated} .",
        "{a} wants a {any1} , a {any2} and a {any3} . so {b:other} bought the {any1:repeated} , the {any2:repeated} "
        "and the {any3:repeated} .",
    ),
    "held_out": (
        "the box had a {any1} , a {any2} , a {any3} and a {any4} . {a} sold the {any1:repeated} , "
        "the {any2:repeated} , the {any3:repeated} and the {any4:repeated} .",
    ),
}

EVENT = (
    "{a} {verb} the {object} at the {place} .",
    "the {place} was {adj} .",
    "a {adj} {object} was near the {place} .",
    "the {object} belonged to {a:owner} .",
    "{a} said that the {object} was {adj} .",
    "{a} {verb} the {object} and {b:other} {verb} the {objects} .",
    "{a} stayed in the {place} with {count} {adj} {objects} .",
    "there was a {adj} {object} in the {place} , and {a} {verb} the {object} .",
)
INTRODUCTION = (
    "this is a story about a {topic} .",
    "{a} came to the {topic} .",
    "{a} lived near the {topic} with a {object} .",
)
#: prompts that ask for an object of the topic
TOPIC_PROMPTS = (
    "the {place} was {adj} . {a} {verb} the {object}",
    "a {adj} {object} was near the {place} . {a} found a {object}",
    "{a} came to the {topic} . the {place} was {adj} . {a} lost the {object}",
)
