"""Sets of input-to-output paths as minimal automata read from the output backwards.

In the treeified graph of Goldowsky-Dill et al. 2023 (section 2) the copy of node ``n`` at the end of a suffix ``s``
depends on ``s`` only through the right quotient ``P/s``: the set of ways of going on towards the inputs that stay in
``P``. A path set over a finite acyclic graph is therefore stored as its quotients. A quotient at a node is one of

* ``NO_PATHS``: no continuation is in the set,
* ``ALL_PATHS``: every continuation is,
* a *mixed* state: one quotient for each in-edge of the node.

Quotients are hash-consed from the inputs upwards, so two equal sets of continuations at a node are one integer: the
automaton is minimal at all times, equality is identity, and the Boolean operations are one memoised descent. This is
the minimal acyclic automaton of the set, read from the output.

Sets are made from a nondeterministic :class:`Automaton` whose transitions test edges (what the path language compiles
to), from explicit lists of paths, or from sets of edges.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from toulmin.faults import ExitCode, Fault, FaultError

NO_PATHS = 0
ALL_PATHS = 1


@dataclass(frozen=True)
class Link:
    """An edge ``sender -> receiver`` of a :class:`Dag`; ``label`` says which input of the receiver it is."""

    sender: str
    receiver: str
    label: Hashable = ""


class Dag:
    """A directed acyclic graph with one output, whose nodes without in-edges are the inputs.

    ``in_links`` maps each node to its in-edges in a fixed order; parallel edges differ in ``label``.

    :raises FaultError: ``pathset.cycle``, ``pathset.unknown_node``.
    """

    def __init__(self, in_links: Mapping[str, Sequence[Link]], output: str) -> None:
        self.in_links: dict[str, tuple[Link, ...]] = {node: tuple(links) for node, links in in_links.items()}
        self.output = output
        faults: list[Fault] = []
        for node, links in self.in_links.items():
            for link in links:
                if link.sender not in self.in_links:
                    faults.append(Fault("pathset.unknown_node", f"{node} reads from an unknown node", name=link.sender))
        if output not in self.in_links:
            faults.append(Fault("pathset.unknown_node", "the output is not a node", name=output))
        if faults:
            raise FaultError(faults)
        self.order = self._topological()
        self._rank = {node: rank for rank, node in enumerate(self.order)}
        self._mixed: dict[tuple[str, tuple[int, ...]], int] = {}
        self._children: list[tuple[int, ...]] = [(), ()]
        self._nodes: list[str] = ["", ""]

    def _topological(self) -> tuple[str, ...]:
        """Nodes that the output depends on, inputs first (an explicit stack: graphs may be deep)."""
        order: list[str] = []
        state: dict[str, int] = {}
        stack: list[tuple[str, int]] = [(self.output, 0)]
        while stack:
            node, at = stack.pop()
            if at == 0:
                if state.get(node) == 2:
                    continue
                state[node] = 1
            links = self.in_links[node]
            if at < len(links):
                stack.append((node, at + 1))
                sender = links[at].sender
                if state.get(sender) == 1:
                    raise FaultError(Fault("pathset.cycle", "the graph has a cycle", name=sender))
                if state.get(sender) != 2:
                    stack.append((sender, 0))
            else:
                state[node] = 2
                order.append(node)
        return tuple(order)

    def is_input(self, node: str) -> bool:
        """Whether the node has no in-edges."""
        return not self.in_links[node]

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The inputs the output depends on."""
        return tuple(node for node in self.order if self.is_input(node))

    def quotient(self, node: str, children: tuple[int, ...]) -> int:
        """The state of ``node`` whose in-edges continue in ``children``; the same integer for the same set."""
        if not any(children):
            return NO_PATHS
        if all(child == ALL_PATHS for child in children):
            return ALL_PATHS
        key = (node, children)
        state = self._mixed.get(key)
        if state is None:
            state = self._mixed[key] = len(self._children)
            self._children.append(children)
            self._nodes.append(node)
        return state

    def children(self, node: str, state: int) -> tuple[int, ...]:
        """The states behind each in-edge of ``node`` in ``state``."""
        if state in (NO_PATHS, ALL_PATHS):
            return (state,) * len(self.in_links[node])
        return self._children[state]

    def no_paths(self) -> PathSet:
        """The empty set: every input copy reads the counterfactual."""
        return PathSet(self, NO_PATHS)

    def all_paths(self) -> PathSet:
        """All paths: every input copy reads the clean run."""
        return PathSet(self, ALL_PATHS)

    def accepted_by(self, automaton: Automaton, *, max_states: int = 1_000_000) -> PathSet:
        """The paths an automaton accepts, by subset construction over (node, set of automaton states).

        :raises FaultError: ``pathset.states`` (exit LIMIT) when more than ``max_states`` pairs are met.
        """
        reach: dict[str, set[frozenset[int]]] = {node: set() for node in self.order}
        reach[self.output].add(frozenset(automaton.start))
        moves: dict[tuple[str, frozenset[int]], tuple[frozenset[int], ...]] = {}
        met = 1
        for node in reversed(self.order):
            for subset in reach[node]:
                steps = tuple(automaton.advance(subset, link) for link in self.in_links[node])
                moves[node, subset] = steps
                for link, target in zip(self.in_links[node], steps, strict=True):
                    if target and target not in reach[link.sender]:
                        reach[link.sender].add(target)
                        met += 1
            if met > max_states:
                raise _too_many(met, max_states)
        done: dict[tuple[str, frozenset[int]], int] = {}
        for node in self.order:
            for subset in reach[node]:
                if self.is_input(node):
                    done[node, subset] = ALL_PATHS if subset & automaton.accept else NO_PATHS
                    continue
                done[node, subset] = self.quotient(
                    node,
                    tuple(
                        done[link.sender, target] if target else NO_PATHS
                        for link, target in zip(self.in_links[node], moves[node, subset], strict=True)
                    ),
                )
        return PathSet(self, done[self.output, frozenset(automaton.start)])

    def of_paths(self, paths: Iterable[Sequence[Link]]) -> PathSet:
        """The set of the given paths; each is its links from the output backwards.

        :raises FaultError: ``pathset.not_a_path`` for the links that do not continue one another up to an input.
        """
        trie: dict[Link, dict[Link, object]] = {}
        faults: list[Fault] = []
        known = {link for links in self.in_links.values() for link in links}
        for path in paths:
            at, node = trie, self.output
            for link in path:
                if link.receiver != node or link not in known:
                    faults.append(Fault("pathset.not_a_path", f"{link} does not continue a path at {node}"))
                    break
                at = at.setdefault(link, {})  # type: ignore[assignment]
                node = link.sender
            else:
                if not self.is_input(node):
                    faults.append(Fault("pathset.not_a_path", "the path ends before an input", name=node))
        if faults:
            raise FaultError(faults)

        def build(node: str, branches: Mapping[Link, object]) -> int:
            if self.is_input(node):
                return ALL_PATHS
            return self.quotient(
                node,
                tuple(
                    build(link.sender, branches[link]) if link in branches else NO_PATHS  # type: ignore[arg-type]
                    for link in self.in_links[node]
                ),
            )

        return PathSet(self, build(self.output, trie) if trie else NO_PATHS)

    def along(self, links: Iterable[Link] | Callable[[Link], bool]) -> PathSet:
        """All paths whose every edge is among ``links``: what a circuit (a set of edges) means under resampling."""
        if callable(links):
            keep = links
        else:
            chosen = set(links)
            keep = chosen.__contains__
        states: dict[str, int] = {}
        for node in self.order:
            states[node] = (
                ALL_PATHS
                if self.is_input(node)
                else self.quotient(
                    node, tuple(states[link.sender] if keep(link) else NO_PATHS for link in self.in_links[node])
                )
            )
        return PathSet(self, states[self.output])

    # ------------------------------------------------------------------ algebra

    def combine(self, a: int, b: int, op: Callable[[bool, bool], bool]) -> int:
        """The state of ``op`` applied to membership in two states of the output, by memoised descent."""
        memo: dict[tuple[str, int, int], int] = {}
        constant = {(x, y): int(op(bool(x), bool(y))) for x in (0, 1) for y in (0, 1)}
        absorbing_a = {x: constant[x, 0] for x in (0, 1) if constant[x, 0] == constant[x, 1]}
        absorbing_b = {y: constant[0, y] for y in (0, 1) if constant[0, y] == constant[1, y]}

        def settled(x: int, y: int) -> int | None:
            if x <= ALL_PATHS and y <= ALL_PATHS:
                return constant[x, y]
            return absorbing_a.get(x) if x <= ALL_PATHS else absorbing_b.get(y)

        wanted: dict[str, set[tuple[int, int]]] = {node: set() for node in self.order}
        wanted[self.output].add((a, b))
        for node in reversed(self.order):
            for x, y in wanted[node]:
                if settled(x, y) is None:
                    for link, pair in zip(
                        self.in_links[node],
                        zip(self.children(node, x), self.children(node, y), strict=True),
                        strict=True,
                    ):
                        wanted[link.sender].add(pair)
        for node in self.order:
            for x, y in wanted[node]:
                value = settled(x, y)
                if value is None:
                    value = self.quotient(
                        node,
                        tuple(
                            memo[link.sender, p, q]
                            for link, p, q in zip(
                                self.in_links[node], self.children(node, x), self.children(node, y), strict=True
                            )
                        ),
                    )
                memo[node, x, y] = value
        return memo[self.output, a, b]


@dataclass(frozen=True)
class Automaton:
    """A nondeterministic automaton over edges, reading a path from the output backwards.

    ``transitions`` are ``(from, test, to)``; ``test`` says whether the automaton may read that edge.
    """

    start: frozenset[int]
    transitions: tuple[tuple[int, Callable[[Link], bool], int], ...]
    accept: frozenset[int]

    @cached_property
    def _leaving(self) -> dict[int, list[tuple[Callable[[Link], bool], int]]]:
        leaving: dict[int, list[tuple[Callable[[Link], bool], int]]] = {}
        for source, test, target in self.transitions:
            leaving.setdefault(source, []).append((test, target))
        return leaving

    def advance(self, states: frozenset[int], link: Link) -> frozenset[int]:
        """The states after reading ``link`` in any of ``states``."""
        return frozenset(target for state in states for test, target in self._leaving.get(state, ()) if test(link))


@dataclass(frozen=True)
class PathSet:
    """A set of paths of a :class:`Dag` (compared by identity); equal sets have equal ``state``."""

    dag: Dag
    state: int

    def _with(self, other: PathSet, op: Callable[[bool, bool], bool]) -> PathSet:
        if other.dag is not self.dag:
            raise FaultError(Fault("pathset.graphs", "the two path sets are over different graphs"))
        return PathSet(self.dag, self.dag.combine(self.state, other.state, op))

    def __or__(self, other: PathSet) -> PathSet:
        return self._with(other, lambda a, b: a or b)

    def __and__(self, other: PathSet) -> PathSet:
        return self._with(other, lambda a, b: a and b)

    def __sub__(self, other: PathSet) -> PathSet:
        return self._with(other, lambda a, b: a and not b)

    def __invert__(self) -> PathSet:
        return self._with(self, lambda a, _: not a)

    def __le__(self, other: PathSet) -> bool:
        return (self - other).state == NO_PATHS

    def __bool__(self) -> bool:
        return self.state != NO_PATHS

    # ------------------------------------------------------------------ reading

    def reachable(self) -> dict[str, set[int]]:
        """For each node, its mixed states that the output's copy depends on."""
        found: dict[str, set[int]] = {node: set() for node in self.dag.order}
        found[self.dag.output].add(self.state)
        for node in reversed(self.dag.order):
            found[node] -= {NO_PATHS, ALL_PATHS}
            for state in found[node]:
                for link, child in zip(self.dag.in_links[node], self.dag.children(node, state), strict=True):
                    found[link.sender].add(child)
        return found

    def n_copies(self) -> int:
        """How many mixed (node, state) copies must be computed."""
        return sum(len(states) for states in self.reachable().values())

    def n_states(self) -> int:
        """The largest number of mixed states at one node: the factor over one forward pass is at most this."""
        return max(len(states) for states in self.reachable().values())

    def bound(self, max_copies: int) -> None:
        """Refuse a set that needs more than ``max_copies`` mixed copies.

        :raises FaultError: ``pathset.states`` (exit LIMIT).
        """
        if (copies := self.n_copies()) > max_copies:
            raise _too_many(copies, max_copies)

    def count(self, ways: Callable[[Link], int] | None = None) -> int:
        """The number of paths; ``ways`` gives each edge a multiplicity."""
        totals: dict[tuple[str, int], int] = {}
        reach = self.reachable()
        full: dict[str, int] = {}
        for node in self.dag.order:
            links = self.dag.in_links[node]
            weight = [ways(link) if ways else 1 for link in links]
            full[node] = sum(w * full[link.sender] for w, link in zip(weight, links, strict=True)) if links else 1
            totals[node, NO_PATHS], totals[node, ALL_PATHS] = 0, full[node]
            for state in reach[node]:
                totals[node, state] = sum(
                    w * totals[link.sender, child]
                    for w, link, child in zip(weight, links, self.dag.children(node, state), strict=True)
                )
        return totals[self.dag.output, self.state]

    def paths(self) -> Iterator[tuple[Link, ...]]:
        """Every path, as its links from the output backwards. Exponentially many: for small graphs and examples."""
        stack: list[tuple[str, int, tuple[Link, ...]]] = [(self.dag.output, self.state, ())]
        while stack:
            node, state, path = stack.pop()
            if state == NO_PATHS:
                continue
            if self.dag.is_input(node):
                yield path
                continue
            children = self.dag.children(node, state)
            for link, child in reversed(list(zip(self.dag.in_links[node], children, strict=True))):
                stack.append((link.sender, child, (*path, link)))

    def links(self) -> frozenset[Link]:
        """The edges that lie on some path of the set."""
        seen: dict[str, set[int]] = {node: set() for node in self.dag.order}
        seen[self.dag.output].add(self.state)
        used: set[Link] = set()
        for node in reversed(self.dag.order):
            for state in seen[node] - {NO_PATHS}:
                for link, child in zip(self.dag.in_links[node], self.dag.children(node, state), strict=True):
                    if child != NO_PATHS:
                        used.add(link)
                        seen[link.sender].add(child)
        return frozenset(used)

    def edge_closure(self) -> PathSet:
        """The smallest set given by edges that contains this one: all paths along the edges it uses."""
        return self.dag.along(self.links())

    def is_edge_circuit(self) -> bool:
        """Whether the set is all paths along some set of edges, so that one pass with cut edges evaluates it."""
        return self.edge_closure() == self


def _too_many(met: int, bound: int) -> FaultError:
    return FaultError(
        Fault(
            "pathset.states", f"{met} states are needed, more than the bound {bound}", hint="raise the bound or coarsen"
        ),
        ExitCode.LIMIT,
    )
