"""Baselines that any discovery method must beat: random scores, and the size of what each source writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from toulmin.circuits.checks import check_runner
from toulmin.circuits.discovery.method import Progress, RankingMethod, common_length
from toulmin.circuits.edge_scores import EdgeScores

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner


class RandomScores(RankingMethod):
    """Scores drawn uniformly from [0, 1)."""

    title: ClassVar[str] = "random"

    name: Literal["random"] = "random"
    seed: int | None = None  #: default the study's seed, 0 outside of a study

    def scores(self, runner: CircuitRunner, progress: Progress | None = None) -> EdgeScores:
        """The score of every edge.

        :raises FaultError: prompts of several lengths with ``per_position``.
        """
        check_runner(runner)
        positions = common_length(runner, self) if self.per_position else None
        drawn = EdgeScores.random(runner.graph, np.random.default_rng(self.seed or 0), positions)
        if progress is not None:
            progress(1)
        return self.of(runner, drawn.values)

    def steps_on(self, runner: CircuitRunner) -> int:
        """One in all."""
        return 1


class ActivationMagnitude(RankingMethod):
    """|mean of what the source writes on the clean prompts|, the same for all edges out of it (AutoCircuit's baseline).

    The mean is over the prompts of a batch, the positions (unless ``per_position``) and the dimensions of the stream;
    batches are averaged by their number of prompts.
    """

    title: ClassVar[str] = "activation magnitude"

    name: Literal["activation_magnitude"] = "activation_magnitude"

    def scores(self, runner: CircuitRunner, progress: Progress | None = None) -> EdgeScores:
        """The score of every edge.

        :raises FaultError: prompts of several lengths with ``per_position``.
        """
        check_runner(runner)
        graph = runner.graph
        allowed = graph.allowed
        if self.per_position:
            allowed = np.repeat(allowed[:, :, None], common_length(runner, self), axis=2)
        axes = (1, 3) if self.per_position else (1, 2, 3)
        total = np.zeros((len(graph.sources), *allowed.shape[2:]))
        for index, batch in enumerate(runner.batches):
            total += runner.sources(index, "clean").values.mean(axes).abs().double().cpu().numpy() * len(batch)
            if progress is not None:
                progress(1)
        return self.of(runner, (total / runner.n)[:, None] * allowed)

    def steps_on(self, runner: CircuitRunner) -> int:
        """One a batch."""
        return len(runner.batches)
