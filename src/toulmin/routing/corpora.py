"""Text with one topic to forget: storyworld, whose topics are known, and real stories sorted by a list of words."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.tasks.storyworld import TOPICS, encode_words, plural, story_vocabulary, write_story

#: of the theme "animals": what a quick labeller would search for, and the longer list that the truth counts
QUICK_WORDS = ("cat", "dog", "bird", "rabbit", "bear", "animals")
THEME_WORDS = (
    *QUICK_WORDS, "cats", "dogs", "birds", "bunny", "kitty", "puppy", "animal", "bears", "fish", "frog", "duck", "fox",
    "lion", "mouse", "squirrel", "horse", "cow", "pig", "monkey", "butterfly", "bee", "owl", "kitten", "rabbits",
)  # fmt: skip


MENTIONS = 2  #: words of the longer list that a story about the theme holds


@dataclass(frozen=True)
class Corpus:
    """Rows of T tokens; ``about`` says which are of the topic to forget.

    ``topic_tokens`` [V] marks the topic's own words. ``test_forget``, ``test_retain``, ``relearn`` (a few rows of the
    topic) and ``calibrate`` share no row with ``train`` or one another.
    """

    vocabulary: int
    train: Int[Tensor, "N T"]
    about: Bool[Tensor, " N"]
    topic_tokens: Bool[Tensor, " V"]
    test_forget: Int[Tensor, "F T"]
    test_retain: Int[Tensor, "R T"]
    relearn: Int[Tensor, "A T"]
    calibrate: Int[Tensor, "C T"]
    quick: Bool[Tensor, " N"] | None = None  #: what a short list of words finds, where rows are sorted by words


def _split(
    rows: Tensor,
    about: Tensor,
    vocabulary: int,
    words: Tensor,
    test: int,
    relearn: int,
    quick: Tensor | None = None,
    story: Tensor | None = None,
) -> Corpus:
    """The first rows of each kind are held out; with ``story`` [N] no story of theirs is trained on either."""
    forget, retain = about.nonzero()[:, 0], (~about).nonzero()[:, 0]
    taken = 2 * test + relearn
    if len(forget) < taken + 8 or len(retain) < taken + 8:
        raise FaultError(
            Fault("routing.corpus", f"{len(forget)} rows of the topic and {len(retain)} others are too few")
        )
    calibrate = torch.cat([forget[test + relearn : taken], retain[test:taken]])
    held = torch.cat([forget[:taken], retain[:taken]])
    kept = torch.ones(len(rows), dtype=torch.bool)
    kept[held] = False
    if story is not None:
        kept &= ~torch.isin(story, story[held])
    return Corpus(
        vocabulary,
        rows[kept],
        about[kept],
        words,
        rows[forget[:test]],
        rows[retain[:test]],
        rows[forget[test : test + relearn]],
        rows[calibrate],
        None if quick is None else quick[kept],
    )


@lru_cache(maxsize=4)
def storyworld_corpus(rows: int, length: int, topic: int, seed: int, test: int = 96, relearn: int = 16) -> Corpus:
    """Stories of which those of ``topic`` (an index of TOPICS, a tenth of all) are to be forgotten."""
    made = [write_story(seed, i, length) for i in range(rows)]
    tokens = torch.tensor([encode_words(story.words) for story in made])
    about = torch.tensor([story.topic == topic for story in made])
    vocabulary = story_vocabulary()
    own = TOPICS[topic]

    named = {own.name, *own.places, *own.objects, *map(plural, own.objects), *own.verbs, *own.adjectives}
    words = torch.tensor([word in named for word in vocabulary])
    return _split(tokens, about, len(vocabulary), words, test, relearn)


def text_corpus(path: Path, length: int, seed: int, *, words: int = 1000, test: int = 96, relearn: int = 16) -> Corpus:
    """Rows of real text: stories that name at least two words of :data:`THEME_WORDS` are to be forgotten.

    The file is JSON with a list of texts. Tokens are the ``words`` most frequent words and signs, and one for all
    others. ``quick`` marks the stories in which there is one of :data:`QUICK_WORDS`: it misses those whose animals are
    others, and finds some with one mention in passing. No story has rows both to train on and held out.

    :raises FaultError: the file cannot be read.
    """
    import json

    try:
        stories = json.loads(path.read_text(encoding="utf-8"))
        split = [re.findall(r"[a-z']+|[.,!?]", story.lower()) for story in stories]
    except (OSError, ValueError, AttributeError) as error:
        raise FaultError(Fault("routing.corpus", str(error), file=str(path)), ExitCode.SUBJECT) from None
    common = [word for word, _ in Counter(word for story in split for word in story).most_common(words - 1)]
    number = {word: i + 1 for i, word in enumerate(common)}
    rows, about, quick, story = [], [], [], []
    for i in np.random.default_rng(seed).permutation(len(split)).tolist():
        theme = sum(word in THEME_WORDS for word in split[i]) >= MENTIONS
        found = not set(split[i]).isdisjoint(QUICK_WORDS)
        for start in range(0, len(split[i]) - length + 1, length):
            rows.append([number.get(word, 0) for word in split[i][start : start + length]])
            about.append(theme)
            quick.append(found)
            story.append(i)
    named = torch.tensor([False, *(word in THEME_WORDS for word in common)])
    given = [torch.tensor(column) for column in (about, quick, story)]
    return _split(torch.tensor(rows), given[0], len(named), named, test, relearn, *given[1:])


def label_rows(about: Bool[Tensor, " N"], recall: float, precision: float, seed: int) -> Bool[Tensor, " N"]:
    """Labels with errors: a share ``recall`` of the topic's rows, and others until the share right is ``precision``.

    :raises FaultError: recall or precision is no positive share.
    """
    if not (0 < recall <= 1 and 0 < precision <= 1):
        text = f"recall {recall} and precision {precision} are shares above 0, at most 1"
        raise FaultError(Fault("routing.label_errors", text))
    generator = torch.Generator().manual_seed(seed)
    forget, retain = about.nonzero()[:, 0], (~about).nonzero()[:, 0]
    right = forget[torch.randperm(len(forget), generator=generator)[: round(recall * len(forget))]]
    wrong = retain[torch.randperm(len(retain), generator=generator)[: round(len(right) * (1 - precision) / precision)]]
    labelled = torch.zeros_like(about)
    labelled[right] = True
    labelled[wrong] = True
    return labelled


def measured_errors(labelled: Bool[Tensor, " N"], about: Bool[Tensor, " N"]) -> tuple[float, float]:
    """Recall and precision of labels."""
    both = float((labelled & about).sum())
    return both / max(1.0, float(about.sum())), both / max(1.0, float(labelled.sum()))
