"""Acceptance criteria: a tiny grammar, read by a parser of its own.

    criterion  := all ("or" all)*
    all        := part ("and" part)*
    part       := "(" criterion ")" | quantity op number
    quantity   := MEASURE | MEASURE "." ("low" | "high" | "value" | "n") | "n" | "seeds"
    op         := ">=" | ">" | "<=" | "<" | "==" | "!="

``recovered.low >= 0.85 and n >= 200``. MEASURE is a name of letters, digits and ``_ . / -``, or anything between double
quotes.

A comparison of a measure passes only when its whole interval lies on the asked side of the threshold, fails only when
the whole interval lies on the other side, and is inconclusive when it straddles. ``m.low >= t`` and ``m >= t`` thus
pass alike; ``.low`` demands in addition that there is an interval. ``.value`` is the same as the bare name. Comparing
the favourable end (``m.low <= t``, ``m.high >= t``) is refused: it would pass on ignorance. Counts (``n``, ``m.n``,
``seeds``) gate: too few decide nothing, neither pass nor fail. An interval below a confidence of 90% decides nothing.

A criterion must be able to fail on what was measured (:func:`vacuous_branches`): each of its branches, the ways to pass
it once every ``or`` is multiplied out, needs a comparison of a measure whose threshold lies inside the range of values
that the study declares for the measure, and the branches must leave some value out. A measure without a declared end is
held to :data:`IMPLAUSIBLE` on that side.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal, cast

from toulmin.case.argument.health import Outcome
from toulmin.case.argument.verdict import Bound, Comparison
from toulmin.evidence import Measure
from toulmin.studies import MeasureSpec

MAX_LENGTH = 2000
MAX_BRANCHES = 1000
#: a threshold so far out on the passing side is met by anything, where the study declares no end of the range
IMPLAUSIBLE = 1e6
LOWEST_LEVEL = 0.9
MAX_DEPTH = 50

_TOKEN = re.compile(
    r"\s*(?:(?P<op>>=|<=|==|!=|>|<)|(?P<paren>[()])"
    r"|(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?![\w.])"
    r'|"(?P<quoted>[^"\n]+)"(?:\.(?P<suffix>low|high|value|n)\b)?'
    r"|(?P<name>[A-Za-z_](?:[\w./-]*\w)?))"
)
_SIDES = {">=": 1, ">": 1, "<=": -1, "<": -1, "==": 0, "!=": 0}


class CriterionError(ValueError):
    """A criterion that is not in the grammar; the message says where."""


@dataclass(frozen=True, slots=True)
class Compare:
    """``quantity op threshold``; ``measure`` is empty for the counts ``n`` and ``seeds`` of the whole evidence."""

    measure: str
    bound: Bound
    op: str
    threshold: float
    text: str

    @property
    def counts(self) -> bool:
        """Whether it compares a count, which can gate but not refute."""
        return self.bound in ("n", "seeds")


@dataclass(frozen=True, slots=True)
class Join:
    """``and`` or ``or`` of parts."""

    word: Literal["and", "or"]
    parts: tuple[Criterion, ...]


Criterion = Compare | Join


@dataclass(slots=True)
class _Reader:
    text: str
    tokens: list[tuple[str, str, int, str | None]]
    index: int = 0

    def peek(self) -> tuple[str, str, int, str | None]:
        return self.tokens[self.index] if self.index < len(self.tokens) else ("end", "", len(self.text), None)

    def take(self) -> tuple[str, str, int, str | None]:
        token = self.peek()
        self.index += 1
        return token

    def joined(self, word: Literal["and", "or"], depth: int) -> Criterion:
        parts = [self.joined("and", depth) if word == "or" else self.part(depth)]
        while self.peek()[:2] == ("name", word):
            self.take()
            parts.append(self.joined("and", depth) if word == "or" else self.part(depth))
        return parts[0] if len(parts) == 1 else Join(word, tuple(parts))

    def part(self, depth: int) -> Criterion:
        kind, text, start, suffix = self.take()
        if (kind, text) == ("paren", "("):
            if depth >= MAX_DEPTH:
                raise CriterionError(f"parentheses nested deeper than {MAX_DEPTH}")
            inside = self.joined("or", depth + 1)
            if self.take()[:2] != ("paren", ")"):
                raise CriterionError(f"a parenthesis opened at character {start + 1} is not closed")
            return inside
        if kind not in ("name", "quoted") or (kind == "name" and text in ("and", "or")):
            raise CriterionError(f"expected a measure at character {start + 1}, found {text or 'the end'!r}")
        op_kind, op, op_start, _ = self.take()
        if op_kind != "op":
            raise CriterionError(f"expected a comparison at character {op_start + 1}, found {op or 'the end'!r}")
        number_kind, number, number_start, _ = self.take()
        if number_kind != "number":
            raise CriterionError(f"expected a number at character {number_start + 1}, found {number or 'the end'!r}")
        threshold = float(number)
        if threshold in (float("inf"), float("-inf")):
            raise CriterionError(f"the number at character {number_start + 1} is too large")
        measure, bound = _quantity(text, suffix if kind == "quoted" else None, quoted=kind == "quoted")
        if (bound == "low" and _SIDES[op] <= 0) or (bound == "high" and _SIDES[op] >= 0):
            wanted = "high with < or <=, or low with > or >="
            raise CriterionError(f"{measure}.{bound} {op}: compares the favourable end of the interval (use {wanted})")
        written = self.text[start : number_start + len(number)]
        return Compare(measure, bound, op, threshold, written)


def _quantity(text: str, suffix: str | None, *, quoted: bool) -> tuple[str, Bound]:
    if quoted:
        return text, cast("Bound", suffix or "value")  # the pattern of a token allows no other suffix
    if text in ("n", "seeds"):
        return "", cast("Bound", text)
    stem, dot, last = text.rpartition(".")
    if dot and last in ("low", "high", "value", "n"):
        return stem, cast("Bound", last)
    return text, "value"


def parse_criterion(text: str) -> Criterion:
    """Parse a criterion.

    :raises CriterionError: it is not in the grammar, longer than 2000 characters, or compares the favourable end.
    """
    if len(text) > MAX_LENGTH:
        raise CriterionError(f"longer than {MAX_LENGTH} characters")
    tokens: list[tuple[str, str, int, str | None]] = []
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            where = position + len(text[position:]) - len(text[position:].lstrip())
            raise CriterionError(f"unexpected {text[where]!r} at character {where + 1}")
        kind = next(k for k in ("op", "paren", "number", "quoted", "name") if match[k] is not None)
        start = match.start(kind) - (1 if kind == "quoted" else 0)
        tokens.append((kind, match[kind], start, match["suffix"]))
        position = match.end()
    if not tokens:
        raise CriterionError("empty")
    reader = _Reader(text, tokens)
    result = reader.joined("or", 0)
    kind, rest, start, _ = reader.peek()
    if kind != "end":
        raise CriterionError(f"unexpected {rest!r} at character {start + 1}")
    return result


def comparisons_of(criterion: Criterion) -> list[Compare]:
    """Every comparison, in the order written."""
    if isinstance(criterion, Compare):
        return [criterion]
    return [found for part in criterion.parts for found in comparisons_of(part)]


def measures_of(criterion: Criterion) -> set[str]:
    """The names of the measures it speaks of."""
    return {compare.measure for compare in comparisons_of(criterion) if compare.measure}


def vacuous_branches(criterion: Criterion, specs: Mapping[str, MeasureSpec]) -> list[str]:
    """The ways to pass the criterion that say nothing about what was measured, as they are written.

    A branch is a conjunction of comparisons. It is vacuous where none of them can fail: counts alone (``n >= 1``),
    thresholds that every value of the measure's range meets (``accuracy >= 0``), ``!=``. Where no branch is, they are
    all vacuous together if they leave no value out (``value >= 0.5 or value < 0.5``).

    :raises CriterionError: more than 1000 branches.
    """
    branches = _terms(criterion, "or")
    written = [" and ".join(part.text for part in branch) for branch in branches]
    vacuous = [
        text
        for text, branch in zip(written, branches, strict=True)
        if not any(_can_fail(part, specs.get(part.measure)) for part in branch)
    ]
    # multiplied out the other way the criterion fails where any clause, a disjunction, does
    if not vacuous and all(_covers(clause, specs) for clause in _terms(criterion, "and")):
        return [" or ".join(written)]
    return vacuous


def _covers(clause: Sequence[Compare], specs: Mapping[str, MeasureSpec]) -> bool:
    """Whether one of the comparisons holds whatever the values: some measure's cover its whole range."""
    by_measure: dict[str, list[Compare]] = {}
    for part in clause:
        if part.counts:
            return True
        by_measure.setdefault(part.measure, []).append(part)
    for measure, parts in by_measure.items():
        low, high = _range(specs[measure])
        points = sorted({low, high, *(part.threshold for part in parts if low < part.threshold < high)})
        points += [(a + b) / 2 for a, b in pairwise(points)]
        if all(any(_side(p.op, x, x, p.threshold) is Outcome.PASS for p in parts) for x in points):
            return True
    return False


def _range(spec: MeasureSpec) -> tuple[float, float]:
    return -IMPLAUSIBLE if spec.low is None else spec.low, IMPLAUSIBLE if spec.high is None else spec.high


def _terms(criterion: Criterion, outer: Literal["and", "or"]) -> list[tuple[Compare, ...]]:
    """The criterion multiplied out: the terms that ``outer`` joins; within each the other word joins comparisons."""
    if isinstance(criterion, Compare):
        return [(criterion,)]
    parts = [_terms(part, outer) for part in criterion.parts]
    if criterion.word == outer:
        found = [branch for several in parts for branch in several]
    else:
        found = [()]
        for several in parts:
            found = [(*before, *branch) for before in found for branch in several]
            if len(found) > MAX_BRANCHES:
                break
    if len(found) > MAX_BRANCHES:
        raise CriterionError(f"more than {MAX_BRANCHES} ways to pass")
    return found


def _can_fail(part: Compare, spec: MeasureSpec | None) -> bool:
    if part.counts or spec is None or part.op == "!=":
        return False
    (low, high), threshold = _range(spec), part.threshold
    if part.op == ">=":
        return threshold > low
    if part.op == ">":
        return threshold >= low
    if part.op == "<=":
        return threshold < high
    if part.op == "<":
        return threshold <= high
    return low < high


def _side(op: str, low: float, high: float, threshold: float) -> Outcome:
    inside = {
        ">=": (low >= threshold, high < threshold),
        ">": (low > threshold, high <= threshold),
        "<=": (high <= threshold, low > threshold),
        "<": (high < threshold, low >= threshold),
        "==": (low == high == threshold, not low <= threshold <= high),
        "!=": (not low <= threshold <= high, low == high == threshold),
    }[op]
    return Outcome.PASS if inside[0] else Outcome.FAIL if inside[1] else Outcome.INCONCLUSIVE


def compare(part: Compare, measures: Mapping[str, Measure], n: int, seeds: int) -> Comparison:
    """Evaluate one comparison against the measures of a record."""
    said = partial(Comparison, part.text, part.measure, part.bound, part.op, part.threshold)
    if part.bound == "seeds" or (part.bound == "n" and not part.measure):
        count = seeds if part.bound == "seeds" else n
        met = _side(part.op, count, count, part.threshold) is Outcome.PASS
        note = "" if met else f"{count}, which decides nothing"
        return said(Outcome.PASS if met else Outcome.INCONCLUSIVE, float(count), n=n, note=note)
    measure = measures.get(part.measure)
    if measure is None:
        return said(Outcome.ERROR, note=f"the evidence has no measure {part.measure}")
    if part.bound == "n":
        met = _side(part.op, measure.n, measure.n, part.threshold) is Outcome.PASS
        outcome, note = (Outcome.PASS, "") if met else (Outcome.INCONCLUSIVE, f"{measure.n}, which decides nothing")
        return said(outcome, float(measure.n), n=measure.n, note=note)
    interval = measure.interval
    if interval is None:
        if part.bound != "value":
            note = f"there is no interval: {measure.no_interval}"
            return said(Outcome.INCONCLUSIVE, measure.value, n=measure.n, unit=measure.unit, note=note)
        low = high = measure.value
        note = f"no interval: {measure.no_interval}"
    else:
        low, high, note = interval.low, interval.high, ""
    outcome = _side(part.op, low, high, part.threshold)
    if interval is not None and interval.level < LOWEST_LEVEL:
        outcome, note = Outcome.INCONCLUSIVE, f"an interval of {interval.level:.0%} decides nothing: at least 90%"
    elif outcome is Outcome.INCONCLUSIVE:
        note = "the interval straddles the threshold"
    elif interval is not None and not low <= measure.value <= high:
        # an interval that excludes its own estimate is no ground for a verdict
        outcome, note = Outcome.INCONCLUSIVE, "the value lies outside its own interval"
    return said(outcome, measure.value, low, high, measure.n, measure.unit, note)


def decide(
    criterion: Criterion, measures: Mapping[str, Measure], n: int, seeds: int = 1
) -> tuple[Outcome, tuple[Comparison, ...]]:
    """Outcome of a criterion, and of each comparison in it.

    ``and``: error, then an unmet count (inconclusive), then any failure, then any inconclusive part, then pass.
    ``or``: pass if any part passes, else error, else fail if all parts fail, else inconclusive.
    """
    if isinstance(criterion, Compare):
        found = compare(criterion, measures, n, seeds)
        return found.outcome, (found,)
    decided = [decide(part, measures, n, seeds) for part in criterion.parts]
    outcomes = [outcome for outcome, _ in decided]
    details = tuple(detail for _, several in decided for detail in several)
    if criterion.word == "or":
        return _any(outcomes), details
    unmet = any(
        isinstance(part, Compare) and part.counts and outcome is not Outcome.PASS
        for part, outcome in zip(criterion.parts, outcomes, strict=True)
    )
    for worst in (Outcome.ERROR, Outcome.INCONCLUSIVE if unmet else Outcome.FAIL, Outcome.FAIL, Outcome.INCONCLUSIVE):
        if worst in outcomes:
            return worst, details
    return Outcome.PASS, details


def _any(outcomes: Sequence[Outcome]) -> Outcome:
    for best in (Outcome.PASS, Outcome.ERROR):
        if best in outcomes:
            return best
    return Outcome.FAIL if all(o is Outcome.FAIL for o in outcomes) else Outcome.INCONCLUSIVE


Change = Literal["same", "tightened", "loosened", "changed"]


def compare_criteria(old: str, new: str) -> Change:
    """How a criterion changed: ``loosened`` if some part became easier to pass or fell away, else ``tightened``.

    Two conjunctions are compared part by part; anything else that differs is ``changed``, which a reader must treat as
    possibly loosened.
    """
    try:
        before, after = parse_criterion(old), parse_criterion(new)
    except CriterionError:
        return "same" if old.split() == new.split() else "changed"
    first, second = _parts(before), _parts(after)
    if first is None or second is None:
        return "same" if _shape(before) == _shape(after) else "changed"
    looser = tighter = False
    for key in first.keys() | second.keys():
        if key not in second:
            looser = True
        elif key not in first:
            tighter = True
        else:
            # strict beats non-strict at the same threshold; larger is always the harder demand here
            looser |= second[key] < first[key]
            tighter |= second[key] > first[key]
    return "loosened" if looser else "tightened" if tighter else "same"


def _shape(criterion: Criterion) -> object:
    if isinstance(criterion, Compare):
        return (criterion.measure, criterion.bound, criterion.op, criterion.threshold)
    return (criterion.word, tuple(_shape(part) for part in criterion.parts))


def _parts(criterion: Criterion) -> dict[tuple[str, str, int], tuple[float, bool, bool]] | None:
    """Hardest demand for each (measure, family, side), signed so that larger is harder; None if not a conjunction."""
    if isinstance(criterion, Join) and criterion.word == "or":
        return None
    result: dict[tuple[str, str, int], tuple[float, bool, bool]] = {}
    for part in (criterion,) if isinstance(criterion, Compare) else criterion.parts:
        if not isinstance(part, Compare) or _SIDES[part.op] == 0:
            return None
        side = _SIDES[part.op]
        key = (part.measure, part.bound if part.counts else "interval", side)
        demand = (side * part.threshold, part.op in (">", "<"), part.bound in ("low", "high"))
        result[key] = max(result.get(key, demand), demand)
    return result
