"""A model and its prompts, set up to run many circuits: the caches, the ablated values, the metrics.

Prompts are grouped by length (positions must correspond) and cut into batches; a mean over the dataset is a mean over
the prompts of that length. Every run of a circuit goes through :func:`toulmin.patching.run_circuits`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.edges import component_sources
from toulmin.circuits.methodology import Ablation, Methodology
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching import Graph, SourceValues, Terms, run_circuits, source_values
from toulmin.subjects import Transformer
from toulmin.tasks import Metric, MetricLike, Pair, PairBatch, batch_pairs, check_prompts, clusters_of, find_metric

Array = NDArray[np.float64]
Learned = Mapping[int, Tensor]


class CircuitRunner:
    """``model`` with ``pairs``, ready to run circuits.

    :param batch: prompts a batch; changes no result but the batch means (``batch_mean``).
    :param merged_qkv: one input a head instead of three.
    :param terms: components whose output is split into named terms, by name: functions of the output that sum to it
        (the features of a dictionary and its error, a subspace and the rest). Each term, ``L0.mlp:f3``, is then a
        source with edges of its own.
    :param cache_bytes: how much of the source values to keep between runs.
    :param max_bytes: circuits are run some at a time so that their activations stay below this; default
        :func:`toulmin.patching.default_bytes` of the device.
    :raises FaultError: no pairs, tokens outside the vocabulary; ``patching.terms``: an unknown component, terms that do
        not sum to its output on the first batch.
    """

    def __init__(
        self,
        model: Transformer,
        pairs: Sequence[Pair],
        *,
        batch: int = 32,
        merged_qkv: bool = False,
        terms: Terms | None = None,
        cache_bytes: int = 2 << 30,
        max_bytes: int | None = None,
    ) -> None:
        self.model, self.pairs = check_prompts(model, pairs)
        model, pairs, self.n = self.model, self.pairs, len(self.pairs)
        self.terms: Terms = dict(terms or {})
        self.graph = Graph.of(model, merged_qkv=merged_qkv, terms=self.terms)
        self.batches: tuple[PairBatch, ...] = tuple(b.to(model.W_E.device) for b in batch_pairs(pairs, batch))
        names = [pair.unit or f"pair-{index}" for index, pair in enumerate(pairs)]
        self.units = tuple(clusters_of(names, pairs) or names)  # what intervals resample
        self._cache_bytes, self._cached, self._max_bytes = cache_bytes, 0, max_bytes
        self._sources: dict[tuple[int, str], SourceValues] = {}
        self._means: dict[tuple[int, Ablation], Tensor] = {}
        self.learned: Learned = {}  #: prompt length to the constants [S, 1, T or 1, D] of ``ablation="learned"``
        for component in self.terms:  # reading one of its terms compares their sum with its output
            self.sources(0, "clean").value(component_sources(self.graph)[component][0])

    @property
    def lengths(self) -> tuple[int, ...]:
        """The distinct prompt lengths."""
        return tuple(sorted({b.clean.shape[1] for b in self.batches}))

    def sources(self, index: int, side: str) -> SourceValues:
        """What every source writes on batch ``index``; ``side`` is ``"clean"`` or ``"counterfactual"``."""
        found = self._sources.get((index, side))
        if found is None:
            batch = self.batches[index]
            with torch.no_grad():
                tokens = batch.clean if side == "clean" else batch.counterfactual
                found = source_values(self.model, tokens, graph=self.graph, terms=self.terms, scored=batch.at)
            size = found.nbytes
            if self._cached + size <= self._cache_bytes:
                self._cached += size
                self._sources[index, side] = found
        return found

    def full(self, index: int) -> Float[Tensor, "B *P V"]:
        """The full model's logits at the scored positions of batch ``index``."""
        logits = self.sources(index, "clean").logits
        if not bool(torch.isfinite(logits).all()):
            raise FaultError(Fault("circuits.nan", "the clean run gives NaN or infinite logits"), ExitCode.NUMERICAL)
        return logits

    def full_for(self, metric: Metric, index: int) -> Tensor:
        """The same where the metric reads them; else NaN, so that the full model is not run for nothing."""
        return self.full(index) if metric.needs_clean else self.model.W_E.new_tensor(torch.nan)

    def values(self, index: int, method: Methodology) -> Float[Tensor, "S B T D"]:
        """What the replaced edges carry on batch ``index`` (broadcastable over B and T)."""
        side, ablation = _other_side(method), method.ablation
        if ablation == "resample":
            return self.sources(index, side).values
        length = self.batches[index].clean.shape[1]
        if ablation == "zero":
            return self.model.W_E.new_zeros(len(self.graph.sources), 1, 1, self.model.config.d_model)
        if ablation == "learned":
            if length not in self.learned:
                raise FaultError(Fault("circuits.learned", f"no constants were learned for prompts of {length} tokens"))
            return self.learned[length]
        if ablation == "batch_mean":
            return self.sources(index, side).values.mean(1, keepdim=True)
        if ablation == "batch_mean_all_positions":
            return self.sources(index, side).values.mean((1, 2), keepdim=True)
        return self._mean(length, ablation)

    def _mean(self, length: int, ablation: Ablation) -> Tensor:
        if (length, ablation) not in self._means:
            both = ("clean", "counterfactual")
            sides = both if ablation == "mean_both" else (ablation.removeprefix("mean_"),)
            total, count = None, 0
            for index, batch in enumerate(self.batches):
                if batch.clean.shape[1] == length:
                    for side in sides:
                        part = self.sources(index, side).values.sum(1, keepdim=True)
                        total, count = part if total is None else total + part, count + len(batch)
            assert total is not None
            self._means[length, ablation] = total / count
        return self._means[length, ablation]

    def masks(self, circuits: Sequence[Circuit], method: Methodology, length: int) -> NDArray[np.bool_]:
        """[C, S, R] or [C, S, R, T]: the edges that are replaced, for each circuit under ``method``."""
        causal = self.model.config.causal
        kept = [method.kept(c, length, causal=causal) for c in circuits]
        if any(k.graph != self.graph for k in kept):
            raise FaultError(
                Fault("circuits.graph", "a circuit of another model, or with merged inputs where these are split")
            )
        if any(k.positions is not None for k in kept):  # one with positions among others: all get a table for each
            kept = [k.at_positions(length) for k in kept]
        tables = [k.table if method.direction == "denoising" else (~k).table for k in kept]
        return np.stack(tables)

    def run(self, circuits: Sequence[Circuit], method: Methodology) -> Iterator[tuple[int, Float[Tensor, "C B *P V"]]]:
        """Each batch's number, and the logits of every circuit on it at the scored positions."""
        known: dict[int, NDArray[np.bool_]] = {}
        for index, batch in enumerate(self.batches):
            length = batch.clean.shape[1]
            if length not in known:
                known[length] = self.masks(circuits, method, length)
            yield index, self.run_masks(index, known[length], method)

    def run_masks(
        self, index: int, masks: Tensor | NDArray[np.bool_], method: Methodology
    ) -> Float[Tensor, "C B *P V"]:
        """Logits on batch ``index`` with the edges in ``masks`` replaced (1 replaces)."""
        batch = self.batches[index]
        side = "clean" if method.direction == "noising" else "counterfactual"
        tokens = batch.clean if side == "clean" else batch.counterfactual
        boolean = masks.dtype in (torch.bool, np.bool_)
        with torch.no_grad():
            return run_circuits(
                self.model,
                tokens,
                self.sources(index, _other_side(method))
                if method.ablation == "resample"
                else self.values(index, method),
                masks,
                graph=self.graph,
                terms=self.terms,
                scored=batch.at,
                max_bytes=self._max_bytes,
                clean=self.sources(index, side) if boolean else None,
            )

    def run_values(
        self, index: int, values: Tensor, masks: Tensor, *, side: str = "clean"
    ) -> Float[Tensor, "C B *P V"]:
        """Logits on batch ``index`` where cut edges carry ``values``, differentiable in ``values`` and ``masks``.

        :param masks: [C, S, R] or [C, S, R, T], real numbers; 1 cuts.
        :param side: the run whose edges are cut, ``"clean"`` or ``"counterfactual"``.
        """
        batch = self.batches[index]
        tokens = batch.clean if side == "clean" else batch.counterfactual
        return run_circuits(self.model, tokens, values, masks, graph=self.graph, terms=self.terms, scored=batch.at)

    def scores(
        self,
        circuits: Sequence[Circuit],
        method: Methodology,
        metrics: Sequence[MetricLike],
        *,
        together: int | None = None,
    ) -> dict[str, Array]:
        """Each metric of each circuit on each prompt, ``[C, N]``, prompts in the order given.

        :param metrics: names, metrics, or functions of ``(logits, batch)`` or ``(logits, batch, clean)``.
        :param together: how many circuits to run at once, which bounds memory and changes no result; default all.
        :raises FaultError: an unknown metric, one whose wrong answers the prompts lack, or a value that is not finite.
        """
        wanted = self._find_metrics(metrics)
        found = np.full((len(wanted), len(circuits), self.n), np.nan)
        step = together or max(1, len(circuits))
        for start in range(0, len(circuits), step):
            for index, logits in self.run(circuits[start : start + step], method):
                values = self._measure(wanted, index, logits)
                found[:, start : start + values.shape[1], list(self.batches[index].index)] = values
        return _by_name(wanted, found)

    def full_scores(self, metrics: Sequence[MetricLike]) -> dict[str, Array]:
        """Each metric of the full model on each prompt, ``[N]``."""
        wanted = self._find_metrics(metrics)
        found = np.full((len(wanted), self.n), np.nan)
        for index, batch in enumerate(self.batches):
            found[:, list(batch.index)] = self._measure(wanted, index, self.full(index)[None])[:, 0]
        return _by_name(wanted, found)

    def _find_metrics(self, metrics: Sequence[MetricLike]) -> list[Metric]:
        wanted = [find_metric(metric) for metric in metrics]
        names = [metric.name for metric in wanted]
        repeated = {name for name in names if names.count(name) > 1}
        faults = [Fault("circuits.metric", "two metrics have this name", name=name) for name in sorted(repeated)]
        for metric in wanted:
            try:
                metric.check((pair.unit, len(pair.wrong)) for pair in self.pairs)
            except FaultError as error:
                faults += error.faults
        if faults:
            raise FaultError(faults)
        return wanted

    def _measure(self, metrics: Sequence[Metric], index: int, logits: Float[Tensor, "C B *P V"]) -> Array:
        """``[M, C, B]``: each metric of the runs ``logits`` of batch ``index``, moved to the CPU at once."""
        batch = self.batches[index]
        found = [metric(logits, batch, self.full_for(metric, index).to(logits.dtype)).double() for metric in metrics]
        return torch.stack(found).cpu().numpy() if found else np.zeros((0, *logits.shape[:2]))


def _other_side(method: Methodology) -> str:
    """The run from which replaced edges get their values."""
    return "counterfactual" if method.direction == "noising" else "clean"


def _by_name(metrics: Sequence[Metric], values: Array) -> dict[str, Array]:
    """``values`` [M, ...] by the metrics' names.

    :raises FaultError: a value that is not finite, for each metric that has one.
    """
    found = {metric.name: row for metric, row in zip(metrics, values, strict=True)}
    faults = [
        Fault("circuits.nan", "a value is NaN or infinite on some prompt", name=name)
        for name, row in found.items()
        if not np.isfinite(row).all()
    ]
    if faults:
        raise FaultError(faults, ExitCode.NUMERICAL)
    return found
