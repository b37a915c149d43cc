"""A small reference executor for path sets over arbitrary scalar graphs.

Each node is a function of its senders' values, in the order of its in-edges. ``G_P(clean, counterfactual)`` is computed
as for Transformers: every (node, state) once, ``ALL_PATHS`` from the clean run, ``NO_PATHS`` from the other. It is
what the worked examples of the documentation and the property tests use; values may be floats, arrays or tensors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toulmin.faults import Fault, FaultError
from toulmin.patching.pathset import ALL_PATHS, NO_PATHS, Dag, Link, PathSet

Value = Any


@dataclass(frozen=True)
class ScalarGraph:
    """A graph of functions: ``functions[node]`` is called with the values of ``senders[node]``, in that order.

    Inputs are the senders that are no key of ``functions``.
    """

    functions: Mapping[str, Callable[..., Value]]
    senders: Mapping[str, Sequence[str]]
    output: str
    dag: Dag = field(init=False)

    def __post_init__(self) -> None:
        links = {
            node: [Link(sender, node, index) for index, sender in enumerate(self.senders[node])]
            for node in self.functions
        }
        inputs = {sender for senders in self.senders.values() for sender in senders} - set(self.functions)
        object.__setattr__(self, "dag", Dag({**{name: [] for name in sorted(inputs)}, **links}, self.output))

    def paths(self, *texts: str) -> PathSet:
        """The set of paths written ``x > a > y``; parallel edges are all taken.

        :raises FaultError: ``scalar.unknown_path`` for a step that is no edge.
        """
        chosen: list[tuple[Link, ...]] = []
        faults: list[Fault] = []
        for text in texts:
            names = [part.strip() for part in text.split(">")]
            partial: list[tuple[Link, ...]] = [()]
            if names[-1] != self.output:
                faults.append(Fault("scalar.unknown_path", f"does not end at {self.output}", name=text))
                continue
            for sender, receiver in reversed(list(itertools.pairwise(names))):
                links = [link for link in self.dag.in_links.get(receiver, ()) if link.sender == sender]
                if not links:
                    faults.append(Fault("scalar.unknown_path", f"{receiver} does not read {sender}", name=text))
                    partial = []
                    break
                partial = [(*path, link) for path in partial for link in links]
            chosen.extend(partial)
        if faults:
            raise FaultError(faults)
        return self.dag.of_paths(chosen)

    def forward(self, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """The value of every node on ordinary inputs."""
        values: dict[str, Value] = {}
        for node in self.dag.order:
            values[node] = (
                inputs[node]
                if self.dag.is_input(node)
                else self.functions[node](*(values[link.sender] for link in self.dag.in_links[node]))
            )
        return values

    def patched(self, paths: PathSet, clean: Mapping[str, Value], counterfactual: Mapping[str, Value]) -> Value:
        """The output ``G_P(clean, counterfactual)``: copies of inputs at the end of a path in ``P`` read ``clean``."""
        known = {ALL_PATHS: self.forward(clean), NO_PATHS: self.forward(counterfactual)}
        reach = paths.reachable()
        mixed: dict[tuple[str, int], Value] = {}

        def value(node: str, state: int) -> Value:
            return known[state][node] if state <= ALL_PATHS else mixed[node, state]

        for node in self.dag.order:
            for state in reach[node]:
                children = self.dag.children(node, state)
                mixed[node, state] = self.functions[node](
                    *(value(link.sender, child) for link, child in zip(self.dag.in_links[node], children, strict=True))
                )
        return value(self.dag.output, paths.state)
