"""Prompts in English for five known behaviours, from templates, for any tokenizer with whole-word tokens.

- :func:`ioi_task`: indirect-object identification (Wang et al. 2022): "When Ann and Bob ..., Bob gave a key to" -> Ann
- :func:`greater_than_task`: (Hanna et al. 2023): "... lasted from the year 1732 to the year 17" -> 33 or more
- :func:`docstring_task`: argument names in a docstring (Heimersheim and Janiak 2023)
- :func:`capitals_task`: "The capital of France is the city of" -> Paris
- :func:`gendered_pronoun_task`: (Mathwin et al. 2023): "So Lisa loves to go running, doesn't" -> she

A word list is cut down to the words that are one token *for the given tokenizer*, and a pair whose prompts it splits
into different numbers of tokens is drawn again, so positions always correspond; ``Task.notes()`` says how many words
and pairs that cost. The split ``templates`` has at least ten templates, and each pair names its own, so that
intervals can resample templates and not only prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from toulmin.faults import Fault, FaultError
from toulmin.tasks.pair import Pair, Task
from toulmin.tasks.phrases import (
    ARGUMENTS,
    CAPITAL_TEMPLATES,
    CAPITALS,
    IOI_TEMPLATES,
    MEN,
    MORE_CAPITAL_TEMPLATES,
    MORE_IOI_TEMPLATES,
    MORE_YEAR_TEMPLATES,
    NAMES,
    PLACES,
    PRONOUN_TEMPLATES,
    SPANS,
    THINGS,
    WOMEN,
    WORDS,
    YEAR_TEMPLATES,
)
from toulmin.tasks.text import TextTokenizer, continuation, start_of_text

TRIES = 200
_STEM = "the"  # what stands before a word when its token is looked up
_SAMPLE = 200  # drafts that are counted to say how many a tokenizer loses
TEST, TEMPLATES = "test", "templates"


class _Words:
    """A tokenizer, which words are one token for it, and how many were not."""

    def __init__(self, tokenizer: TextTokenizer, bos: bool | None) -> None:
        self.start, self.tokenizer = start_of_text(tokenizer, bos), tokenizer
        self.lost: list[str] = []

    def single(self, words: Sequence[str], need: int, what: str) -> list[str]:
        """Those of ``words`` that are one token after a space."""
        kept = [word for word in words if len(continuation(self.tokenizer, _STEM, word)) == 1]
        if len(kept) < need:
            text = (
                f"only {len(kept)} of {len(words)} words ({', '.join(words[:3])}, ...) are single tokens; {need} needed"
            )
            raise FaultError(Fault("tasks.tokenizer_does_not_fit", text))
        if len(kept) < len(words):
            self.lost.append(f"{len(words) - len(kept)} of {len(words)} {what} are several tokens and are left out")
        return kept

    def id(self, word: str) -> int:
        """The id of a word that is one token."""
        return continuation(self.tokenizer, _STEM, word)[0]

    def prompt(self, text: str) -> tuple[int, ...]:
        return (*self.start, *self.tokenizer.encode(text))


class _Draft(NamedTuple):
    """A prompt before it is known whether the tokenizer splits both sides alike."""

    clean: str
    counterfactual: str
    answers: tuple[int, ...]
    wrong: tuple[int, ...]
    marks: Mapping[str, str]  #: the text up to each named position
    template: str


def _task(
    name: str,
    words: _Words,
    make: Callable[[Any, int, Sequence[str]], _Draft],
    about: str,
    templates: Sequence[str],
    more: Sequence[str] = (),
) -> Task:
    available = {TEST: tuple(templates), **({TEMPLATES: (*templates, *more)} if more else {})}

    def alike(draft: _Draft) -> bool:
        return len(words.prompt(draft.clean)) == len(words.prompt(draft.counterfactual))

    def draft_of(rng: Any, i: int, split: str) -> _Draft:
        return make(rng, i, available[split])

    def start(seed: int, i: int) -> Any:
        return np.random.default_rng([seed, i, sum(name.encode())])

    def one(seed: int, i: int, split: str) -> Pair:
        rng = start(seed, i)
        for _ in range(TRIES):
            draft = draft_of(rng, i, split)
            if alike(draft):
                return pair_of(draft)
        text = f"no prompts of equal length in {TRIES} tries"
        raise FaultError(Fault("tasks.tokenizer_does_not_fit", text, name=name))

    def pair_of(draft: _Draft) -> Pair:
        ids, other = words.prompt(draft.clean), words.prompt(draft.counterfactual)
        places = {k: len(words.prompt(prefix)) - 1 for k, prefix in draft.marks.items()}
        named = {**places, "end": len(ids) - 1}
        return Pair(
            ids, other, draft.answers, draft.wrong, named,
            unit=draft.clean, text=draft.clean, template=draft.template,
        )  # fmt: skip

    def generate(n: int, seed: int, split: str) -> list[Pair]:
        return [one(seed, i, split) for i in range(n)]

    def notes() -> tuple[str, ...]:
        drafts = [draft_of(start(0, i), i, TEST) for i in range(_SAMPLE)]
        lost = sum(not alike(draft) for draft in drafts)
        said = f"of {_SAMPLE} drafts {lost} are split into different numbers of tokens and are drawn again"
        return (*words.lost, *((said,) if lost else ()))

    return Task(name, generate, tuple(available), about, len(words.tokenizer), notes)


def _pick(rng: Any, items: Sequence[str], n: int) -> list[str]:
    return [items[int(k)] for k in rng.choice(len(items), n, replace=False)]


def ioi_task(tokenizer: TextTokenizer, *, bos: bool | None = None, counterfactual: str = "swap") -> Task:
    """Indirect-object identification; ABBA and BABA alternate, names are single tokens.

    ``counterfactual``: ``swap`` names the other person again (the answer becomes the wrong one), ``abc`` has three
    other names.

    :raises FaultError: an unknown counterfactual, or a tokenizer with too few single-token names.
    """
    if counterfactual not in ("swap", "abc"):
        raise FaultError(Fault("tasks.unknown_option", f"{counterfactual!r}: swap or abc", name="counterfactual"))
    words = _Words(tokenizer, bos)
    names = words.single(NAMES, 6, "names")
    places, things = words.single(PLACES, 2, "places"), words.single(THINGS, 2, "things")

    def make(rng: Any, i: int, templates: Sequence[str]) -> _Draft:
        io, s, *others = _pick(rng, names, 5)
        template = templates[int(rng.integers(len(templates)))]
        fixed = {"place": _pick(rng, places, 1)[0], "thing": _pick(rng, things, 1)[0]}
        first, second = (io, s) if i % 2 == 0 else (s, io)
        clean = template.format(p=first, q=second, s=s, **fixed)
        if counterfactual == "swap":
            other = template.format(p=first, q=second, s=io, **fixed)
        else:
            other = template.format(p=others[0], q=others[1], s=others[2], **fixed)
        ends = [clean.index(first) + len(first), clean.index(second) + len(second), clean.rindex(s) + len(s)]
        marks: dict[str, str] = dict(
            zip(("io", "s1") if i % 2 == 0 else ("s1", "io"), (clean[:e] for e in ends), strict=False)
        )
        marks["s2"] = clean[: ends[2]]
        return _Draft(clean, other, (words.id(io),), (words.id(s),), marks, template)

    return _task("ioi", words, make, "the person not mentioned again", IOI_TEMPLATES, MORE_IOI_TEMPLATES)


def greater_than_task(tokenizer: TextTokenizer, *, bos: bool | None = None) -> Task:
    """Greater-than: the first year is 17YY, and the next token continues a second year that begins with 17.

    Where a tokenizer has a token for two digits (GPT-2), every token above YY is right and every other one wrong. Where
    each digit is a token (Llama-2, SmolLM2), the next token is the tens digit: larger digits than that of YY are right,
    smaller ones wrong, and the same digit is neither, since the year is then decided by the token after. In the
    counterfactual prompt the first year is 1701.

    :raises FaultError: a tokenizer that splits years in another way.
    """
    words = _Words(tokenizer, bos)
    spans = words.single(SPANS, 2, "events")
    usable, ids = year_tokens(tokenizer)
    width = len(next(iter(ids)))

    def make(rng: Any, i: int, templates: Sequence[str]) -> _Draft:
        century, year = usable[int(rng.integers(len(usable)))]
        template = templates[int(rng.integers(len(templates)))]
        span = _pick(rng, spans, 1)[0]
        clean = template.format(span=span, century=century, year=year)
        other = template.format(span=span, century=century, year="01")
        later = tuple(token for d, token in ids.items() if d > year[:width])
        earlier = tuple(token for d, token in ids.items() if d < year[:width] or d == year)
        return _Draft(clean, other, later, earlier, {"year": clean[: clean.index(century + year) + 4]}, template)

    return _task("greater_than", words, make, "a later year", YEAR_TEMPLATES, MORE_YEAR_TEMPLATES)


def year_tokens(tokenizer: TextTokenizer) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """Centuries and years that the tokenizer separates, and its token for every two digits, or for every digit."""
    years = [f"{y:02d}" for y in range(100)]
    for width, first, last in ((2, "02", "97"), (1, "10", "89")):
        digits = [d for d in (years if width == 2 else "0123456789") if len(tokenizer.encode(d)) == 1]
        ids = {d: tokenizer.encode(d)[0] for d in digits}
        split = {
            (c, y)
            for c in map(str, range(11, 20))
            for y in years
            if all(y[i : i + width] in ids for i in range(0, 2, width))
            and tokenizer.encode(f" {c}{y}")
            == [*tokenizer.encode(f" {c}"), *(ids[y[i : i + width]] for i in range(0, 2, width))]
        }
        usable = sorted((c, y) for c, y in split if first <= y <= last and {(c, "01"), (c, "99")} <= split)
        if usable:
            return usable, ids
    text = "it splits years neither into a century and two digits nor into four digits"
    raise FaultError(Fault("tasks.tokenizer_does_not_fit", text, name="greater_than"))


def docstring_task(tokenizer: TextTokenizer, *, bos: bool | None = None) -> Task:
    """The next ``:param`` of a docstring is the next argument of the function; counterfactual: that one is renamed.

    ``wrong`` are the other arguments and the counterfactual's name.

    :raises FaultError: a tokenizer with too few single-token argument names.
    """
    words = _Words(tokenizer, bos)
    arguments, plain = words.single(ARGUMENTS, 12, "arguments"), words.single(WORDS, 6, "words")

    def make(rng: Any, i: int, templates: Sequence[str]) -> _Draft:
        function, a, b, asked, d, renamed = _pick(rng, arguments, 6)
        w = _pick(rng, plain, 6)

        def write(c: str) -> str:
            head = f'def {function}(self, {a}, {b}, {c}, {d}):\n    """{w[0]} {w[1]} {function}\n\n'
            return head + f"    :param {a}: {w[2]} {w[3]}\n    :param {b}: {w[4]} {w[5]}\n    :param"

        clean = write(asked)
        wrong = tuple(words.id(x) for x in (a, b, d, renamed))
        mark = clean[: clean.index(f", {asked}") + 2 + len(asked)]
        return _Draft(clean, write(renamed), (words.id(asked),), wrong, {"definition": mark}, "docstring")

    return _task("docstring", words, make, "the next argument", ("docstring",))


def capitals_task(tokenizer: TextTokenizer, *, bos: bool | None = None) -> Task:
    """The capital of a country; counterfactual: another country of as many tokens, whose capital is wrong.

    :raises FaultError: a tokenizer for which too few capitals are single tokens.
    """
    words = _Words(tokenizer, bos)
    single = set(words.single(list(CAPITALS.values()), 4, "capitals"))
    countries = [country for country, capital in CAPITALS.items() if capital in single]

    def make(rng: Any, i: int, templates: Sequence[str]) -> _Draft:
        template = templates[int(rng.integers(len(templates)))]
        country, other = _pick(rng, countries, 2)
        clean = template.format(country=country)
        answer, wrong = words.id(CAPITALS[country]), words.id(CAPITALS[other])
        mark = clean[: clean.index(country) + len(country)]
        return _Draft(clean, template.format(country=other), (answer,), (wrong,), {"country": mark}, template)

    about = "the capital of a country"
    return _task("capitals", words, make, about, CAPITAL_TEMPLATES, MORE_CAPITAL_TEMPLATES)


def gendered_pronoun_task(tokenizer: TextTokenizer, *, bos: bool | None = None) -> Task:
    """he or she for a name; counterfactual: a name of the other gender, whose pronoun is wrong.

    Women and men alternate. Every template is in the split ``test``, so that intervals resample templates.

    :raises FaultError: a tokenizer with too few single-token names.
    """
    words = _Words(tokenizer, bos)
    women, men = words.single(WOMEN, 4, "names of women"), words.single(MEN, 4, "names of men")
    places, things = words.single(PLACES, 2, "places"), words.single(THINGS, 2, "things")

    def make(rng: Any, i: int, templates: Sequence[str]) -> _Draft:
        template = templates[int(rng.integers(len(templates)))]
        (woman,), (man,) = _pick(rng, women, 1), _pick(rng, men, 1)
        fixed = {"place": _pick(rng, places, 1)[0], "thing": _pick(rng, things, 1)[0]}
        (name, right), (other, wrong) = [(woman, "she"), (man, "he")][:: 1 if i % 2 == 0 else -1]
        clean = template.format(name=name, **fixed)
        mark = clean[: clean.index(name) + len(name)]
        text = template.format(name=other, **fixed)
        return _Draft(clean, text, (words.id(right),), (words.id(wrong),), {"name": mark}, template)

    return _task("gendered_pronoun", words, make, "he or she for a name", PRONOUN_TEMPLATES)
