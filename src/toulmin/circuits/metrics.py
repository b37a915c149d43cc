"""Metrics of a patched run, one number a prompt: what faithfulness is measured in, and what attributions differentiate.

Each takes the patched logits ``[C, B, V]`` at the scored position, the batch and the full model's logits ``[B, V]``,
and gives ``[C, B]``. ``max_change`` is the largest change of any logit (of programs with numeric outputs too).
``better`` says whether a circuit that does the task has it high or low; of a *distance* (KL, max_change) the full
model itself has 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from toulmin.faults import Fault, FaultError
from toulmin.tasks.batch import PairBatch
from toulmin.tasks.scores import accuracy, cross_entropy, kl, logit_diff, prob_diff

Measure = Callable[[Tensor, PairBatch, Tensor], Tensor]


@dataclass(frozen=True)
class Metric:
    """A named metric: its unit, and the direction that is better.

    ``smooth``: it has a gradient. ``percents``: a single prompt's share of the effect is a number worth averaging (of
    an accuracy, 0 or 1, it is not). ``against_full``: it reads the full model's logits (of others they are not made).
    """

    name: str
    unit: str
    better: Literal["higher", "lower"]
    measure: Measure
    smooth: bool = True
    percents: bool = True
    against_full: bool = True

    def __call__(
        self, logits: Float[Tensor, "C B V"], batch: PairBatch, full: Float[Tensor, "B V"]
    ) -> Float[Tensor, "C B"]:
        """The metric of each circuit on each prompt."""
        return self.measure(logits, batch, full)

    @property
    def sign(self) -> float:
        """+1 where higher is better, -1 where lower is."""
        return 1.0 if self.better == "higher" else -1.0


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("logit_diff", "logits", "higher", lambda x, batch, full: logit_diff(x, batch.answers, batch.wrong),
        against_full=False), Metric("prob_diff", "1", "higher",
        lambda x, batch, full: prob_diff(x, batch.answers, batch.wrong), against_full=False),
        Metric("kl", "nats", "lower", lambda x, batch, full: kl(full, x)),
        Metric("max_change", "logits", "lower", lambda x, batch, full: (x - full).abs().amax(-1)),
        Metric("loss", "nats", "lower", lambda x, batch, full: cross_entropy(x, batch.answers), against_full=False),
        Metric("accuracy", "1", "higher", lambda x, batch, full: accuracy(x, batch.answers), smooth=False,
        percents=False, against_full=False), Metric(
            "choice_accuracy", "1", "higher", lambda x, batch, full: accuracy(x, batch.answers, batch.wrong),
            smooth=False, percents=False, against_full=False,
        ),
    )
}  # fmt: skip


def find_metric(metric: str | Metric, *, smooth: bool = False) -> Metric:
    """A metric by name.

    :param smooth: refuse metrics without a gradient.
    :raises FaultError: an unknown name, or a metric without a gradient where one is needed.
    """
    found = METRICS.get(metric) if isinstance(metric, str) else metric
    if found is None:
        raise FaultError(
            Fault("circuits.metric", "unknown metric", name=str(metric), hint=f"one of {', '.join(METRICS)}")
        )
    if smooth and not found.smooth:
        raise FaultError(Fault("circuits.metric", "this metric has no gradient", name=found.name))
    return found
