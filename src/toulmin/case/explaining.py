"""One element explained: its state, why, what it rests on, what rests on it, and what the root becomes without it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from toulmin.case.argument.health import Freshness
from toulmin.case.argument.sensitivity import effect_of
from toulmin.case.argument.verdict import Binding, NodeVerdict, Verdict
from toulmin.case.checking import Checked
from toulmin.case.file.contents import accepted_contents
from toulmin.case.file.elements import EvidenceNode
from toulmin.faults import Fault, FaultError

MAX_LISTED = 20


def explain(checked: Checked, identifier: str | None = None) -> list[str]:
    """Lines that explain an element (the root, where none is named).

    :raises FaultError: there is no such element, or the case is too broken to evaluate.
    """
    verdict = checked.verdict
    name = identifier or verdict.root or ""
    node = verdict.nodes.get(name)
    if node is None or checked.evaluated is None:
        if checked.evaluated is None:
            raise FaultError(verdict.faults)
        near = difflib.get_close_matches(name, verdict.nodes, n=3)
        hint = "there are: " + ", ".join(near) if near else None
        raise FaultError(Fault("case.no_element", "no element of that name", verdict.file, name=name, hint=hint))
    return list(_lines(checked, verdict, node))


def _lines(checked: Checked, verdict: Verdict, node: NodeVerdict) -> Iterator[str]:
    state = node.label.value if node.label is not None else node.health.word
    yield f"{node.id} ({node.type}): {state}, {node.freshness.value}"
    yield f"  {node.text}"
    content = accepted_contents(checked.case, checked.attached).get(node.id) if checked.case is not None else None
    if content is not None:
        yield f'  who accepts this text may bind the acceptance to it: sha256 = "{content}"'
    if node.reasons:
        yield "why:"
        yield from (f"  {reason.text}" for reason in node.reasons)
    if node.binding is not None:
        yield from _binding(node.binding)
    written = checked.case.nodes.get(node.id) if checked.case is not None else None
    if isinstance(written, EvidenceNode) and written.example is not None:
        example = written.example
        preset = f" ({example.preset})" if example.preset else ""
        yield f"for example: {example.study}{preset} with {example.criterion}"
    if node.probability is not None:
        low, high = node.probability
        yield f"probability: [{low:.3g}, {high:.3g}]"
        if node.given_assumptions is not None and node.given_assumptions != node.probability:
            low, high = node.given_assumptions
            yield f"  given its unquantified assumptions: [{low:.3g}, {high:.3g}]"
    entries = checked.resting_of(node.id)
    if entries:
        yield "rests on:"
        for entry in entries[:MAX_LISTED]:
            who = (
                f"accepted by {entry.accepted_by} on {entry.accepted_on}" if entry.accepted_by else "accepted by nobody"
            )
            yield f"  {entry.kind} {entry.id}: {who}{', expired' if entry.expired else ''}"
        yield from _more(len(entries))
    above = [edge for edge in verdict.edges if edge.target == node.id]
    if above:
        yield "used by:"
        yield from (f"  {edge.source} ({edge.kind.replace('_', ' ')})" for edge in above[:MAX_LISTED])
        yield from _more(len(above))
    found = checked.evaluated
    if found is not None and verdict.root is not None:
        effect = effect_of(found.argument, found.state, found.stale, node.id)
        if effect is not None:
            yield f"if it is refuted, the root {verdict.root} is {effect.if_refuted.word}"
            yield f"if it is unsupported, the root is {effect.if_unsupported.word}"
            if effect.if_stale is Freshness.STALE:
                yield "if it is stale, the root is stale"


def _binding(binding: Binding) -> Iterator[str]:
    yield f"evidence of {binding.study or 'no study'}: {binding.outcome.value}"
    for comparison in binding.comparisons:
        interval = ""
        if comparison.low is not None and comparison.high is not None:
            interval = f" [{comparison.low:.4g}, {comparison.high:.4g}]"
        value = f"{comparison.value:.4g}" if comparison.value is not None else "nothing"
        yield f"  {comparison.text}: {comparison.outcome.value}, with {value}{interval}"
    for state in binding.inputs:
        change = "" if state.then == state.now else f", was {(state.then or 'absent')[:12]}"
        yield f"  {state.role} {state.reference}: {(state.now or 'unreadable')[:12]}{change}"
    if binding.control:
        yield f"  positive control {binding.control}"
    if binding.evidence:
        yield f"  record {binding.evidence[:12]}, made {binding.made}"
    yield f"  again: {binding.command}"


def _more(count: int) -> Iterator[str]:
    if count > MAX_LISTED:
        yield f"  and {count - MAX_LISTED} more"
