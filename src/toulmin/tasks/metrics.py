"""Metrics: one number for each prompt from the logits at its scored position; the same for tasks, paths and circuits.

A :class:`Metric` says how it is computed, in which unit, which direction is better, and what it needs. Built-in ones
are entry points of the group ``toulmin.metrics``, so an installed package adds its own the same way; a plain function
of ``(logits, batch)`` or ``(logits, batch, clean)`` is accepted wherever a metric is.

Letters: C runs of the model (circuits, hypotheses), B batch, V vocabulary. This module loads without torch, because
studies ask a metric for its unit before anything is run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from toulmin.faults import Fault, FaultError
from toulmin.studies import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from toulmin.tasks.batch import PairBatch

MetricFunction: TypeAlias = "Callable[[Tensor, PairBatch, Tensor], Tensor]"
_NAMED = 5  # at most so many pairs are named in one fault


@dataclass(frozen=True)
class Metric:
    """A named function of logits: one number for each prompt.

    ``function`` takes the logits ``[*C, B, V]`` at the scored positions, the batch of pairs and the clean run's logits
    ``[B, V]``, and gives ``[*C, B]``. ``unit``: of its values. ``better``: whether a run that does the task has it high
    or low. ``smooth``: it has a gradient. ``shares``: a share of it (percent recovered, proportion explained) has a
    meaning; of an accuracy of one prompt, 0 or 1, or of a signed change it has none. ``needs_clean``: it reads the
    clean run's logits; where it does not, they may be NaN. ``needs_wrong``: it needs wrong answers. ``distance``: it is
    never negative and is 0 where the logits equal the clean ones. ``over_tokens``: how the values of an answer's tokens
    make that of the whole answer (``sum``: log-probabilities and KL add up along a sequence; ``min``: all must be
    right); None where they make none.
    """

    name: str
    function: MetricFunction
    unit: str = "1"
    better: Literal["higher", "lower"] = "higher"
    smooth: bool = True
    shares: bool = True
    needs_clean: bool = True
    needs_wrong: bool = False
    distance: bool = False
    over_tokens: Literal["sum", "min"] | None = None

    def __call__(self, logits: Tensor, batch: PairBatch, clean: Tensor) -> Tensor:
        """The metric of each run on each prompt, ``[*C, B]``.

        :raises FaultError: ``tasks.no_wrong``: the metric needs wrong answers, and the pairs named have none;
            ``tasks.metric``: the function does not give one number for each run and prompt.
        """
        if self.needs_wrong:
            self.check(zip(batch.units, batch.n_wrong, strict=True))
        if batch.whole is not None:
            return self._of_whole_answers(logits, batch, clean)
        values = self.function(logits, batch, clean)
        if values.shape != logits.shape[:-1]:
            text = f"it gives {list(values.shape)} for logits {list(logits.shape)}, not {list(logits.shape[:-1])}"
            raise FaultError(Fault("tasks.metric", text, name=self.name))
        return values

    def _of_whole_answers(self, logits: Tensor, batch: PairBatch, clean: Tensor) -> Tensor:
        """The metric of answers of P tokens from logits ``[*C, B, P, V]``: each token's, added up or the least."""
        assert batch.whole is not None
        if self.over_tokens is None:
            text = "it is of one token, and the prompts have answers of several tokens, which are scored as a whole"
            raise FaultError(Fault("tasks.metric", text, name=self.name, hint="choose loss, kl or accuracy"))
        one = [
            replace(self, over_tokens=None)(
                logits[..., p, :],
                replace(batch, at=batch.at[:, p], answers=batch.whole[:, p : p + 1], whole=None),
                clean[..., p, :] if clean.ndim else clean,
            )
            for p in range(batch.whole.shape[1])
        ]
        total = one[0]
        for value in one[1:]:
            total = total + value if self.over_tokens == "sum" else total.minimum(value)
        return total

    @property
    def sign(self) -> float:
        """+1 where higher is better, -1 where lower is."""
        return 1.0 if self.better == "higher" else -1.0

    def check(self, wrong: Iterable[tuple[str, int]]) -> None:
        """Refuse pairs without wrong answers where the metric needs them.

        :param wrong: unit and number of wrong answers of each pair.
        :raises FaultError: ``tasks.no_wrong``, naming the pairs.
        """
        lacking = [unit or f"pair {i}" for i, (unit, count) in enumerate(wrong) if not count]
        if self.needs_wrong and lacking:
            more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
            text = f"{self.name} needs wrong answers, and these pairs have none: {', '.join(lacking[:_NAMED])}{more}"
            hint = "give the pairs wrong answers, or choose loss, accuracy or kl"
            raise FaultError(Fault("tasks.no_wrong", text, name=self.name, hint=hint))


#: what is accepted wherever a metric is: a name, a metric, or a function of ``(logits, batch[, clean])``
MetricLike: TypeAlias = str | Metric | Callable[..., Any]

_REGISTRY: Registry[Metric] = Registry("toulmin.metrics", "metric", "tasks.metric", Metric)


def metric_names() -> tuple[str, ...]:
    """Names of the installed metrics, sorted."""
    return tuple(_REGISTRY.names())


def find_metric(metric: MetricLike, *, smooth: bool = False) -> Metric:
    """A metric by name; a :class:`Metric` as it is; a plain function under its ``__name__``.

    A plain function takes ``(logits, batch)`` or ``(logits, batch, clean)``; higher counts as better.

    :param smooth: refuse metrics without a gradient.
    :raises FaultError: ``tasks.metric``: an unknown name (the nearest are listed), no function of two or three
        arguments, or a metric without a gradient where one is needed.
    """
    if isinstance(metric, Metric):
        found = metric
    elif isinstance(metric, str):
        found = _REGISTRY.find(metric)
    elif callable(metric):
        found = _wrap(metric)
    else:
        text = f"a metric is a name, a Metric or a function, and this is a {type(metric).__name__}"
        raise FaultError(Fault("tasks.metric", text, name=str(metric), hint=f"names: {', '.join(metric_names())}"))
    if smooth and not found.smooth:
        raise FaultError(Fault("tasks.metric", "this metric has no gradient", name=found.name))
    return found


def _wrap(function: Callable[..., Any]) -> Metric:
    name = getattr(function, "__name__", type(function).__name__)
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return Metric(name, function)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(p.default is p.empty for p in positional)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) or required <= 3 <= len(positional):
        return Metric(name, function)
    if required <= 2 <= len(positional):
        return Metric(name, lambda logits, batch, clean: function(logits, batch), needs_clean=False)
    text = f"a function of {len(positional)} arguments is no metric"
    raise FaultError(Fault("tasks.metric", text, name=name, hint="it takes (logits, batch) or (logits, batch, clean)"))


def _scores() -> ModuleType:
    """The functions of logits, which need torch, imported when a metric is first computed."""
    from toulmin.tasks import scores

    return scores


def _loss_change(logits: Tensor, batch: PairBatch, clean: Tensor) -> Tensor:
    return _scores().cross_entropy(logits, batch.answers) - _scores().cross_entropy(clean, batch.answers)


def _logit_diff(logits: Tensor, batch: PairBatch, clean: Tensor) -> Tensor:
    return _scores().logit_diff(logits, batch.answers, batch.wrong)


def _logit_diff_change(logits: Tensor, batch: PairBatch, clean: Tensor) -> Tensor:
    return _logit_diff(logits, batch, clean) - _logit_diff(clean, batch, clean)


#: mean logit of the right ids minus mean logit of the wrong ids
LOGIT_DIFF = Metric("logit_diff", _logit_diff, "logits", needs_clean=False, needs_wrong=True)
#: p(right ids) - p(wrong ids)
PROB_DIFF = Metric(
    "prob_diff",
    lambda logits, batch, clean: _scores().prob_diff(logits, batch.answers, batch.wrong),
    needs_clean=False,
    needs_wrong=True,
)
#: -ln p(right ids)
LOSS = Metric(
    "loss",
    lambda logits, batch, clean: _scores().cross_entropy(logits, batch.answers),
    "nats",
    "lower",
    needs_clean=False,
    over_tokens="sum",
)
#: 1 where the most likely id of the vocabulary is right
ACCURACY = Metric(
    "accuracy",
    lambda logits, batch, clean: _scores().accuracy(logits, batch.answers),
    smooth=False,
    shares=False,
    needs_clean=False,
    over_tokens="min",
)
#: 1 where a right id is above every wrong one
CHOICE_ACCURACY = Metric(
    "choice_accuracy",
    lambda logits, batch, clean: _scores().accuracy(logits, batch.answers, batch.wrong),
    smooth=False,
    shares=False,
    needs_clean=False,
    needs_wrong=True,
)
#: KL(clean || run) of the next-token distributions
KL = Metric("kl", lambda logits, batch, clean: _scores().kl(clean, logits), "nats", "lower", distance=True,
    over_tokens="sum",
)  # fmt: skip
#: largest change of any logit (also of programs with numeric outputs)
MAX_CHANGE = Metric(
    "max_change", lambda logits, batch, clean: (logits - clean).abs().amax(-1), "logits", "lower", distance=True
)
#: |change of the loss|
ABSOLUTE_LOSS = Metric(
    "absolute_loss", lambda logits, batch, clean: _loss_change(logits, batch, clean).abs(), "nats", "lower",
    distance=True,
)  # fmt: skip
#: (change of the loss)^2
SQUARED_LOSS = Metric(
    "squared_loss", lambda logits, batch, clean: _loss_change(logits, batch, clean).square(), "nats^2", "lower",
    distance=True,
)  # fmt: skip
#: (change of the logit difference)^2
SQUARED_LOGIT_DIFF = Metric(
    "squared_logit_diff", lambda logits, batch, clean: _logit_diff_change(logits, batch, clean).square(), "logits^2",
    "lower", needs_wrong=True, distance=True,
)  # fmt: skip
#: loss of the run less that of the clean run; its mean cancels, so no share of it has a meaning
SIGNED_LOSS = Metric("signed_loss", _loss_change, "nats", "lower", shares=False, over_tokens="sum")
#: logit difference of the run less that of the clean run; its mean cancels
SIGNED_LOGIT_DIFF = Metric("signed_logit_diff", _logit_diff_change, "logits", shares=False, needs_wrong=True)
