"""The reasons for which an element has the state that it has, each in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from toulmin.case.argument.evaluate import Evaluation, contrary_evidence
from toulmin.case.argument.graph import Argument, Vertex
from toulmin.case.argument.health import Health, Label, Outcome
from toulmin.case.argument.verdict import Binding, Comparison, Reason

MAX_NAMED = 12
#: reasons that only point at another element, whose own reasons are then listed
_SAID_BELOW = frozenset({"support", "assumption", "context", "stale"})


@dataclass(frozen=True)
class Explainer:
    """Writes the reasons of nodes; ``texts`` are those of defeaters, ``notes`` what modules and expiries add."""

    argument: Argument
    state: Evaluation
    stale: frozenset[str]
    bindings: Mapping[str, Binding]
    notes: Mapping[str, Sequence[Reason]]
    texts: Mapping[str, str]
    _known: dict[str, tuple[Reason, ...]] = field(default_factory=dict[str, tuple[Reason, ...]])

    def of(self, identifier: str) -> tuple[Reason, ...]:
        """Every reason of one node."""
        if identifier not in self._known:
            self._known[identifier] = tuple(dict.fromkeys(self._find(identifier)))
        return self._known[identifier]

    def _find(self, identifier: str) -> Iterator[Reason]:
        vertex = self.argument.vertices[identifier]
        yield from self.notes.get(identifier, ())
        binding = self.bindings.get(identifier)
        if binding is not None:
            for comparison in binding.comparisons:
                if comparison.outcome is not Outcome.PASS:
                    yield Reason("criterion", identifier, f"{comparison.text}: {_why_not(comparison)}")
            yield from (Reason("binding", identifier, problem) for problem in binding.problems)
            yield from (Reason("stale", identifier, f"stale: {reason}") for reason in binding.stale)
        control = vertex.control
        if control is not None and self.state.low[control] < Health.CONDITIONAL:
            text = f"its positive control {control} is {self.state.low[control].word}"
            yield Reason("control", identifier, text, names=(control,))
        yield from self._of_defeater(vertex) if vertex.type == "defeater" else self._of_claim(vertex)

    def _of_claim(self, vertex: Vertex) -> Iterator[Reason]:
        low = self.state.low
        if vertex.undeveloped or (vertex.type in ("goal", "strategy") and not vertex.children):
            yield Reason("undeveloped", vertex.id, "not developed yet")
        if vertex.children and low[vertex.id] < Health.SUPPORTED:
            weak = [child for child in vertex.children if low[child] < Health.SUPPORTED]
            if weak and (vertex.mode == "all" or low[vertex.id] < Health.CONDITIONAL):
                word = vertex.mode if isinstance(vertex.mode, str) else f"at least {vertex.mode}"
                text = f"{word} of its {len(vertex.children)} children needed: {_listed(weak, low)}"
                yield Reason("support", vertex.id, text, names=tuple(weak[:MAX_NAMED]))
        for child, attackers in vertex.link_attackers.items():
            for attacker in attackers:
                yield from self._attack(vertex, attacker, f"the step from {child}", child)
        for context in vertex.contexts:
            if self.argument.vertices[context].type == "assumption":
                text = f"assumes {context}" + (f", which is {low[context].word}" if low[context] < 4 else "")
                yield Reason("assumption", vertex.id, text, names=(context,))
            elif low[context] < Health.SUPPORTED:
                yield Reason("context", vertex.id, f"its context {context} is {low[context].word}", names=(context,))
        for attacker in vertex.attackers:
            yield from self._attack(vertex, attacker, "it")
        stale_below = [c for c in (*vertex.children, *vertex.contexts) if c in self.stale]
        if vertex.id in self.stale and stale_below:
            yield Reason("stale", vertex.id, f"stale: {_named(stale_below)}", names=tuple(stale_below[:MAX_NAMED]))

    def _attack(self, vertex: Vertex, attacker: str, what: str, *names: str) -> Iterator[Reason]:
        label, words, names = self.state.labels[attacker], self.texts[attacker], (attacker, *names)
        kind = "open problem" if self.argument.vertices[attacker].kind == "open_problem" else "defeater"
        if label is Label.IN:
            yield Reason("challenge", vertex.id, f"{kind} {attacker} stands against {what}: {words}", names=names)
        elif label is Label.UNDECIDED:
            text = f"{kind} {attacker} against {what} is not answered: {words}"
            yield Reason("challenge", vertex.id, text, names=names)
        elif self.state.caveats[attacker]:
            text = f"{kind} {attacker} against {what} is answered by somebody's word"
            yield Reason("word", vertex.id, text, names=names)

    def _of_defeater(self, vertex: Vertex) -> Iterator[Reason]:
        label, low = self.state.labels[vertex.id], self.state.low
        beaten = [a for a in vertex.attackers if self.state.labels[a] is Label.IN]
        against = [child.id for child in contrary_evidence(vertex, self.state)]
        if vertex.dormant:
            yield self._said(vertex, "dormant: nothing below what it attacks is bound to a study yet")
        elif label is Label.OUT:
            if beaten:
                yield self._said(vertex, f"defeated by {_named(beaten)}", beaten)
            elif against:
                text = f"its own evidence shows the contrary: {_listed(against, low)}"
                yield self._said(vertex, text, against)
            elif vertex.accepted:
                yield self._said(vertex, "a person accepts the doubt")
        elif label is Label.IN:
            yield self._said(vertex, "stands on its support" if vertex.children else "open: nothing answers it")
        elif low[vertex.id] < Health.CONDITIONAL:
            text = f"open: what supports it decides nothing ({_listed(vertex.children, low)}), which answers nothing"
            yield self._said(vertex, text, vertex.children)
        else:
            yield self._said(vertex, f"open: undecided against {_named(vertex.attackers)}", vertex.attackers)

    def _said(self, vertex: Vertex, text: str, names: Sequence[str] = ()) -> Reason:
        return Reason("defeater", vertex.id, text, names=tuple(names[:MAX_NAMED]))

    def causes(self, root: str) -> Iterator[Reason]:
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
            state = self.state.labels[identifier].value if vertex.type == "defeater" else low[identifier].word
            for reason in self.of(identifier):
                if reason.kind not in _SAID_BELOW:
                    yield replace(reason, state=state)
            for found in (*below, *standing):
                if found not in seen:
                    seen.add(found)
                    queue.append(found)

    def stale_leaves(self, root: str) -> Iterator[Reason]:
        """Every leaf reason for which the root is stale."""
        seen = {root}
        queue = [root]
        for identifier in queue:
            vertex = self.argument.vertices[identifier]
            if identifier not in self.stale:
                continue
            binding = self.bindings.get(identifier)
            if vertex.stale:
                why = (*(binding.stale if binding else ()), *(note.text for note in self.notes.get(identifier, ())))
                yield from (Reason("stale", identifier, text, state="stale") for text in why)
            for below in vertex.depends_on():
                if below not in seen:
                    seen.add(below)
                    queue.append(below)


def _named(names: Sequence[str]) -> str:
    rest = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _listed(names: Sequence[str], low: Mapping[str, Health]) -> str:
    return _named([f"{name} {low[name].word}" for name in names])


def _why_not(comparison: Comparison) -> str:
    if comparison.value is None:
        return comparison.note
    number = f"{comparison.value:.4g}"
    if comparison.low is not None and comparison.high is not None and comparison.low != comparison.high:
        number += f" [{comparison.low:.4g}, {comparison.high:.4g}]"
    return f"{comparison.outcome.value}: {number}" + (f", {comparison.note}" if comparison.note else "")
