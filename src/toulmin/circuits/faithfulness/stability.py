"""How much a discovered circuit depends on what it was discovered with.

The same method is run again on other prompts, other templates, another seed or threshold, and the circuits are
compared: how often each edge is in (its inclusion frequency), and how alike two circuits are,

.. math:: J(A, B) = |A \\cap B| / |A \\cup B|

(Jaccard). The *core* are the edges in at least 90% of the draws; the other edges that occur are the *contingent* part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.edges import edge_name
from toulmin.evidence import Table, TabularResult
from toulmin.faults import Fault, FaultError

CORE = 0.9
_SHOWN = 20


@dataclass(frozen=True)
class Stability(TabularResult):
    """How alike several circuits of one model are.

    ``frequency``: ``[S, R]`` the share of circuits that have each edge. ``jaccard``: ``[n, n]`` of each two circuits.
    ``core``: the edges in at least the share ``threshold``; ``contingent``: those in fewer, but in some.
    """

    frequency: NDArray[np.float64]
    jaccard: NDArray[np.float64]
    core: Circuit
    contingent: Circuit
    sizes: tuple[int, ...]
    threshold: float = CORE

    @property
    def mean_jaccard(self) -> float:
        """The mean over all two different circuits: 1 where they are equal, 0 where no two share an edge."""
        return float(self.jaccard[np.triu_indices(len(self.jaccard), 1)].mean())

    def tables(self) -> tuple[Table, ...]:
        """The numbers, and the contingent edges that are in most circuits."""
        pairs = self.jaccard[np.triu_indices(len(self.jaccard), 1)]
        rows = (
            ("circuits", len(self.sizes)),
            ("smallest size", min(self.sizes)),
            ("largest size", max(self.sizes)),
            (f"core: edges in at least {self.threshold:.0%}", len(self.core)),
            ("contingent: edges in fewer", len(self.contingent)),
            ("mean Jaccard of two", float(pairs.mean())),
            ("least Jaccard of two", float(pairs.min())),
        )
        places = np.argwhere(self.contingent.table)
        order = np.argsort(-self.frequency[self.contingent.table], kind="stable")[:_SHOWN]
        graph = self.core.graph
        edges = tuple(
            (edge_name(graph, int(s), int(r)), float(self.frequency[s, r])) for s, r in places[order].tolist()
        )
        return (
            Table(title="Stability", columns=("of the circuits", "value"), rows=rows),
            Table(title="Contingent edges", columns=("edge", "share of circuits"), rows=edges),
        )


def stability(circuits: Sequence[Circuit], *, threshold: float = CORE) -> Stability:
    """Compare circuits that one method found on different draws; edges at positions count where they are anywhere.

    :param threshold: the share of circuits from which an edge belongs to the core.
    :raises FaultError: ``circuits.stability``: fewer than two circuits, or a share that is not above 0 and at most 1;
        ``circuits.graph``: circuits of different models.
    """
    faults: list[Fault] = []
    if len(circuits) < 2:
        faults.append(Fault("circuits.stability", f"{len(circuits)} circuits cannot be compared", hint="give several"))
    if not 0 < threshold <= 1:
        faults.append(Fault("circuits.stability", f"{threshold} is no share", name="threshold"))
    if len({circuit.graph for circuit in circuits}) > 1:
        faults.append(Fault("circuits.graph", "the circuits are of different models"))
    if faults:
        raise FaultError(faults)
    graph = circuits[0].graph
    tables = np.stack([circuit.without_positions().table for circuit in circuits])
    frequency = tables.mean(0)
    jaccard = np.eye(len(circuits))
    for a, b in combinations(range(len(circuits)), 2):
        either = int((tables[a] | tables[b]).sum())
        both = int((tables[a] & tables[b]).sum())
        jaccard[a, b] = jaccard[b, a] = both / either if either else 1.0  # two empty circuits are equal
    enough = frequency >= threshold - 1e-9
    core, contingent = Circuit(graph, enough & (frequency > 0)), Circuit(graph, ~enough & (frequency > 0))
    return Stability(frequency, jaccard, core, contingent, tuple(map(len, circuits)), threshold)
