"""Gradient routing in the Trainer of Hugging Face transformers (extra ``hf-trainer``).

It is a subclass and no callback: a callback of that Trainer never sees the batch, and routing needs the batch's labels.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from toulmin.faults import Fault, FaultError, require_extra
from toulmin.routing.plan import RoutePlan
from toulmin.routing.router import Router

transformers = require_extra("transformers", "hf-trainer")


class RoutedTrainer(transformers.Trainer):  # type: ignore[name-defined, misc]
    """A Trainer whose batches carry routing labels in one column.

    :param plan: the routes, by the names of the model's own modules and parameters.
    :param column: the column of a batch that holds its labels, in any form that a :class:`Router` takes: (B,), (B, T)
        integers (-1: unlabelled), booleans, or strengths (B, T, K).
    :param block: whether what a batch's labels exclude is also kept from momentum and weight decay.
    :param settings: those of the Trainer; ``TrainingArguments(remove_unused_columns=False)`` keeps the column.
    :raises FaultError: a batch has no such column (``routing.column``); those of :class:`Router`.
    """

    def __init__(self, *, plan: RoutePlan, column: str = "route", block: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self.router = Router(self.model, plan)
        self.column, self.block = column, block

    def create_optimizer(self, *args: Any, **settings: Any) -> Any:
        """The Trainer's optimizer, which leaves excluded slices alone where ``block`` asks for it."""
        optimizer = super().create_optimizer(*args, **settings)
        if self.block and self.router.blocked is None:
            self.router.block_updates(optimizer)
        return optimizer

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **settings: Any) -> Tensor:
        """The Trainer's loss, with the forward pass in the router's block."""
        if not model.training:
            return super().compute_loss(model, {k: v for k, v in inputs.items() if k != self.column}, *args, **settings)
        if self.column not in inputs:
            hint = "give the data that column, and TrainingArguments(remove_unused_columns=False)"
            text = f"a batch has the columns {', '.join(sorted(inputs))}, and not the labels"
            raise FaultError(Fault("routing.column", text, name=self.column, hint=hint))
        kept = {name: value for name, value in inputs.items() if name != self.column}
        with self.router(labels=inputs[self.column]):
            return super().compute_loss(model, kept, *args, **settings)


__all__ = ["RoutedTrainer"]
