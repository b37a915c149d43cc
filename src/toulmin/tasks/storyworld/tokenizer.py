"""storyworld's own tokenizer: one id for each word, in a fixed order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence as InTurn
from tokenizers.pre_tokenizers import Split, WhitespaceSplit

from toulmin.tasks.storyworld import lexicon, templates


def _literals() -> list[str]:
    groups: list[Sequence[str]] = [
        templates.EVENT,
        templates.ONE_NAME,
        templates.INTRODUCTION,
        templates.ONE_YEAR,
        templates.TOPIC_PROMPTS,
        templates.COUNT,
        templates.NO_COUNT,
    ]
    for by_split in (
        templates.TWO_NAME,
        templates.PRONOUN,
        templates.YEARS,
        templates.LIST,
    ):
        groups += by_split.values()
    words = {word for group in groups for template in group for word in template.split() if "{" not in word}
    return sorted(words)


@lru_cache(maxsize=1)
def story_vocabulary() -> tuple[str, ...]:
    """Every word, in the order of the ids; ``<bos>`` is 0, ``<unk>`` 1."""
    words: list[str] = [*lexicon.SPECIAL, *lexicon.PUNCTUATION, *lexicon.NAMES, *lexicon.COUNTS, *lexicon.TWO_DIGITS]
    words += [word for forms in lexicon.PRONOUNS.values() for word in forms]
    words += lexicon.EVENTS
    for topic in lexicon.TOPICS:
        words += [topic.name, *topic.places, *topic.objects, *map(lexicon.plural, topic.objects)]
        words += [*topic.verbs, *topic.adjectives]
    words += _literals()
    return tuple(dict.fromkeys(words))


@lru_cache(maxsize=1)
def _ids() -> dict[str, int]:
    return {word: i for i, word in enumerate(story_vocabulary())}


def encode_words(words: Sequence[str]) -> list[int]:
    """Ids of words that are all in the vocabulary.

    :raises KeyError: one is not.
    """
    ids = _ids()
    return [ids[word] for word in words]


def story_tokenizer() -> Tokenizer:
    """The tokenizer as the ``tokenizers`` library has it: splits at spaces, before punctuation, digits in pairs."""
    tokenizer = Tokenizer(WordLevel(dict(_ids()), unk_token="<unk>"))
    tokenizer.pre_tokenizer = InTurn(  # type: ignore[assignment]
        [WhitespaceSplit(), Split(Regex(r"\d\d|[.,:]"), "isolated")]
    )
    return tokenizer
