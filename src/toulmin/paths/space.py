"""Hypotheses compiled to automata over the graph of a model: the sets of paths that they mean. No tensors.

Compiling needs the graph, the number of tokens, and the positions that the task names. The selectors in the hypotheses
cut offsets and positions into classes (:class:`toulmin.patching.PositionClasses`), each chain becomes a
nondeterministic automaton that reads edges from the output backwards, and Boolean operations act on the minimal
automata. A name, a chain or an intersection that means no path is an error: an empty set would be evaluated without
complaint, as if everything were patched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toulmin.faults import Fault, FaultError
from toulmin.patching import ROOT, Automaton, Dag, Graph, Link, PathSet, Port, PositionClasses, refine, split_name
from toulmin.paths.hypothesis import (
    Chain,
    Combination,
    Constant,
    Element,
    Expression,
    Hypothesis,
    Not,
    Where,
    elements_of,
)
from toulmin.paths.names import nearest, reads_from, resolve

MAX_COPIES = 20_000
Named = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Space:
    """What several hypotheses are compiled against together: the graph, its classes of positions, and its terms."""

    graph: Graph
    classes: PositionClasses
    dag: Dag
    offsets: Mapping[Where, frozenset[int]]  # relative selector -> classes of offsets
    places: Mapping[Where, frozenset[int]]  # absolute or named selector -> classes of positions
    terms: Mapping[str, Sequence[str]]

    def compile(self, hypothesis: Hypothesis, *, max_copies: int = MAX_COPIES) -> PathSet:
        """The set of paths of a hypothesis.

        :raises FaultError: ``paths.no_match``, ``paths.no_inputs``, ``paths.unknown_term`` for every name at fault;
            ``paths.no_path`` for every chain and every combination that no path satisfies; ``pathset.states`` (exit
            LIMIT) where more than ``max_copies`` (node, state) copies would be computed.
        """
        faults: list[Fault] = []
        for element in dict.fromkeys(elements_of(hypothesis.expression)):
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
        found = self._build(hypothesis.expression, faults)
        if faults:
            raise FaultError(faults)
        found.bound(max_copies)
        return found

    def _build(self, expression: Expression, faults: list[Fault]) -> PathSet:
        """The set of an expression; adds a fault for the innermost parts that are empty and not written ``none``."""
        before = len(faults)
        if isinstance(expression, Constant):
            return self.dag.all_paths() if expression.everything else self.dag.no_paths()
        if isinstance(expression, Chain):
            found = self.dag.accepted_by(self._automaton(expression))
        elif isinstance(expression, Not):
            found = ~self._build(expression.inner, faults)
        else:
            left, right = self._build(expression.left, faults), self._build(expression.right, faults)
            found = {"|": left.__or__, "&": left.__and__, "-": left.__sub__}[expression.operator](right)
        if not found and len(faults) == before:
            faults.append(self._why_empty(expression))
        return found

    def _why_empty(self, expression: Expression) -> Fault:
        """What makes an expression the empty set, with the nearest names that would not."""
        line = next((element.line for element in elements_of(expression)), None)
        if isinstance(expression, Chain):
            message, hint = f"no path of {self.classes.length} tokens is of this kind", None
            for at, join in enumerate(expression.joins):
                sender, receiver = expression.elements[at : at + 2]
                if not self.dag.accepted_by(self._automaton(Chain((sender, receiver), (join,)))):
                    message, hint = self._why_no_edge(sender, receiver, join)
                    break
            return Fault("paths.no_path", message, line=line, name=str(expression), hint=hint)
        hint = "write 'none' where the empty set is meant"
        if not isinstance(expression, Combination):
            return Fault("paths.no_path", "every path is excluded", line=line, name=str(expression), hint=hint)
        message = "no path is in both" if expression.operator == "&" else "every path of the left side is taken away"
        return Fault("paths.no_path", message, line=line, name=str(expression), hint=hint)

    def _why_no_edge(self, sender: Element, receiver: Element, join: str) -> tuple[str, str]:
        """Why no path runs from one element to the next, and what is near."""
        graph = self.graph
        senders, receivers = resolve(sender, graph), resolve(receiver, graph)
        step = f"{sender.names} {join} {receiver.names}"
        if any(reads_from(graph, a, b) for a in senders for b in receivers):
            message = f"{step} exists, but not through these inputs and positions ({self.classes.length} tokens)"
            return message, "Q reads the position at which the head writes, K and V also earlier ones, none a later one"
        after = {b for a in senders for b in (*graph.sources, "logits") if reads_from(graph, a, b)}
        before = {a for b in receivers for a in graph.sources if reads_from(graph, a, b)}
        swapped = any(reads_from(graph, b, a) for a in senders for b in receivers)
        parts = [f"did you mean {receiver.names} {join} {sender.names}?"] if swapped else []
        if after:
            parts.append(f"{sender.names} is read by {nearest(receiver.names, after)}")
        if before:
            parts.append(f"{receiver.names} reads from {nearest(sender.names, before)}")
        return f"there is no edge {step}: {receiver.names} is not computed after {sender.names}", "; ".join(parts)

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


def make_space(
    graph: Graph,
    hypotheses: Sequence[Hypothesis],
    length: int,
    *,
    named: Named | None = None,
    terms: Mapping[str, Sequence[str]] | None = None,
) -> Space:
    """The refined graph that distinguishes the positions that the hypotheses distinguish.

    :param named: for each name of a position, [B] its index in each pair.
    :raises FaultError: ``paths.unknown_position`` for names that the task does not give; ``paths.position`` for
        positions and offsets outside the sequence and for empty ranges; ``paths.unknown_source`` for terms of
        components that the graph does not have.
    """
    named, terms = named or {}, terms or {}
    elements = [e for h in hypotheses for e in elements_of(h.expression)]
    wheres = {w: e.line for e in elements for w in (e.where, *(w for _, w in e.slots)) if w is not None}
    relative = [w for w in wheres if w.kind == "relative"]
    fixed = [w for w in wheres if w.kind != "relative"]
    faults = [fault for where, line in wheres.items() for fault in _faults_of(where, line, length, named)]
    faults += [
        Fault("paths.unknown_source", "no such component", name=name, hint=f"nearest: {nearest(name, graph.sources)}")
        for name in terms
        if name not in graph.sources
    ]
    if faults:
        raise FaultError(faults)
    steps = np.arange(length)
    furthest = [length if w.high is None else w.high for w in relative]
    offset_rows = np.array([(steps >= w.low) & (steps <= high) for w, high in zip(relative, furthest, strict=True)])
    offset_class = _numbered(offset_rows) if relative else np.zeros(length, dtype=np.int64)
    place_class, place_rows = _places(fixed, named, length)
    classes = PositionClasses(length, offset_class, place_class, int(place_class.max()) + 1)
    return Space(
        graph,
        classes,
        refine(graph, classes, terms),
        {w: frozenset(offset_class[row].tolist()) for w, row in zip(relative, offset_rows, strict=True)},
        {w: frozenset(place_class[row].ravel().tolist()) for w, row in zip(fixed, place_rows, strict=True)},
        terms,
    )


def _faults_of(where: Where, line: int, length: int, named: Named) -> list[Fault]:
    """What is wrong with a selector on sequences of a length."""
    if where.kind == "named":
        if where.name in named:
            return []
        hint = f"nearest: {nearest(where.name, sorted(named))}" if named else "the task names no positions"
        return [Fault("paths.unknown_position", "no such position", line=line, name=where.name, hint=hint)]
    high = where.low if where.high is None else where.high
    if where.kind == "absolute":
        outside = not all(-length <= p < length for p in (where.low, high))
        hint = f"positions are 0 to {length - 1}, or -{length} to -1 from the end"
        empty = not outside and where.low % length > high % length
    else:
        outside, empty = max(where.low, high) >= length, where.low > high
        hint = f"at most @i-{length - 1}, or @..i-{min(where.low, length - 1)} for everything before"
    if outside:
        return [Fault("paths.position", f"reaches outside {length} tokens", line=line, name=str(where), hint=hint)]
    if empty:
        hint = "write the earlier position first, as in @i-3..i or @=2..5"
        return [Fault("paths.position", "an empty range of positions", line=line, name=str(where), hint=hint)]
    return []


def _numbered(rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the distinct columns of [K, N] in order of appearance: [N]."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(column.tobytes(), len(numbers)) for column in np.ascontiguousarray(rows.T)])


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
    numbers = _numbered(flat.reshape(len(rows), -1)).reshape(batch, length)
    return (numbers[0] if batch == 1 else numbers), [
        np.broadcast_to(r, numbers.shape) if batch > 1 else r[0] for r in rows
    ]
