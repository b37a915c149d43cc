"""A hypothesis: a set of paths, written in the path language or built by set algebra, compiled to an automaton.

Compiling needs the graph of a model, a length, and the positions that the task names. The selectors in the hypothesis
cut offsets and positions into classes (:class:`toulmin.patching.position_classes.PositionClasses`); each chain
becomes a nondeterministic
automaton that reads edges from the output backwards; Boolean operations act on the minimal automata. No tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toulmin.faults import Fault, FaultError
from toulmin.patching.graph import Graph
from toulmin.patching.pathset import Automaton, Dag, Link, PathSet
from toulmin.patching.position_classes import ROOT, Port, PositionClasses, refine, split_name
from toulmin.paths.language import Chain, Combination, Constant, Element, Expression, Not, Where, parse
from toulmin.paths.names import resolve

if TYPE_CHECKING:
    from toulmin.evidence import Table
    from toulmin.paths.insight import Difference
    from toulmin.subjects import Transformer
    from toulmin.tasks import Pair

MAX_COPIES = 20_000
Named = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Hypothesis:
    """A set of paths of any model with the components it names. Combine with ``|``, ``&``, ``-``, ``~``."""

    expression: Expression
    text: str = ""
    name: str = ""

    def __or__(self, other: Hypothesis) -> Hypothesis:
        return self._with(other, "|")

    def __and__(self, other: Hypothesis) -> Hypothesis:
        return self._with(other, "&")

    def __sub__(self, other: Hypothesis) -> Hypothesis:
        return self._with(other, "-")

    def __invert__(self) -> Hypothesis:
        return Hypothesis(Not(self.expression), f"~({self._inline()})")

    def _inline(self) -> str:
        lines = [line.split("#")[0].strip() for line in self.text.splitlines()]
        return " | ".join(line for line in lines if line)

    def _with(self, other: Hypothesis, operator: str) -> Hypothesis:
        text = f"({self._inline()}) {operator} ({other._inline()})"
        return Hypothesis(Combination(operator, self.expression, other.expression), text)

    def named(self, name: str) -> Hypothesis:
        """The same with a name for tables and plots."""
        return Hypothesis(self.expression, self.text, name)

    def is_edge_circuit(self, model: Transformer, length: int, *, pairs: Sequence[Pair] = ()) -> bool:
        """Whether a set of edges (a circuit) says the same on this model."""
        from toulmin.paths.evaluation import space_of

        return space_of(model, [self], length, pairs=pairs).compile(self).is_edge_circuit()

    def explain(self, model: Transformer, pair: Pair, *, delta: str = "signed_loss") -> Table:
        """Which inputs of a pair break it (:func:`toulmin.paths.explain_inputs`)."""
        from toulmin.paths.insight import explain_inputs

        return explain_inputs(model, self, pair, delta=delta)

    def diff(self, other: Hypothesis, model: Transformer, length: int, *, pairs: Sequence[Pair] = ()) -> Difference:
        """The paths that only one of the two has (:func:`toulmin.paths.difference`)."""
        from toulmin.paths.insight import difference

        return difference(model, self, other, length, pairs=pairs)

    @property
    def label(self) -> str:
        """The name, or the text on one line."""
        return self.name or self._inline()

    @property
    def splits_embedding(self) -> bool:
        """Whether it tells the token from the position part of the embedding."""
        return any(e.names.startswith("embed.") or "embed." in e.names for e in _elements(self.expression))


def hypothesis(text: str, name: str = "") -> Hypothesis:
    """Read a hypothesis (grammar: :mod:`toulmin.paths.language`).

    :raises FaultError: ``paths.syntax``, ``paths.empty``.
    """
    return Hypothesis(parse(text), text, name)


def _elements(expression: Expression) -> Iterator[Element]:
    if isinstance(expression, Chain):
        yield from expression.elements
    elif isinstance(expression, Not):
        yield from _elements(expression.inner)
    elif isinstance(expression, Combination):
        yield from _elements(expression.left)
        yield from _elements(expression.right)


@dataclass(frozen=True)
class Space:
    """What several hypotheses are compiled against together: the graph, its classes of positions, and its terms."""

    graph: Graph
    cells: PositionClasses
    dag: Dag
    offsets: Mapping[Where, frozenset[int]]  # relative selector -> classes of offsets
    places: Mapping[Where, frozenset[int]]  # absolute or named selector -> classes of positions
    terms: Mapping[str, Sequence[str]]

    def compile(self, hypothesis: Hypothesis, *, max_copies: int = MAX_COPIES) -> PathSet:
        """The path set of a hypothesis.

        :raises FaultError: ``paths.no_match``, ``paths.no_inputs``, ``paths.unknown_term`` for every element at fault;
            ``pathset.states`` (exit LIMIT) where more than ``max_copies`` (node, state) copies would be computed.
        """
        faults: list[Fault] = []
        for element in dict.fromkeys(_elements(hypothesis.expression)):
            try:
                names = resolve(element, self.graph)
            except FaultError as error:
                faults.extend(error.faults)
                continue
            known = sorted({term for name in names for term in self.terms.get(name, ())})
            if element.term and element.term not in known:
                hint = f"terms: {', '.join(known)}" if known else "give terms= when evaluating"
                faults.append(
                    Fault("paths.unknown_term", "no such term", line=element.line, name=element.term, hint=hint)
                )
        if faults:
            raise FaultError(faults)
        found = self._build(hypothesis.expression)
        found.bound(max_copies)
        return found

    def _build(self, expression: Expression) -> PathSet:
        if isinstance(expression, Constant):
            return self.dag.everything() if expression.everything else self.dag.nothing()
        if isinstance(expression, Not):
            return ~self._build(expression.inner)
        if isinstance(expression, Chain):
            return self.dag.accepted_by(self._automaton(expression))
        left, right = self._build(expression.left), self._build(expression.right)
        return {"|": left.__or__, "&": left.__and__, "-": left.__sub__}[expression.operator](right)

    def _automaton(self, chain: Chain) -> Automaton:
        """States: 0 before the output, 1 above the last element, then at(k) = 2k + 2 and below(k) = 2k + 3."""
        elements = chain.elements
        matches = [self._matches(element) for element in elements]
        enters = [self._enters(element) for element in elements]
        last = len(elements) - 1
        moves: list[tuple[int, Callable[[Link], bool], int]] = []
        if resolve(elements[last], self.graph) == {"logits"}:
            moves.append((0, matches[last], 2 * last + 2))
        else:
            moves += [(0, _is_output, 1), (1, _any, 1), (1, matches[last], 2 * last + 2)]
        for k in range(last, 0, -1):
            here, below, there = 2 * k + 2, 2 * k + 3, 2 * k
            moves.append((here, _both(enters[k], matches[k - 1]), there))
            if chain.joins[k - 1] == "~>":
                moves += [(here, enters[k], below), (below, _any, below), (below, matches[k - 1], there)]
        moves += [(2, enters[0], 3), (3, _any, 3)]
        return Automaton(frozenset({0}), tuple(moves), frozenset({2, 3}))

    def _matches(self, element: Element) -> Callable[[Link], bool]:
        """Whether a link's sender is the element, at its position."""
        names, term, where = resolve(element, self.graph), element.term, element.where
        offsets = None if where is None else self.offsets.get(where)
        places = None if where is None else self.places.get(where)

        def test(link: Link) -> bool:
            component, place = split_name(link.sender)
            port = link.label
            assert isinstance(port, Port)
            if component not in names or (term and port.term != term):
                return False
            return (offsets is None or port.offset in offsets) and (places is None or place in places)

        return test

    def _enters(self, element: Element) -> Callable[[Link], bool]:
        """Whether a link enters the element through one of its inputs, from where that input may read."""
        if not element.slots:
            return _any
        allowed: dict[str, list[Where | None]] = {}
        for slot, where in element.slots:
            allowed.setdefault(slot, []).append(where)

        def test(link: Link) -> bool:
            port = link.label
            assert isinstance(port, Port)
            place = split_name(link.sender)[1]
            return any(
                where is None
                or (port.offset in self.offsets[where] if where in self.offsets else place in self.places[where])
                for where in allowed.get(port.slot, ())
            )

        return test


def _any(_: Link) -> bool:
    return True


def _is_output(link: Link) -> bool:
    return link.receiver == ROOT


def _both(a: Callable[[Link], bool], b: Callable[[Link], bool]) -> Callable[[Link], bool]:
    return lambda link: a(link) and b(link)


def _classes(rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the distinct columns of [K, N] in order of appearance: [N]."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(column.tobytes(), len(numbers)) for column in np.ascontiguousarray(rows.T)])


def make_space(
    graph: Graph,
    hypotheses: Sequence[Hypothesis],
    length: int,
    *,
    named: Named | None = None,
    terms: Mapping[str, Sequence[str]] | None = None,
) -> Space:
    """The refined graph that tells apart what the hypotheses tell apart.

    :param named: for each name of a position, [B] its index in each pair.
    :raises FaultError: ``paths.unknown_position`` for names that the task does not give; ``paths.position`` for
        absolute
        positions outside the sequence; ``paths.unknown_source`` for terms of components the graph has not.
    """
    named, terms = named or {}, terms or {}
    elements = [e for h in hypotheses for e in _elements(h.expression)]
    wheres = {w: e.line for e in elements for w in (e.where, *(w for _, w in e.slots)) if w is not None}
    relative = [w for w in wheres if w.kind == "relative"]
    fixed = [w for w in wheres if w.kind != "relative"]
    faults: list[Fault] = []
    for where in fixed:
        if where.kind == "named" and where.name not in named:
            hint = f"the task names {', '.join(sorted(named))}" if named else "the task names no positions"
            faults.append(
                Fault("paths.unknown_position", "no such position", line=wheres[where], name=where.name, hint=hint)
            )
        elif where.kind == "absolute" and not all(-length <= p < length for p in (where.low, where.high or 0)):
            faults.append(Fault("paths.position", f"outside {length} tokens", line=wheres[where], name=str(where)))
    faults += [
        Fault("paths.unknown_source", "no such component", name=name) for name in terms if name not in graph.sources
    ]
    if faults:
        raise FaultError(faults)
    steps = np.arange(length)
    far = [length if w.high is None else w.high for w in relative]
    offset_rows = np.array([(steps >= w.low) & (steps <= high) for w, high in zip(relative, far, strict=True)])
    offset_class = (
        _classes(offset_rows.reshape(len(relative), length)) if relative else np.zeros(length, dtype=np.int64)
    )
    place_class, place_rows = _places(fixed, named, length)
    cells = PositionClasses(length, offset_class, place_class, int(place_class.max()) + 1)
    return Space(
        graph,
        cells,
        refine(graph, cells, terms),
        {w: frozenset(offset_class[row].tolist()) for w, row in zip(relative, offset_rows, strict=True)},
        {w: frozenset(place_class[row].ravel().tolist()) for w, row in zip(fixed, place_rows, strict=True)},
        terms,
    )


def _places(fixed: Sequence[Where], named: Named, length: int) -> tuple[NDArray[np.int64], list[NDArray[np.bool_]]]:
    """The classes of positions, [T] or [B, T], and which positions each selector means."""
    if not fixed:
        return np.zeros(length, dtype=np.int64), []
    batch = max([1, *(len(named[w.name]) for w in fixed if w.kind == "named")])
    steps = np.arange(length)
    rows: list[NDArray[np.bool_]] = []
    for where in fixed:
        if where.kind == "named":
            rows.append(named[where.name][:, None] == steps[None, :])
        else:
            low, high = where.low % length, (where.low if where.high is None else where.high) % length
            rows.append(np.broadcast_to((steps >= low) & (steps <= high), (batch, length)))
    flat = np.stack([np.broadcast_to(row, (batch, length)) for row in rows])
    numbers = _classes(flat.reshape(len(rows), -1)).reshape(batch, length)
    return (numbers[0] if batch == 1 else numbers), [
        np.broadcast_to(r, numbers.shape) if batch > 1 else r[0] for r in rows
    ]
