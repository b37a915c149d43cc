"""What each feature does: the contexts that activate it most, the tokens it promotes, its nearest neighbours.

examples     the tokens with the largest activations, at most one from a row, with the text around them
promotes     d_j W_U with the final norm's scale left out: the logits a feature adds directly (and suppresses)
neighbours   the features with the nearest directions
frequency    the share of tokens on which it is active, and a histogram of its activations
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional

from toulmin.dictionaries.architectures.dictionary import Dictionary
from toulmin.dictionaries.sites import clean_pass, find_sites
from toulmin.subjects import Transformer

BINS = 20


@dataclass(frozen=True)
class Context:
    """Tokens around a place where a feature is active, with the feature's activation on each."""

    row: int
    position: int  #: of the largest activation, in ``tokens``
    tokens: tuple[int, ...]
    activations: tuple[float, ...]


@dataclass(frozen=True)
class FeatureRecord:
    """One feature: how often it is active, where most, what it writes."""

    index: int
    frequency: float
    largest: float
    histogram: tuple[int, ...]  #: of its activations above 0, in equal bins up to the largest
    contexts: tuple[Context, ...]
    promotes: tuple[tuple[int, float], ...]  #: token ids and logits
    suppresses: tuple[tuple[int, float], ...]
    neighbours: tuple[tuple[int, float], ...]  #: features and cosines


@torch.no_grad()
def describe_features(
    model: Transformer,
    site: str,
    dictionary: Dictionary,
    tokens: Int[Tensor, "R T"],
    *,
    features: Sequence[int] | None = None,
    contexts: int = 8,
    before: int = 12,
    after: int = 4,
    logits: int = 8,
    neighbours: int = 5,
    batch: int = 32,
    progress: Callable[[int], None] | None = None,
) -> list[FeatureRecord]:
    """Describe features (default all that are active on any token) on the rows of ``tokens``.

    Activations are kept in half precision, 2 R T F bytes, so that contexts need no second pass.
    """
    (where,) = find_sites([site], model.config)
    mode = dictionary.training
    dictionary.eval()
    count = dictionary.config.n_features
    fired, largest = torch.zeros(count, dtype=torch.long), torch.zeros(count)
    best = torch.zeros(0, count)
    place = torch.zeros(0, count, dtype=torch.long)
    kept = torch.zeros(*tokens.shape, count, dtype=torch.float16)
    for start in range(0, len(tokens), batch):
        part = tokens[start : start + batch].to(model.W_E.device)
        x = clean_pass(model, part, [where.reads], (), whole=False).activations[where.reads]
        codes = dictionary.encode(x).float().cpu()
        fired += (codes > 0).sum((0, 1))
        largest = torch.maximum(largest, codes.amax((0, 1)))
        top, at = codes.max(1)  # the largest of each row: [b, F]
        rows = torch.arange(start, start + len(part))[:, None]
        best, place = torch.cat([best, top]), torch.cat([place, rows * tokens.shape[1] + at])
        keep = best.topk(min(contexts, len(best)), dim=0).indices
        best, place = best.gather(0, keep), place.gather(0, keep)
        kept[start : start + len(part)] = codes.to(torch.float16)
        if progress is not None:
            progress(len(part))
    dictionary.train(mode)
    chosen = torch.nonzero(fired)[:, 0].tolist() if features is None else list(features)
    directions = dictionary.directions.detach().float().cpu()
    unit = functional.normalize(directions, dim=1)
    histograms = _histograms(kept, largest)
    found: list[FeatureRecord] = []
    writes = directions.shape[1] == model.config.d_model
    for index in chosen:
        effect = (directions[index].to(model.W_E) @ model.W_U).float().cpu() if writes else torch.zeros(0)
        near = (unit @ unit[index]).index_fill(0, torch.tensor([index]), -2.0).topk(min(neighbours, count - 1))
        high, low = (effect.topk(min(logits, len(effect)), largest=sign) for sign in (True, False))
        active = [slot for slot in range(len(best)) if best[slot, index] > 0]
        found.append(
            FeatureRecord(
                index,
                float(fired[index]) / tokens.numel(),
                float(largest[index]),
                tuple(histograms[index].tolist()),
                tuple(_context(kept, tokens, int(place[slot, index]), index, before, after) for slot in active),
                tuple(zip(high.indices.tolist(), high.values.tolist(), strict=True)),
                tuple(zip(low.indices.tolist(), low.values.tolist(), strict=True)),
                tuple(zip(near.indices.tolist(), near.values.tolist(), strict=True)),
            )
        )
    return found


def _context(codes: Tensor, tokens: Tensor, place: int, feature: int, before: int, after: int) -> Context:
    row, position = divmod(place, tokens.shape[1])
    span = slice(max(0, position - before), position + after + 1)
    values = codes[row, span, feature].float()
    return Context(row, position - span.start, tuple(tokens[row, span].tolist()), tuple(values.tolist()))


def _histograms(codes: Tensor, largest: Tensor) -> Int[Tensor, "F bins"]:
    found = torch.zeros(len(largest), BINS, dtype=torch.long)
    for rows in codes:
        token, feature = torch.nonzero(rows, as_tuple=True)
        shares = rows[token, feature].float() / largest[feature].clamp(min=1e-12)
        bins = (shares * BINS).long().clamp(max=BINS - 1)
        found.view(-1).index_add_(0, feature * BINS + bins, torch.ones_like(bins))
    return found
