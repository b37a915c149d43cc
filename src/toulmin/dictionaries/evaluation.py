r"""What a dictionary costs the model and how it is used: offline metrics over held-out rows of tokens.

Of every row (a sequence; rows are the independent units), averages over its tokens:

    ce            -ln p[next token] of the model, of the model with dictionaries, and with the sites ablated, nats
    ce_increase   ce with dictionaries less ce of the model
    ce_recovered  (ce ablated - ce with) / (ce ablated - ce of the model), a ratio of means over rows
    kl            KL(model || with dictionaries), nats
    top1          share of positions at which both put most probability on one token
    accuracy      share of positions at which the next token has most probability (shifted by one, as it must be)
    l0            features active on a token
    error, size   sums of (x^ - x)^2 and of (x - mean)^2, from which explained variance = 1 - sum error / sum size
    norm_ratio    mean of |x^| / |x|
    downstream    mean (a_s - a0_s)^2 at each later layer

The mean of a site over all rows (what ablation puts in its place) is taken first. Positions that dictionaries do not
touch (``skip_first``, ``skip_norm_above``) count for the output and later layers, and for nothing that is said of a
site. Over all other tokens: how often each feature is active, on how many tokens pairs of features are active together,
and the largest activation of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from toulmin.dictionaries.architectures.dictionary import Dictionary
from toulmin.dictionaries.objective import Inserted, InsertedPass
from toulmin.dictionaries.positions import Skip
from toulmin.dictionaries.sites import CleanPass, clean_pass, default_downstream, find_sites, run_layer
from toulmin.evidence import Interval, bootstrap, bootstrap_mean, bootstrap_ratio
from toulmin.faults import Fault, FaultError
from toulmin.subjects import Transformer

Array = NDArray[np.float64]
PAIRS_UP_TO = 4096  #: features above which co-firing is not counted unless asked for: the counts are F x F


@dataclass
class Usage:
    """How the features of one dictionary are used, over ``tokens`` tokens.

    ``fired`` [F] tokens on which each is active; ``together`` [F, F] tokens on which both are, or None; ``total`` [F]
    and ``largest`` [F] of activations.
    """

    tokens: int
    fired: Array
    total: Array
    largest: Array
    together: Array | None = None

    @property
    def alive(self) -> int:
        """Features active on at least one of the tokens."""
        return int((self.fired > 0).sum())

    @property
    def frequency(self) -> Array:
        """[F] share of tokens on which each feature is active."""
        return self.fired / max(1, self.tokens)


@dataclass
class Evaluation:
    """The metrics of one insertion: ``rows`` by name ([R] each; ``NAME/site`` or ``NAME/layer``), and usage by site."""

    rows: dict[str, Array]
    usage: dict[str, Usage]
    sites: tuple[str, ...] = ()
    layers: tuple[str, ...] = field(default=())

    @property
    def n(self) -> int:
        """R, the number of rows."""
        return len(self.rows["ce"])

    def mean(self, name: str) -> float:
        """The mean of a column over rows."""
        return float(self.rows[name].mean())

    def interval(self, name: str, **options: Any) -> Interval:
        """The bootstrap interval of :meth:`mean`, over rows."""
        return bootstrap_mean(self.rows[name], **options)

    def explained_variance(self, site: str) -> float:
        """1 - sum of squared errors / sum of squared deviations from the mean, over all tokens and the whole width."""
        return 1 - float(self.rows[f"error/{site}"].sum() / self.rows[f"size/{site}"].sum())

    def explained_variance_interval(self, site: str, **options: Any) -> Interval:
        """Its bootstrap interval over rows."""
        error, size = self.rows[f"error/{site}"], self.rows[f"size/{site}"]
        return bootstrap_ratio(error, size, transform=lambda ratio: 1 - ratio, **options)

    def ce_recovered(self) -> float:
        """1 where the dictionaries cost nothing, 0 where they are as bad as ablating their sites."""
        return _recovered(self.rows["ce"], self.rows["ce_with"], self.rows["ce_ablated"])

    def ce_recovered_interval(self, **options: Any) -> Interval:
        """Its bootstrap interval over rows."""
        return bootstrap(_recovered, self.rows["ce"], self.rows["ce_with"], self.rows["ce_ablated"], **options)

    def summary(self) -> dict[str, float]:
        """Every number by name."""
        found = {name: self.mean(name) for name in self.rows if not name.startswith(("error/", "size/"))}
        found["ce_recovered"] = self.ce_recovered()
        for site in self.sites:
            found[f"explained_variance/{site}"] = self.explained_variance(site)
            found[f"alive/{site}"] = float(self.usage[site].alive)
        return found


def _recovered(ce: Array, ce_with: Array, ce_ablated: Array) -> float:
    return float((ce_ablated.mean() - ce_with.mean()) / (ce_ablated.mean() - ce.mean()))


@torch.no_grad()
def evaluate_dictionaries(
    model: Transformer,
    insertions: Mapping[str, Mapping[str, Dictionary]],
    tokens: Int[Tensor, "R T"],
    *,
    batch: int = 16,
    layers: Sequence[str] | None = None,
    pairs: bool | None = None,
    skip_first: int = 0,
    skip_norm_above: float | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Evaluation]:
    """The metrics of every insertion (dictionaries by site, by name) on the rows of ``tokens``.

    The model's own pass is shared by all. Dictionaries are used in evaluation mode.

    :param layers: where downstream errors are measured; default the stream read by every later layer.
    :param pairs: count co-firing; default for dictionaries of at most 4,096 features.
    :param skip_first: as in :class:`toulmin.dictionaries.Objective`: positions of every row without dictionaries.
    :param skip_norm_above: as there: tokens with a larger norm are without dictionaries, too.
    :raises FaultError: unknown sites; (``dictionaries.objective``) no positive norm, or no token below it.
    """
    config, skip = model.config, Skip(skip_first, skip_norm_above)
    sites = {name: find_sites(held, config) for name, held in insertions.items()}
    later = {n: default_downstream(s, config) if layers is None else tuple(layers) for n, s in sites.items()}
    names = {site.writes for found in sites.values() for site in found} | {n for held in later.values() for n in held}
    starts = {min(found).layer for found in sites.values()}
    modes = {id(d): d.training for held in insertions.values() for d in held.values()}
    for held in insertions.values():
        for dictionary in held.values():
            dictionary.eval()
    parts = tokens.split(batch)
    means = _site_means(model, parts, {site.writes for found in sites.values() for site in found}, skip)
    gathered: dict[str, _Gathered] = {
        name: _Gathered(held, later[name], pairs=pairs) for name, held in insertions.items()
    }
    for part in parts:
        part = part.to(model.W_E.device)
        clean = clean_pass(model, part, names, starts, whole=True)
        assert clean.final is not None
        own = _scores(model, clean.final, part)
        ablated: dict[frozenset[str], Tensor] = {}
        for name, held in insertions.items():
            behind = InsertedPass(model, held, clean, later[name], skip=skip)
            wiped = frozenset(site.writes for site in sites[name])
            if wiped not in ablated:
                ablated[wiped] = _ablated_ce(model, clean, wiped, means, min(sites[name]).layer, skip)
            gathered[name].add(model, clean, behind, own, ablated[wiped], means)
        if progress is not None:
            progress(len(part))
    for held in insertions.values():
        for dictionary in held.values():
            dictionary.train(modes[id(dictionary)])
    return {name: one.finish() for name, one in gathered.items()}


@torch.no_grad()
def _site_means(model: Transformer, parts: Sequence[Tensor], names: set[str], skip: Skip) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    for part in parts:
        found = clean_pass(model, part.to(model.W_E.device), names, (), whole=False).activations
        for name, value in found.items():
            kept = skip.pick(value, skip.where(value)).flatten(0, -2)
            total = kept.double().sum(0)
            sums[name] = sums[name] + total if name in sums else total
            counts[name] = counts.get(name, 0) + len(kept)
    return {name: total / counts[name] for name, total in sums.items()}


@dataclass(frozen=True)
class _Scores:
    """Of one batch of rows: per-row CE and accuracy, each position's log-probabilities and best token."""

    ce: Tensor
    accuracy: Tensor
    log_p: Tensor
    best: Tensor


def _scores(model: Transformer, final: Float[Tensor, "B T D"], tokens: Int[Tensor, "B T"]) -> _Scores:
    logits = model.unembed(final)
    log_p = torch.log_softmax(logits, -1, dtype=torch.promote_types(logits.dtype, torch.float32))
    best = log_p.argmax(-1)
    ce = -log_p[:, :-1].gather(2, tokens[:, 1:, None])[..., 0].double().mean(1)
    return _Scores(ce, (best[:, :-1] == tokens[:, 1:]).double().mean(1), log_p, best)


def _ablated_ce(
    model: Transformer, clean: CleanPass, wiped: frozenset[str], means: Mapping[str, Tensor], first: int, skip: Skip
) -> Tensor:
    def visit(name: str, value: Tensor) -> Tensor:
        if name not in wiped:
            return value
        where = skip.where(clean.activations[name])
        return skip.put(value, where, means[name].to(value.dtype).expand_as(skip.pick(value, where)))

    at, resid = model.positions(clean.tokens.shape[-1]), clean.starts[first]
    for layer in model.layers[first:]:
        resid = run_layer(layer, resid, at, visit)
    return _scores(model, resid, clean.tokens).ce


class _Gathered:
    """Collects the rows and the usage of one insertion."""

    def __init__(self, held: Mapping[str, Dictionary], layers: tuple[str, ...], *, pairs: bool | None) -> None:
        self.held, self.layers = held, layers
        self.columns: dict[str, list[Tensor]] = {}
        self.usage: dict[str, dict[str, Tensor]] = {}
        self.tokens: dict[str, int] = dict.fromkeys(held, 0)
        for site, dictionary in held.items():
            features, device = dictionary.config.n_features, dictionary.W_enc.device
            sums = {n: torch.zeros(features, dtype=torch.float64, device=device) for n in ("fired", "total", "largest")}
            if pairs or (pairs is None and features <= PAIRS_UP_TO):
                sums["together"] = torch.zeros(features, features, dtype=torch.float64, device=device)
            self.usage[site] = sums

    def note(self, name: str, value: Tensor) -> None:
        self.columns.setdefault(name, []).append(value.double().cpu())

    def add(
        self,
        model: Transformer,
        clean: CleanPass,
        behind: InsertedPass,
        own: _Scores,
        ablated: Tensor,
        means: Mapping[str, Tensor],
    ) -> None:
        tokens = clean.tokens
        mine = _scores(model, behind.final, tokens)
        for name, value in (
            ("ce", own.ce),
            ("ce_with", mine.ce),
            ("ce_ablated", ablated),
            ("ce_increase", mine.ce - own.ce),
            ("accuracy", own.accuracy),
            ("accuracy_with", mine.accuracy),
            ("kl", (own.log_p.exp() * (own.log_p - mine.log_p)).sum(-1).double().mean(1)),
            ("top1", (own.best == mine.best).double().mean(1)),
        ):
            self.note(name, value)
        for site, made in behind.found.items():
            self._usage(site, made)
            count, total = _row_sums(made, len(tokens))
            target = made.target.double()
            (where,) = find_sites([site], model.config)
            centred = target - means[where.writes].to(target.device)
            self.note(f"l0/{site}", total(torch.count_nonzero(made.codes > 0, -1)) / count)
            self.note(f"error/{site}", total((made.output.double() - target).pow(2).sum(-1)))
            self.note(f"size/{site}", total(centred.pow(2).sum(-1)))
            ratio = made.output.double().norm(dim=-1) / target.norm(dim=-1).clamp(min=1e-300)
            self.note(f"norm_ratio/{site}", total(ratio) / count)
        for name in self.layers:
            error = (behind.kept[name] - clean.activations[name]).double().pow(2).mean((1, 2))
            self.note(f"downstream/{name}", error)

    def _usage(self, site: str, made: Inserted) -> None:
        sums, codes = self.usage[site], made.codes.flatten(0, -2)
        active = codes > 0
        self.tokens[site] += len(codes)
        sums["fired"] += active.sum(0)
        sums["total"] += codes.double().sum(0)
        sums["largest"] = torch.maximum(sums["largest"], codes.amax(0).double())
        if "together" in sums:
            each = active.float()
            sums["together"] += (each.T @ each).double()

    def finish(self) -> Evaluation:
        rows = {name: torch.cat(parts).numpy() for name, parts in self.columns.items()}
        usage = {
            site: Usage(self.tokens[site], **{name: value.cpu().numpy() for name, value in sums.items()})
            for site, sums in self.usage.items()
        }
        return Evaluation(rows, usage, tuple(self.held), self.layers)


def _row_sums(made: Inserted, rows: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """How many tokens of each row have a dictionary (at least 1, to divide by), and what sums over them."""
    if made.where is None:
        width = made.codes.shape[1]
        return torch.full((rows,), max(1, width), device=made.codes.device), lambda value: value.sum(1)
    row = made.where[0]

    def total(value: Tensor) -> Tensor:
        return value.new_zeros(rows).index_add(0, row, value)

    return torch.bincount(row, minlength=rows).clamp(min=1), total


def cofiring_information(usage: Usage, *, least: int = 1) -> Array:
    """[A, A] mutual information, in nats, of whether two features are active on a token, for the A alive features.

    I = sum over the four outcomes of p(a, b) ln(p(a, b) / (p(a) p(b))). The diagonal is 0. Features active on fewer
    than ``least`` tokens are left out. (Does end-to-end training move superposition into features that fire together?)

    :raises FaultError: (``dictionaries.pairs``) co-firing was not counted.
    """
    if usage.together is None:
        fault = Fault("dictionaries.pairs", "co-firing was not counted", hint="evaluate with pairs=True")
        raise FaultError(fault)
    alive = usage.fired >= max(1, least)
    both, one, n = usage.together[np.ix_(alive, alive)] / usage.tokens, usage.frequency[alive], int(alive.sum())
    a, b = np.broadcast_to(one[:, None], (n, n)), np.broadcast_to(one[None, :], (n, n))
    found = np.zeros((n, n))
    for joint, first, second in (
        (both, a, b),
        (a - both, a, 1 - b),
        (b - both, 1 - a, b),
        (1 - a - b + both, 1 - a, 1 - b),
    ):
        product = first * second
        good = (joint > 1e-12) & (product > 0)
        found[good] += joint[good] * np.log(joint[good] / product[good])
    np.fill_diagonal(found, 0.0)
    return found
