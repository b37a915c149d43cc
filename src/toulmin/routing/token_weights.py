"""Token weights from frequencies: how strongly each token of a forget document is routed.

Cloud et al. 2024, section 4.2 and appendix: with r = p_forget / p_retain the ratio of a token's frequencies,

    w = 1 - sigmoid(r - 1/r - 4),    weights of the gradient = (1 - w) [inside 1, outside -0.75] + w 1

so a token that is much more frequent in forget documents has a w near 0 and is routed, and every other one is left
alone. The weight that counts at a position is that of the token predicted there, the next one. Retain and unlabelled
documents have w = 1.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from toulmin.faults import Fault, FaultError

PER_10K = 1 / 20  #: the pseudo-count of every token, in occurrences per 10,000


def token_weights(
    forget: Float[Tensor, " V"] | Int[Tensor, " V"],
    retain: Float[Tensor, " V"] | Int[Tensor, " V"],
    *,
    pseudo: float = PER_10K,
    bias: float = -4.0,
) -> Float[Tensor, " V"]:
    """w of each token, from how often it occurs in forget and in retain text (counts, or rates of any scale).

    Both are turned into occurrences per 10,000 tokens, and ``pseudo`` is added to each.

    :raises FaultError: (``routing.counts``) negative or empty counts.
    """
    rates = []
    for name, counts in (("forget", forget), ("retain", retain)):
        total = counts.double().sum()
        if bool((counts < 0).any()) or not float(total) > 0:
            raise FaultError(Fault("routing.counts", "counts are not negative, and not all zero", name=name))
        rates.append(1e4 * counts.double() / total)
    return weights_of_rates(rates[0], rates[1], pseudo=pseudo, bias=bias)


def weights_of_rates(
    forget: Float[Tensor, " V"], retain: Float[Tensor, " V"], *, pseudo: float = PER_10K, bias: float = -4.0
) -> Float[Tensor, " V"]:
    """w of each token from its occurrences per 10,000 tokens of forget and of retain text."""
    r = (forget.double() + pseudo) / (retain.double() + pseudo)
    return 1 - torch.sigmoid(r - 1 / r + bias)


def token_strengths(
    tokens: Int[Tensor, "B T"], weights: Float[Tensor, " V"], forget: Bool[Tensor, " B"]
) -> Float[Tensor, "B T-1 1"]:
    """Labels for ``router(labels=...)``, for a model that reads ``tokens[:, :-1]``: 1 - w of the next token.

    0 in rows that are not labelled ``forget``.
    """
    routed = 1 - weights.to(tokens.device)[tokens[:, 1:]]
    return (routed * forget[:, None])[..., None].float()
