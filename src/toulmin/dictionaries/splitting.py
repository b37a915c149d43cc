"""Features as nodes of the computational graph: a component's output split into what its features write.

A dictionary of what a component (an MLP, or one head) writes to the residual stream makes it a sum:

    output = sum over chosen features of codes_j direction_j + what the other features and the bias write + error

Each addend is a source of :mod:`toulmin.patching`, so that a set of features is a hypothesis or a circuit like any
other (Marks et al. 2024, "Sparse Feature Circuits"). The error keeps the sum exact: without it a circuit of features
would be a circuit of another model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from toulmin.dictionaries.architectures.dictionary import Dictionary
from toulmin.faults import Fault, FaultError
from toulmin.subjects import Transformer

OTHER, ERROR = "other", "error"


class _Codes:
    """The dictionary's codes of the value seen last: all terms of a component ask for the same ones."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.dictionary = dictionary.eval()
        self._seen: Tensor | None = None
        self._codes: Tensor | None = None

    def __call__(self, value: Tensor) -> Tensor:
        if self._seen is not value or self._codes is None:
            self._seen, self._codes = value, self.dictionary.encode(value)
        return self._codes


def feature_terms(dictionary: Dictionary, features: Sequence[int]) -> dict[str, Callable[[Tensor], Tensor]]:
    """Functions of a component's output that sum to it: one for each of ``features`` (``f12``), ``other``, ``error``.

    For ``terms={"L2.mlp": feature_terms(dictionary, [12, 40])}`` of :func:`toulmin.patching.run_circuits`, or
    ``Graph.split``.

    :raises FaultError: (``dictionaries.split``) a feature that there is not or that is named twice, or a transcoder.
    """
    count = dictionary.config.n_features
    faults = [
        Fault("dictionaries.split", f"features are 0 to {count - 1}, each once", name=str(f))
        for f in features
        if not 0 <= f < count or list(features).count(f) > 1
    ]
    if dictionary.config.width_out != dictionary.config.d_in or dictionary.W_skip is not None:
        faults.append(Fault("dictionaries.split", "a transcoder reads another activation than it writes"))
    if faults:
        raise FaultError(faults)
    codes, directions = _Codes(dictionary), dictionary.directions.detach()
    chosen = list(features)

    def one(feature: int) -> Callable[[Tensor], Tensor]:
        return lambda value: codes(value)[..., feature, None] * directions[feature].to(value.dtype)

    def others(value: Tensor) -> Tensor:
        rest = codes(value).index_fill(-1, torch.tensor(chosen, dtype=torch.long), 0.0)
        return dictionary.decode(rest)

    def error(value: Tensor) -> Tensor:
        return value - dictionary.decode(codes(value))

    return {**{f"f{feature}": one(feature) for feature in chosen}, OTHER: others, ERROR: error}


@torch.no_grad()
def component_output(model: Transformer, component: str, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
    """What a component writes: the activations that its dictionary is trained on.

    A head's own bias b_O belongs to no head, an MLP's b_out to the MLP, as in :mod:`toulmin.patching`.
    """
    return model.run_with_cache(tokens, component)[1][component]


@torch.no_grad()
def rank_features(
    dictionary: Dictionary,
    clean: Float[Tensor, "B T D"],
    counterfactual: Float[Tensor, "B T D"],
    gradient: Float[Tensor, "B T D"],
) -> list[tuple[int, float]]:
    """Features by how much cutting each would change the metric, to first order, largest first.

    ``mean over prompts of sum over positions (codes_clean - codes_counterfactual)_j direction_j . gradient``, with the
    gradient of the metric with respect to what the component writes (attribution patching; Syed et al. 2023).
    """
    change = dictionary.encode(clean) - dictionary.encode(counterfactual)
    effect = (change * (gradient @ dictionary.directions.T.to(gradient.dtype))).sum(1).mean(0)
    order = effect.abs().argsort(descending=True).tolist()
    return [(feature, float(effect[feature])) for feature in order]
