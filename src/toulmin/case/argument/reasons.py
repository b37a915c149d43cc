"""Why a node has the state it has, in one line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from toulmin.case.argument.evaluate import Evaluation
from toulmin.case.argument.graph import Argument, Vertex
from toulmin.case.argument.health import Health, Label
from toulmin.case.argument.verdict import Binding

MAX_NAMED = 12


@dataclass(frozen=True)
class Explainer:
    """Writes the reasons of nodes; ``texts`` are those of defeaters, ``notes`` what modules and expiries add."""

    argument: Argument
    state: Evaluation
    stale: frozenset[str]
    bindings: Mapping[str, Binding]
    notes: Mapping[str, Sequence[str]]
    texts: Mapping[str, str]
    _known: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def of(self, identifier: str) -> tuple[str, ...]:
        """Every reason of one node."""
        if identifier not in self._known:
            self._known[identifier] = self._find(identifier)
        return self._known[identifier]

    def _find(self, identifier: str) -> tuple[str, ...]:
        vertex = self.argument.vertices[identifier]
        lines = list(self.notes.get(identifier, ()))
        binding = self.bindings.get(identifier)
        if binding is not None:
            lines += binding.problems
            lines += [f"stale: {reason}" for reason in binding.stale]
        if vertex.control is not None and self.state.low[vertex.control] < Health.CONDITIONAL:
            lines.append(f"its positive control {vertex.control} is {self.state.low[vertex.control].word}")
        if vertex.type == "defeater":
            lines += self._of_defeater(vertex)
        else:
            lines += self._of_claim(vertex)
        return tuple(dict.fromkeys(lines))

    def _of_claim(self, vertex: Vertex) -> Iterator[str]:
        low = self.state.low
        if vertex.undeveloped or (vertex.type in ("goal", "strategy") and not vertex.children):
            yield "not developed yet"
        if vertex.children and low[vertex.id] < Health.SUPPORTED:
            weak = [child for child in vertex.children if low[child] < Health.SUPPORTED]
            if weak and (vertex.mode == "all" or low[vertex.id] < Health.CONDITIONAL):
                word = vertex.mode if isinstance(vertex.mode, str) else f"at least {vertex.mode}"
                yield f"{word} of its {len(vertex.children)} children needed: {_listed(weak, low)}"
        for child, attackers in vertex.link_attackers.items():
            for attacker in attackers:
                yield from self._attack(attacker, f"the step from {child}")
        for context in vertex.contexts:
            if self.argument.vertices[context].type == "assumption":
                yield f"assumes {context}" + (f", which is {low[context].word}" if low[context] < 4 else "")
            elif low[context] < Health.SUPPORTED:
                yield f"its context {context} is {low[context].word}"
        for attacker in vertex.attackers:
            yield from self._attack(attacker, "it")
        stale_below = [c for c in (*vertex.children, *vertex.contexts) if c in self.stale]
        if vertex.id in self.stale and stale_below:
            yield f"stale: {_named(stale_below)}"

    def _attack(self, attacker: str, what: str) -> Iterator[str]:
        label = self.state.labels[attacker]
        if label is Label.IN:
            yield f"defeater {attacker} stands against {what}: {self.texts[attacker]}"
        elif label is Label.UNDECIDED:
            yield f"defeater {attacker} against {what} is not answered: {self.texts[attacker]}"
        elif self.state.caveats[attacker]:
            yield f"defeater {attacker} against {what} is answered by somebody's word"

    def _of_defeater(self, vertex: Vertex) -> Iterator[str]:
        label, low = self.state.labels[vertex.id], self.state.low
        beaten = [a for a in vertex.attackers if self.state.labels[a] is Label.IN]
        if label is Label.OUT:
            if beaten:
                yield f"defeated by {_named(beaten)}"
            elif self.state.high[vertex.id] <= Health.UNDERMINED:
                yield f"its own support fails: {_listed(vertex.children, low)}"
            elif vertex.accepted:
                yield "a person accepts the doubt"
        elif label is Label.IN:
            yield "stands on its support" if vertex.children else "open: nothing answers it"
        elif low[vertex.id] < Health.CONDITIONAL:
            yield f"open: its own evidence decides nothing ({_listed(vertex.children, low)})"
        else:
            yield f"open: undecided against {_named(vertex.attackers)}"

    def causes(self, root: str) -> Iterator[str]:
        """Every leaf reason for which the root is not supported, found by following what holds it down."""
        low = self.state.low
        seen = {root}
        queue = [root]
        for identifier in queue:
            vertex = self.argument.vertices[identifier]
            weak = [c for c in vertex.children if low[c] < Health.SUPPORTED]
            if vertex.mode != "all" and low[identifier] >= Health.CONDITIONAL:
                weak = [c for c in weak if low[c] >= low[identifier]]
            below = [*weak, *(c for c in vertex.contexts if low[c] < Health.CONDITIONAL)]
            if vertex.control is not None and low[vertex.control] < Health.CONDITIONAL:
                below.append(vertex.control)
            standing = [a for a in vertex.attackers if self.state.labels[a] is not Label.OUT]
            standing += [a for s in vertex.link_attackers.values() for a in s if self.state.labels[a] is not Label.OUT]
            for reason in self.of(identifier):
                structural = " children needed: " in reason or reason.startswith(
                    ("assumes ", "stale: ", "its context ")
                )
                if not structural:
                    state = self.state.labels[identifier].value if vertex.type == "defeater" else low[identifier].word
                    yield f"{identifier} is {state}: {reason}"
            for found in (*below, *standing):
                if found not in seen:
                    seen.add(found)
                    queue.append(found)

    def stale_leaves(self, root: str) -> Iterator[str]:
        """Every leaf reason for which the root is stale."""
        seen = {root}
        queue = [root]
        for identifier in queue:
            vertex = self.argument.vertices[identifier]
            if identifier not in self.stale:
                continue
            binding = self.bindings.get(identifier)
            for reason in (*(binding.stale if binding else ()), *self.notes.get(identifier, ())):
                if vertex.stale:
                    yield f"{identifier} is stale: {reason}"
            for below in vertex.depends_on():
                if below not in seen:
                    seen.add(below)
                    queue.append(below)


def _named(names: Sequence[str]) -> str:
    rest = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _listed(names: Sequence[str], low: Mapping[str, Health]) -> str:
    return _named([f"{name} {low[name].word}" for name in names])
