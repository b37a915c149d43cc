"""How far a patched output is from the clean one, for each prompt and before any averaging.

With m a metric (:mod:`toulmin.tasks`), y the patched logits and y_clean those of the clean run, the change is

    m(y, y_clean)            where m is itself a distance from the clean run: ``kl``, ``squared_loss``, ``max_change``
    (m(y) − m(y_clean))²     of any other metric
    m(y) − m(y_clean)        of any other metric, where the sign is asked for

Signed changes cancel in a mean: they attribute an effect to components, and explain no proportion of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from toulmin.faults import Fault, FaultError
from toulmin.tasks import Metric, find_metric

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from toulmin.tasks import PairBatch

AnyMetric = str | Metric | Callable[..., Any]


def find_change(metric: AnyMetric, *, signed: bool) -> Metric:
    """The metric, if its change is a number that may be averaged.

    :raises FaultError: ``tasks.metric`` for an unknown one; ``paths.metric`` where no sign is asked for and a share of
        the metric has no meaning (signed changes, accuracies).
    """
    found = find_metric(metric)
    if not signed and not found.shares:
        message = "its changes cancel in a mean or are 0 and 1, so that they explain no proportion of an effect"
        raise FaultError(
            Fault("paths.metric", message, name=found.name, hint="kl, squared_loss, absolute_loss, squared_logit_diff")
        )
    return found


def change_unit(metric: Metric, *, signed: bool) -> str:
    """The unit of a change of a metric."""
    return metric.unit if signed or metric.distance or metric.unit == "1" else f"{metric.unit}^2"


def measure_change(
    metric: Metric,
    logits: Float[Tensor, "*C V"],
    batch: PairBatch,
    clean_logits: Float[Tensor, "*B V"],
    *,
    signed: bool,
) -> Float[Tensor, "*C B"]:
    """The change of the metric from the clean output to each patched one.

    :raises FaultError: ``tasks.no_wrong`` where the metric needs wrong answers and pairs have none.
    """
    if metric.distance:
        return metric(logits, batch, clean_logits)
    moved = metric(logits, batch, clean_logits) - metric(clean_logits[None], batch, clean_logits)
    return moved if signed else moved.square()
