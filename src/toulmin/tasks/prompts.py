"""Prompts in English for four known behaviours, from templates, for any tokenizer with whole-word tokens.

- :func:`ioi_task`: indirect-object identification (Wang et al. 2022): "When Ann and Bob ..., Bob gave a key to" -> Ann
- :func:`years_task`: greater-than (Hanna et al. 2023): "... lasted from the year 1732 to the year 17" -> 33 or more
- :func:`docstring_task`: argument names in a docstring (Heimersheim and Janiak 2023)
- :func:`capitals_task`: "The capital of France is the city of" -> Paris

A word list is cut down to the words that are one token *for the given tokenizer*, and a pair whose prompts have
different lengths is drawn again, so positions always correspond. Prompts begin with the tokenizer's ``bos`` if it is
asked for. A word begins with the space before it, as in these tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from toulmin.faults import Fault, FaultError
from toulmin.tasks.pair import Pair, Task


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _words(
    "Mary John Tom James Dan Sid Martin Amy Sarah Paul Mark Laura Kate Anna Peter David Alice Emma Jack Henry Lisa "
    "Robert Simon Rachel Michael George Jane Susan Daniel Linda Andrew Karen Steven Helen Frank Julia Adam Claire"
)
PLACES = _words("store park school office garden station library market beach hospital restaurant museum")
THINGS = _words("drink book ring ball letter key gift basket map coat phone ticket")
IOI_TEMPLATES = (
    "When {p} and {q} went to the {place}, {s} gave a {thing} to",
    "After {p} and {q} left the {place}, {s} handed a {thing} to",
    "{p} and {q} spent the day at the {place}. Later, {s} passed a {thing} to",
    "While {p} and {q} waited near the {place}, {s} offered a {thing} to",
    "Once {p} met {q} by the {place}, {s} decided to give a {thing} to",
    "Then {p} had a long talk with {q}. At the {place}, {s} showed a {thing} to",
)
SPANS = _words("war siege voyage festival project strike reign contract drought journey trial exhibition")
YEAR_TEMPLATES = (
    "The {span} lasted from the year {century}{year} to the year {century}",
    "The {span} went on from {century}{year} until {century}",
    "They say the {span} began in {century}{year} and ended in {century}",
)
ARGUMENTS = _words(
    "name size path data file index label count value color model image query level width token table queue limit "
    "mode group order shape state user text time type node base"
)
WORDS = _words("first new main last current given local hidden public small large final raw whole input output")
CAPITALS: Mapping[str, str] = {
    "France": "Paris",
    "Germany": "Berlin",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Japan": "Tokyo",
    "Russia": "Moscow",
    "China": "Beijing",
    "England": "London",
    "Egypt": "Cairo",
    "Austria": "Vienna",
    "Greece": "Athens",
    "Ireland": "Dublin",
    "Iraq": "Baghdad",
    "Syria": "Damascus",
    "Iran": "Tehran",
    "Cuba": "Havana",
    "Poland": "Warsaw",
    "Turkey": "Ankara",
    "Canada": "Ottawa",
    "Portugal": "Lisbon",
    "Norway": "Oslo",
    "Sweden": "Stockholm",
    "Ukraine": "Kiev",
    "Belgium": "Brussels",
    "Peru": "Lima",
    "Kenya": "Nairobi",
    "Thailand": "Bangkok",
    "Libya": "Tripoli",
    "Lebanon": "Beirut",
    "Hungary": "Budapest",
}
CAPITAL_TEMPLATES = (
    "The capital of {country} is the city of",
    "If you travel to the capital of {country}, you arrive in",
    "The government of {country} meets in its capital,",
)
TRIES = 200


class TextTokenizer(Protocol):
    """What a prompt generator needs: ``toulmin.subjects.Tokenizer`` has it."""

    bos: int | None

    def encode(self, text: str) -> list[int]:
        """Token ids of a text."""
        ...

    def __len__(self) -> int:
        """The number of ids."""
        ...


class _Words:
    """A tokenizer, and which words are one token for it."""

    def __init__(self, tokenizer: TextTokenizer, bos: bool) -> None:
        if tokenizer is None or not hasattr(tokenizer, "encode"):
            raise FaultError(Fault("tasks.needs_tokenizer", "the task is text, and the subject has no tokenizer"))
        if bos and tokenizer.bos is None:
            raise FaultError(Fault("tasks.needs_tokenizer", "bos was asked for, and the tokenizer has none"))
        self.tokenizer = tokenizer
        self.start = [tokenizer.bos] if bos and tokenizer.bos is not None else []

    def single(self, words: Sequence[str], need: int, prefix: str = " ") -> list[str]:
        """Those of ``words`` that, after ``prefix``, are one token."""
        kept = [word for word in words if len(self.tokenizer.encode(prefix + word)) == 1]
        if len(kept) < need:
            text = (
                f"only {len(kept)} of {len(words)} words ({', '.join(words[:3])}, ...) are single tokens; {need} needed"
            )
            raise FaultError(Fault("tasks.tokenizer_does_not_fit", text))
        return kept

    def id(self, word: str, prefix: str = " ") -> int:
        """The id of a word that is one token."""
        return self.tokenizer.encode(prefix + word)[0]

    def prompt(self, text: str) -> tuple[int, ...]:
        return (*self.start, *self.tokenizer.encode(text))


#: clean and counterfactual text, right and wrong ids, and the text up to each named position
Draft = tuple[str, str, tuple[int, ...], tuple[int, ...], Mapping[str, str]]


def _task(name: str, words: _Words, make: Callable[[Any, int], Draft], about: str) -> Task:
    def one(seed: int, i: int) -> Pair:
        rng = np.random.default_rng([seed, i, sum(name.encode())])
        for _ in range(TRIES):
            clean, other, answers, wrong, marks = make(rng, i)
            ids, other_ids = words.prompt(clean), words.prompt(other)
            if len(ids) != len(other_ids):
                continue
            places = {k: len(words.prompt(prefix)) - 1 for k, prefix in marks.items()}
            return Pair(ids, other_ids, answers, wrong, {**places, "end": len(ids) - 1}, unit=clean, text=clean)
        text = f"no prompts of equal length in {TRIES} tries"
        raise FaultError(Fault("tasks.tokenizer_does_not_fit", text, name=name))

    def generate(n: int, seed: int, split: str) -> list[Pair]:
        return [one(seed, i) for i in range(n)]

    return Task(name, generate, ("test",), about, len(words.tokenizer))


def _pick(rng: Any, items: Sequence[str], n: int) -> list[str]:
    return [items[int(k)] for k in rng.choice(len(items), n, replace=False)]


def ioi_task(tokenizer: TextTokenizer, *, bos: bool = False, counterfactual: str = "swap") -> Task:
    """Indirect-object identification; ABBA and BABA alternate, names are single tokens.

    ``counterfactual``: ``swap`` names the other person again (the answer becomes the wrong one), ``abc`` has three
    other names.

    :raises FaultError: an unknown counterfactual, or a tokenizer with too few single-token names.
    """
    if counterfactual not in ("swap", "abc"):
        raise FaultError(Fault("tasks.unknown_option", f"{counterfactual!r}: swap or abc", name="counterfactual"))
    words = _Words(tokenizer, bos)
    names, places, things = words.single(NAMES, 6), words.single(PLACES, 2), words.single(THINGS, 2)

    def make(rng: Any, i: int) -> Draft:
        io, s, *others = _pick(rng, names, 5)
        template = IOI_TEMPLATES[int(rng.integers(len(IOI_TEMPLATES)))]
        fixed = {"place": _pick(rng, places, 1)[0], "thing": _pick(rng, things, 1)[0]}
        first, second = (io, s) if i % 2 == 0 else (s, io)
        clean = template.format(p=first, q=second, s=s, **fixed)
        if counterfactual == "swap":
            other = template.format(p=first, q=second, s=io, **fixed)
        else:
            other = template.format(p=others[0], q=others[1], s=others[2], **fixed)
        ends = [clean.index(first) + len(first), clean.index(second) + len(second), clean.rindex(s) + len(s)]
        marks = dict(zip(("io", "s1") if i % 2 == 0 else ("s1", "io"), (clean[:e] for e in ends), strict=False))
        return clean, other, (words.id(io),), (words.id(s),), {**marks, "s2": clean[: ends[2]]}

    return _task("ioi", words, make, "the person not mentioned again")


def years_task(tokenizer: TextTokenizer, *, bos: bool = False) -> Task:
    """Greater-than: the first year is 17YY, and the next token continues a second year that begins with 17.

    Where a tokenizer has a token for two digits (GPT-2), every token above YY is right and every other one wrong. Where
    each digit is a token (Llama-2, SmolLM2), the next token is the tens digit: larger digits than that of YY are right,
    smaller ones wrong, and the same digit is neither, since the year is then decided by the token after. In the
    counterfactual prompt the first year is 1701.

    :raises FaultError: a tokenizer that splits years in another way.
    """
    words = _Words(tokenizer, bos)
    spans = words.single(SPANS, 2)
    usable, ids = _splittable_years(tokenizer)
    width = len(next(iter(ids)))

    def make(rng: Any, i: int) -> Draft:
        century, year = usable[int(rng.integers(len(usable)))]
        template = YEAR_TEMPLATES[int(rng.integers(len(YEAR_TEMPLATES)))]
        span = _pick(rng, spans, 1)[0]
        clean = template.format(span=span, century=century, year=year)
        other = template.format(span=span, century=century, year="01")
        later = tuple(token for d, token in ids.items() if d > year[:width])
        earlier = tuple(token for d, token in ids.items() if d < year[:width] or d == year)
        return clean, other, later, earlier, {"year": clean[: clean.index(century + year) + 4]}

    return _task("years", words, make, "a later year")


def _splittable_years(tokenizer: TextTokenizer) -> tuple[list[tuple[str, str]], dict[str, int]]:
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
    raise FaultError(Fault("tasks.tokenizer_does_not_fit", text, name="years"))


def docstring_task(tokenizer: TextTokenizer, *, bos: bool = False) -> Task:
    """The next ``:param`` of a docstring is the next argument of the function; counterfactual: that one is renamed.

    ``wrong`` are the other arguments and the counterfactual's name.

    :raises FaultError: a tokenizer with too few single-token argument names.
    """
    words = _Words(tokenizer, bos)
    arguments, plain = words.single(ARGUMENTS, 12), words.single(WORDS, 6)

    def make(rng: Any, i: int) -> Draft:
        function, a, b, asked, d, renamed = _pick(rng, arguments, 6)
        w = _pick(rng, plain, 6)

        def write(c: str) -> str:
            head = f'def {function}(self, {a}, {b}, {c}, {d}):\n    """{w[0]} {w[1]} {function}\n\n'
            return head + f"    :param {a}: {w[2]} {w[3]}\n    :param {b}: {w[4]} {w[5]}\n    :param"

        clean = write(asked)
        wrong = tuple(words.id(x) for x in (a, b, d, renamed))
        return (
            clean,
            write(renamed),
            (words.id(asked),),
            wrong,
            {"definition": clean[: clean.index(f", {asked}") + 2 + len(asked)]},
        )

    return _task("docstring", words, make, "the next argument")


def capitals_task(tokenizer: TextTokenizer, *, bos: bool = False) -> Task:
    """The capital of a country; counterfactual: another country of as many tokens, whose capital is wrong.

    :raises FaultError: a tokenizer for which too few capitals are single tokens.
    """
    words = _Words(tokenizer, bos)
    single = set(words.single(list(CAPITALS.values()), 4))
    countries = [country for country, capital in CAPITALS.items() if capital in single]

    def make(rng: Any, i: int) -> Draft:
        template = CAPITAL_TEMPLATES[int(rng.integers(len(CAPITAL_TEMPLATES)))]
        country, other = _pick(rng, countries, 2)
        clean = template.format(country=country)
        answer, wrong = words.id(CAPITALS[country]), words.id(CAPITALS[other])
        mark = clean[: clean.index(country) + len(country)]
        return clean, template.format(country=other), (answer,), (wrong,), {"country": mark}

    return _task("capitals", words, make, "the capital of a country")
