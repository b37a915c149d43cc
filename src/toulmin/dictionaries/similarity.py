"""How alike dictionaries are, and how their features lie: the geometric analyses of Braun et al. 2024, section 4.

- within one dictionary: for each feature the largest cosine with another of the same dictionary;
- across two (seeds, or ways of training): for each feature of the first the largest cosine with one of the second, and
  the share that is found again (cosine of at least 0.8, matched one to one);
- the PCA map: directions of several dictionaries on the two main axes of all of them together;
- ablating principal directions of a site: how much the model's output depends on each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from toulmin.dictionaries.output_loss import original_output, output_losses
from toulmin.dictionaries.recovery import FOUND, match_directions
from toulmin.dictionaries.sites import clean_pass, find_sites, run_layer
from toulmin.evidence import Chart, Table
from toulmin.subjects import Transformer

Array = NDArray[np.float64]
_ROWS = 4096  #: of a similarity matrix that are held at once


@torch.no_grad()
def largest_cosines(first: Float[Tensor, "F D"], second: Float[Tensor, "G D"] | None = None) -> Float[Tensor, " F"]:
    """For each row of ``first`` the largest cosine with a row of ``second``; without it with another row of its own."""
    own = second is None
    a = functional.normalize(first.float(), dim=1)
    b = a if second is None else functional.normalize(second.float(), dim=1)
    found = []
    for start in range(0, len(a), _ROWS):
        cosine = a[start : start + _ROWS] @ b.T
        if own:
            rows = torch.arange(len(cosine))
            cosine[rows, rows + start] = -1
        found.append(cosine.amax(1))
    return torch.cat(found)


@dataclass(frozen=True)
class Similarity:
    """Of two dictionaries: the largest cosine of each feature of the first, and the share of features found again."""

    cosines: Array
    found_again: float

    @property
    def mean(self) -> float:
        """The mean of the largest cosines."""
        return float(self.cosines.mean())


def compare_dictionaries(first: Float[Tensor, "F D"], second: Float[Tensor, "G D"]) -> Similarity:
    """How much of the first set of directions is in the second."""
    cosines = largest_cosines(first, second).double().cpu().numpy()
    matched, _ = match_directions(second, first)
    return Similarity(cosines, float((matched >= FOUND).mean()))


def similarity_table(directions: Mapping[str, Float[Tensor, "F D"]]) -> tuple[Table, Chart]:
    """Every pair of dictionaries, itself included (within): mean largest cosine, and share found again."""
    rows, histograms = [], {}
    for a, first in directions.items():
        for b, second in directions.items():
            if a == b:
                within = largest_cosines(first).double().cpu().numpy()
                rows.append((a, "itself", float(within.mean()), None))
                histograms[f"{a}, itself"] = within
            else:
                found = compare_dictionaries(first, second)
                rows.append((a, b, found.mean, found.found_again))
                histograms[f"{a}, {b}"] = found.cosines
    columns = ("dictionary", "compared with", "mean largest cosine", f"found again (cosine {FOUND})")
    chart = Chart.histogram(histograms, title="Largest cosine of each feature", unit="cosine", bins=40)
    return Table(title="Similarity of dictionaries", columns=columns, rows=tuple(rows)), chart


def direction_map(directions: Mapping[str, Float[Tensor, "F D"]]) -> Chart:
    """All directions on the two main axes of all of them together (not centred: a direction has an origin)."""
    units = {name: functional.normalize(value.detach().double(), dim=1) for name, value in directions.items()}
    together = torch.cat(list(units.values()))
    axes = torch.linalg.svd(together, full_matrices=False).Vh[:2]
    places = (together @ axes.T).cpu().numpy()
    groups = [name for name, value in units.items() for _ in range(len(value))]
    return Chart.scatter(
        places[:, 0], places[:, 1], title="Map of directions", x="first axis", y="second axis", groups=groups
    )


@torch.no_grad()
def ablate_principal_directions(
    model: Transformer, site: str, tokens: Int[Tensor, "B T"], count: int = 32
) -> tuple[Array, Array]:
    """The site's variance along each of its ``count`` main directions, and KL(model || direction set to its mean).

    Directions by variance: where the second falls much faster than the first, or slower, variance is not importance.
    """
    (where,) = find_sites([site], model.config)
    clean = clean_pass(model, tokens, [where.writes], [where.layer], whole=True)
    assert clean.final is not None
    x = clean.activations[where.writes]
    mean = x.flatten(0, -2).double().mean(0)
    centred = x.flatten(0, -2).double() - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    original = original_output(model, clean.final, share=True)
    found = []
    for direction in vectors.flip(1).T[:count].to(x.dtype):

        def visit(name: str, value: Tensor, d: Tensor = direction) -> Tensor:
            if name != where.writes:
                return value
            return value - ((value - mean.to(value.dtype)) @ d)[..., None] * d

        at, resid = model.positions(tokens.shape[-1]), clean.starts[where.layer]
        for layer in model.layers[where.layer :]:
            resid = run_layer(layer, resid, at, visit)
        kl, _ = output_losses(model, resid, original, None)
        assert kl is not None
        found.append(float(kl))
    return values.flip(0)[:count].cpu().numpy(), np.array(found)
