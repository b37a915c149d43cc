"""The ablation methodology as data (Miller et al. 2024, section 2): every choice that moves a faithfulness number.

Take a circuit C and the set K that stays: K = C when the complement is ablated, K = the complement when the circuit is.

- ``direction="noising"``: run the clean prompt and replace the edges outside K by ablated values that come from the
  counterfactual side. ``"denoising"``: run the counterfactual prompt and replace the edges inside K by values that come
  from the clean side (AutoCircuit's TREE_PATCH and EDGE_PATCH).
- ``granularity``: ``"edges"``, K as it is; ``"nodes"``, every edge out of a component that has an edge in C;
  ``"branches"``, only the edges on a complete path from the embedding to the logits inside K.
- ``ablation``: the value that a replaced edge carries.
- ``positions``: ``"circuit"``, each edge at the token positions the circuit names (at all, where it names none);
  ``"all"``, an edge that the circuit names at any position is kept at every position.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import BaseModel, ModelWrapValidatorHandler, ValidationError, model_validator

from toulmin.circuits.circuit import Circuit
from toulmin.faults import FaultError, faults_of_validation

Granularity = Literal["edges", "nodes", "branches"]
Ablation = Literal[
    "resample",
    "zero",
    "mean_clean",
    "mean_counterfactual",
    "mean_both",
    "batch_mean",
    "batch_mean_all_positions",
    "learned",
]
Direction = Literal["noising", "denoising"]
Positions = Literal["circuit", "all"]
ABLATIONS: tuple[Ablation, ...] = (
    "resample", "zero", "mean_clean", "mean_counterfactual", "mean_both", "batch_mean", "batch_mean_all_positions",
)  # fmt: skip


class Methodology(BaseModel, frozen=True, extra="forbid"):
    """One way to ablate; frozen, hashable, and part of every result.

    ``mean_*`` are means per position over the whole dataset of that side, ``batch_mean`` over the batch of the side the
    ablated values come from, ``batch_mean_all_positions`` over its positions too, ``learned`` constants trained to hurt
    least (optimal ablation, Li and Janson 2024).

    :raises FaultError: ``circuits.methodology``, one for every choice that there is not.
    """

    granularity: Granularity = "edges"
    ablation: Ablation = "resample"
    positions: Positions = "circuit"
    ablate: Literal["complement", "circuit"] = "complement"
    direction: Direction = "noising"

    @model_validator(mode="wrap")
    @classmethod
    def _named_choices(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            raise FaultError(faults_of_validation(error, "circuits.methodology")) from None

    def __str__(self) -> str:
        parts = [self.granularity, self.ablation, self.direction]
        parts += ["all-positions"] if self.positions == "all" else []
        parts += ["ablate-circuit"] if self.ablate == "circuit" else []
        return "/".join(parts)

    @property
    def exact(self) -> bool:
        """Whether an ablated component equals its cached run, so that dangling edges do not matter."""
        return self.ablation == "resample" and self.direction == "noising"

    def kept(self, circuit: Circuit, positions: int | None = None, *, causal: bool = True) -> Circuit:
        """The edges that stay, K.

        :param positions: the prompts' length, if it is to be checked against the circuit's.
        :raises FaultError: the circuit's positions are those of prompts of another length.
        """
        if self.positions == "all":
            circuit = circuit.without_positions()
        elif positions is not None and circuit.positions is not None:
            circuit = circuit.at_positions(positions)
        if self.granularity == "nodes":
            circuit = _whole_nodes(circuit)
        kept = ~circuit if self.ablate == "circuit" else circuit
        return kept.pruned(causal=causal) if self.granularity == "branches" else kept


def _whole_nodes(circuit: Circuit) -> Circuit:
    """Every edge out of a component that has an edge in the circuit, at the positions at which it has one."""
    out_of = circuit.table.any(axis=1, keepdims=True)
    allowed = circuit.graph.allowed if circuit.positions is None else circuit.graph.allowed[:, :, None]
    return Circuit(circuit.graph, allowed & out_of)


def grid(
    granularities: Iterable[Granularity] = ("edges", "nodes", "branches"),
    ablations: Iterable[Ablation] = ABLATIONS,
    directions: Iterable[Direction] = ("noising", "denoising"),
    *,
    all_positions: bool = False,
) -> tuple[Methodology, ...]:
    """The methodologies a card evaluates, without those that coincide or mean nothing.

    Left out: denoising with anything but resampling (a zero is no clean value), and branches where they equal edges
    (resampling with noising). ``all_positions`` adds each with the circuit's edges kept at every position, which
    differs only for a circuit whose edges have positions.
    """
    found: list[Methodology] = []
    places: tuple[Positions, ...] = ("circuit", "all") if all_positions else ("circuit",)
    for granularity, ablation, direction, where in itertools.product(granularities, ablations, directions, places):
        method = Methodology(granularity=granularity, ablation=ablation, direction=direction, positions=where)
        if direction == "denoising" and ablation != "resample":
            continue
        if granularity == "branches" and method.exact:
            continue
        found.append(method)
    return tuple(found)
