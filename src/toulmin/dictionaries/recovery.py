"""How many true features a dictionary found, where the truth is known.

- MCC: features are matched one to one with true directions so that the sum of |cosine| is largest (Hungarian
  algorithm); MCC is the mean over the true features of the matched |cosine|. Unmatched true features count as 0.
- precision and recall at a cosine of 0.8: the share of alive features that match a true one that well, and the share of
  true features so matched.
- uniqueness: of the alive features, the share whose nearest true feature is nearest to no other feature.
- shrinkage: mean over tokens of |x^| / |x|; 1 where nothing is shrunk. Dead latents: the share never active.
- correlations: features are matched one to one with labels so that the sum of |Pearson correlation| between activation
  and label is largest; the mean over labels is the MCC where the truth has labels and no directions.
- F1: for each true label the best F1 of "feature j is active" as a detector of it, over j, and how many features a
  greedy union needs before F1 grows by less than 0.01.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from toulmin.dictionaries.architectures.dictionary import Dictionary

FOUND = 0.8  #: cosine from which a feature counts as the true one
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Recovery:
    """What of the true features a dictionary found; ``matched`` [G] is |cosine| with the matched feature."""

    matched: Array
    precision: float
    recall: float
    uniqueness: float
    dead: float
    shrinkage: float
    l0: float
    explained_variance: float

    @property
    def mcc(self) -> float:
        """The mean matched |cosine| over true features."""
        return float(self.matched.mean())

    @property
    def f1(self) -> float:
        """Of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def match_directions(found: Float[Tensor, "F D"], true: Float[Tensor, "G D"]) -> tuple[Array, NDArray[np.int64]]:
    """[G] |cosine| of each true direction with the feature matched to it, and which feature that is (-1: none)."""
    from scipy.optimize import linear_sum_assignment

    cosine = (functional.normalize(true.double(), dim=1) @ functional.normalize(found.double(), dim=1).T).abs()
    rows, columns = linear_sum_assignment(-cosine.cpu().numpy())
    values, places = np.zeros(len(true)), np.full(len(true), -1)
    values[rows], places[rows] = cosine.cpu().numpy()[rows, columns], columns
    return values, places


@torch.no_grad()
def measure_recovery(dictionary: Dictionary, x: Float[Tensor, "N D"], true: Float[Tensor, "G D"]) -> Recovery:
    """Recovery of the true directions, and how the dictionary is used on the inputs ``x``."""
    mode = dictionary.training
    dictionary.eval()
    output, codes = dictionary(x)
    dictionary.train(mode)
    alive = (codes > 0).any(0)
    directions = dictionary.directions[alive]
    if not len(directions):
        return Recovery(np.zeros(len(true)), 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    matched, _ = match_directions(directions, true)
    good = int((matched >= FOUND).sum())
    cosine = functional.normalize(directions, dim=1) @ functional.normalize(true.to(directions.dtype), dim=1).T
    nearest = cosine.abs().argmax(1)
    counts = torch.bincount(nearest, minlength=len(true))
    return Recovery(
        matched,
        good / len(directions),
        good / len(true),
        float((counts[nearest] == 1).double().mean()),
        1 - float(alive.double().mean()),
        float((output.norm(dim=1) / x.norm(dim=1).clamp(min=1e-12)).mean()),
        float((codes > 0).sum(1).double().mean()),
        1 - float((output - x).pow(2).sum() / (x - x.mean(0)).pow(2).sum()),
    )


def match_correlations(codes: Float[Tensor, "N F"], labels: Bool[Tensor, "N G"]) -> Array:
    """[G] |correlation| of each label with the activation of the feature matched to it; 0 where none is left."""
    from scipy.optimize import linear_sum_assignment

    a, b = (x.double() - x.double().mean(0) for x in (codes, labels))
    scale = a.norm(dim=0)[:, None] * b.norm(dim=0)[None, :]
    found = torch.where(scale > 0, (a.T @ b).abs() / scale.clamp(min=1e-300), 0.0).T.cpu().numpy()
    rows, columns = linear_sum_assignment(-found)
    values = np.zeros(labels.shape[1])
    values[rows] = found[rows, columns]
    return values


@dataclass(frozen=True)
class LabelRecovery:
    """For each label: the best single feature, its F1, and how many features a greedy union uses, with its F1."""

    names: tuple[str, ...]
    best: NDArray[np.int64]
    f1: Array
    needed: NDArray[np.int64]
    union_f1: Array


def _f1(predicted: Bool[Tensor, "N *F"], label: Bool[Tensor, " N"]) -> Float[Tensor, "*F"]:
    hits = (predicted & label.view(-1, *[1] * (predicted.ndim - 1))).sum(0).double()
    return 2 * hits / (predicted.sum(0) + label.sum()).clamp(min=1).double()


@torch.no_grad()
def recover_labels(
    selecting: tuple[Bool[Tensor, "N F"], Bool[Tensor, "N G"]],
    testing: tuple[Bool[Tensor, "M F"], Bool[Tensor, "M G"]],
    names: tuple[str, ...],
    most: int = 8,
) -> LabelRecovery:
    """Choose features for each label on the first data, measure F1 on the second, so that choosing is not rewarded.

    :param selecting: which features are active, and which labels hold, on the tokens to choose on.
    :param most: features in a union.
    """
    active, labels = selecting
    best, f1, needed, union = [], [], [], []
    for index in range(labels.shape[1]):
        label, chosen = labels[:, index], torch.zeros(len(labels), dtype=torch.bool)
        picked: list[int] = []
        reached = 0.0
        while len(picked) < most:
            scores = _f1(active | chosen[:, None], label)
            place = int(scores.argmax())
            if float(scores[place]) < reached + 0.01:
                break
            reached, chosen = float(scores[place]), chosen | active[:, place]
            picked.append(place)
        if not picked:
            picked = [int(_f1(active, label).argmax())]
        test, truth = testing[0], testing[1][:, index]
        best.append(picked[0])
        f1.append(float(_f1(test[:, picked[0]], truth)))
        needed.append(len(picked))
        union.append(float(_f1(test[:, picked].any(1), truth)))
    return LabelRecovery(names, np.array(best), np.array(f1), np.array(needed), np.array(union))
