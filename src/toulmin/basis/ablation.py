"""Ablations in a basis: how many features, and how many interactions, does the network need?

- *Nodes*: the activations of a site are projected on its first k features, x C_k C_k^+, and the rest of the network
  runs on that.
- *Edges*: of the interactions of a section the n largest are kept. Feature i of the next site is computed from the
  features j of this one whose edge (i, j) is kept, the others set to zero (with centred bases: to their mean).
  Interactions that come from the constant are always kept, and not counted. Outputs that keep the same inputs are
  computed together.

:func:`edges_needed` bisects for the smallest number whose score is within a tolerance of the whole network's, as
Bushnaq et al. 2024 ("The Local Interaction Basis", section 5) do; the mask it returns is the one that was tested.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from toulmin.basis.closed_forms import ClosedForm
from toulmin.basis.norm_mlp import NormMlp
from toulmin.basis.rotation import Rotation
from toulmin.basis.sections import Chain
from toulmin.faults import Fault, FaultError

Score = Callable[[Float[Tensor, "N P O"]], float]


def accuracy_of(answers: Tensor) -> Score:
    """The share of outputs [N, 1, O] whose largest entry is the answer; higher is better."""
    return lambda outputs: float((outputs[:, -1].argmax(-1) == answers).double().mean())


@torch.no_grad()
def ablate_nodes(
    chain: Chain, x: Float[Tensor, "N P d"], rotation: Rotation, counts: Sequence[int], score: Score
) -> dict[int, float]:
    """The score with the activations of the rotation's site projected on its first k features, for every k.

    A count that is not below the number of features changes nothing.

    :param x: activations of the chain's first site; ``score``: of the outputs of its last section.
    :raises FaultError: ``basis.unknown_site``, ``basis.count`` a negative count.
    """
    _check_counts(counts)
    number = chain.index(rotation.site)
    at = _run(chain, x, 0, number)
    found: dict[int, float] = {}
    for count in counts:
        projected = at if count >= rotation.width else at @ rotation.project(count).to(at.dtype)
        found[count] = score(_run(chain, projected, number, len(chain.sections)))
    return found


@dataclass(frozen=True)
class EdgesNeeded:
    """``count``: edges kept; ``mask`` [F, J]: which (with those from the constant), the one that was tested; ``score``:
    under it; ``whole``: of the whole network; ``tested``: every count tried, with its score."""

    count: int
    mask: Bool[Tensor, "F J"]
    score: float
    whole: float
    tested: Mapping[int, float]


def strongest_edges(edges: Float[Tensor, "F J"], count: int, *, constant: bool) -> Bool[Tensor, "F J"]:
    """The mask of the ``count`` largest interactions (and any equal to the last of them).

    :param constant: feature 0 of the site is the constant: its edges are kept, and not counted.
    """
    inner = edges[:, 1:] if constant else edges
    if count >= inner.numel():
        kept = torch.ones_like(inner, dtype=torch.bool)
    elif count == 0:
        kept = torch.zeros_like(inner, dtype=torch.bool)
    else:
        kept = inner >= inner.flatten().topk(count).values[-1]
    if not constant:
        return kept
    return torch.cat([torch.ones_like(kept[:, :1]), kept], 1)


@torch.no_grad()
def ablate_edges(
    chain: Chain,
    x: Float[Tensor, "N P d"],
    rotations: Sequence[Rotation],
    edges: Sequence[Float[Tensor, "F J"]],
    section: int,
    counts: Sequence[int],
    score: Score,
) -> dict[int, float]:
    """The score with only the n largest interactions of one section, for every n.

    :param rotations: of every site but the last, ``edges`` of every section (:class:`InteractionGraph`).
    :raises FaultError: ``basis.count`` a negative count, ``basis.unknown_site`` no such section.
    """
    _check_counts(counts)
    tester = _Tester(chain, x, rotations, edges, section, score)
    return {count: tester.score(tester.mask(count)) for count in counts}


@torch.no_grad()
def edges_needed(
    chain: Chain,
    x: Float[Tensor, "N P d"],
    rotations: Sequence[Rotation],
    edges: Sequence[Float[Tensor, "F J"]],
    section: int,
    score: Score,
    *,
    tolerance: float = 1e-3,
    lower_is_better: bool = False,
    most: int | None = None,
) -> EdgesNeeded:
    """The smallest number of edges, found by bisection, with a score within ``tolerance`` of the whole network's.

    The score need not be monotone in the number, so this is where bisection from d_in d_out edges ends, as in the
    reference; ``tested`` has the whole path.

    :param tolerance: of the score, one way; :param most: stop after this many scores, with the fewest found so far.
    """
    tester = _Tester(chain, x, rotations, edges, section, score)
    whole = tester.whole
    few, enough = 0, rotations[section].C.shape[0] * tester.width
    tested = {enough: whole}
    sign = -1.0 if lower_is_better else 1.0
    # the reference bisects the number of edges that are left out, so halves round towards keeping more
    while enough - few > 1 and (most is None or len(tested) <= most):
        count = enough - (enough - few) // 2
        tested[count] = tester.score(tester.mask(count))
        if sign * tested[count] >= sign * whole - tolerance:
            enough = count
        else:
            few = count
    return EdgesNeeded(enough, tester.mask(enough), tested[enough], whole, tested)


class _Tester:
    """The score of the network with a mask on one section's interactions."""

    def __init__(
        self,
        chain: Chain,
        x: Tensor,
        rotations: Sequence[Rotation],
        edges: Sequence[Tensor],
        section: int,
        score: Score,
    ) -> None:
        if not 0 <= section < len(chain.sections):
            raise FaultError(
                Fault("basis.unknown_site", f"there are {len(chain.sections)} sections", name=str(section))
            )
        self.chain, self.section, self._score = chain, section, score
        self.own, self.edges = rotations[section], edges[section]
        self.after = rotations[section + 1] if section + 1 < len(rotations) else None
        self.at = _run(chain, x, 0, section)
        self.features = self.at @ self.own.C.to(x.dtype)
        self.whole = score(_run(chain, self.at, section, len(chain.sections)))
        self.width = self.edges.shape[0] if self.after is None else self.after.C.shape[0]
        C = torch.eye(self.width) if self.after is None else self.after.C
        self._read = self._reader(C.to(x))

    def _reader(self, readout: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """A function of masks of the features kept and of the outputs: what is read of the section by these outputs."""
        section, inverse = self.chain.sections[self.section], self.own.C_inverse.to(self.at.dtype)
        if isinstance(section, NormMlp):
            return section.reader(self.features, inverse, readout)

        def read(kept: Tensor, outputs: Tensor) -> Tensor:
            features, back, columns = self.features[..., kept], inverse[kept], readout[:, outputs]
            if isinstance(section, ClosedForm):
                return section.read(features, back, columns)
            return section(features @ back) @ columns

        return read

    def mask(self, count: int) -> Tensor:
        return strongest_edges(self.edges, count, constant=self.own.constant)

    def score(self, mask: Tensor) -> float:
        if bool(mask.all()):
            return self.whole
        patterns, which = mask.unique(dim=0, return_inverse=True)
        out: Tensor | None = None
        for number, pattern in enumerate(patterns):
            outputs = which == number
            written = self._read(pattern, outputs)
            if out is None:
                out = written.new_zeros(*written.shape[:-1], len(mask))
            out[..., outputs] = written
        assert out is not None
        if self.after is not None:
            out = out @ self.after.C_inverse.to(out.dtype)
        return self._score(_run(self.chain, out, self.section + 1, len(self.chain.sections)))


def _run(chain: Chain, x: Tensor, start: int, end: int) -> Tensor:
    for section in chain.sections[start:end]:
        x = section(x)
    return x


def _check_counts(counts: Sequence[int]) -> None:
    faults = [Fault("basis.count", f"{count} is negative") for count in counts if count < 0]
    if faults:
        raise FaultError(faults)
