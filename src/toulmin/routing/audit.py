"""Where the gradient and the update of each label's batch go: what a plan does, measured on the model itself."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from toulmin.evidence import Heatmap, Table, TabularResult
from toulmin.routing.places import region_slices, unwrap

if TYPE_CHECKING:
    from toulmin.routing.router import Router

REST = "rest"


@dataclass(frozen=True)
class AuditRow:
    """One parameter's part in one region, under one label.

    ``gradient`` and ``update`` are shares of the squared norm over the whole model; ``zero`` says that every entry of
    the gradient is exactly 0, ``still`` that no entry moved.
    """

    label: str
    parameter: str
    part: str
    gradient: float
    update: float | None
    zero: bool
    still: bool | None


@dataclass(frozen=True)
class Audit(TabularResult):
    """Shares of gradient and update by label, parameter and part (a region, or the rest)."""

    rows: tuple[AuditRow, ...]

    def share(self, label: str, part: str, of: str = "gradient") -> float:
        """The share of a part in the gradient (or ``"update"``) of a label's batch."""
        return sum(float(getattr(r, of) or 0.0) for r in self.rows if (r.label, r.part) == (label, part))

    def tables(self) -> list[Table]:
        """One row a parameter and part."""
        rows = [(r.label, r.parameter, r.part, r.gradient, r.update, _mark(r.zero), _mark(r.still)) for r in self.rows]
        columns = ("label", "parameter", "part", "share of gradient", "share of update", "gradient 0", "no update")
        return [Table(title="Where gradients and updates go", columns=columns, rows=tuple(rows))]

    def heatmap(self) -> Heatmap:
        """Rows: parameter and part; columns: labels; the share of the gradient, exact zeros marked."""
        labels = list(dict.fromkeys(r.label for r in self.rows))
        places = list(dict.fromkeys((r.parameter, r.part) for r in self.rows))
        by = {(r.parameter, r.part, r.label): r for r in self.rows}
        grid = [[by[(*place, label)] for label in labels] for place in places]
        return Heatmap(
            title="Share of the gradient by label",
            caption="Each column sums to 1; 0 is printed where every entry is exactly zero.",
            x_labels=tuple(labels),
            y_labels=tuple(f"{parameter} ({part})" for parameter, part in places),
            values=tuple(tuple(cell.gradient for cell in row) for row in grid),
            text=tuple(tuple("0" if cell.zero else f"{cell.gradient:.3f}" for cell in row) for row in grid),
            x_title="label",
            unit="share",
        )


def _mark(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else ""


def audit(
    router: Router,
    batches: Mapping[str, Any],
    loss: Callable[[nn.Module, Any], Tensor],
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None = None,
) -> Audit:
    """The shares for one batch a label.

    :param batches: for each label (or ``"unlabelled"``) a batch of that label alone.
    :param loss: the loss of a model and a batch.
    :param optimizer: builds an optimizer of the parameters, if updates are to be measured: after one unlabelled step
        on all batches, so that there is momentum, the update of each label's step. The model is left as it was.
    :raises FaultError: a label that the plan does not know.
    """
    inner = unwrap(router.model)
    regions = {name: region_slices(inner, router.plan, [name]) for name in router.plan.labels}
    rows: list[AuditRow] = []
    for label, batch in batches.items():
        trial = copy.deepcopy(inner)
        own = type(router)(trial, router.plan)
        parameters = {name: p for name, p in trial.named_parameters() if p.requires_grad}
        made = None
        if optimizer is not None:
            made = optimizer(list(parameters.values()))
            for each in batches.values():
                with own():
                    loss(trial, each).backward()
            made.step()
            made.zero_grad()
            if router.blocked is not None:
                own.block_updates(made)
        before = {name: p.detach().clone() for name, p in parameters.items()}
        with own(labels=label):
            value = loss(trial, batch)
        value.backward()
        gradients = {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in parameters.items()}
        moved: dict[str, Tensor] | None = None
        if made is not None:
            made.step()
            moved = {name: p.detach() - before[name] for name, p in parameters.items()}
        own.remove()
        total = sum(float(g.double().square().sum()) for g in gradients.values()) or 1.0
        total_moved = sum(float(m.double().square().sum()) for m in (moved or {}).values()) or 1.0
        for name, gradient in gradients.items():
            for part, mask in _parts(name, gradient, regions):
                inside = gradient[mask]
                shift = None if moved is None else moved[name][mask]
                rows.append(
                    AuditRow(
                        label,
                        name,
                        part,
                        float(inside.double().square().sum()) / total,
                        None if shift is None else float(shift.double().square().sum()) / total_moved,
                        bool((inside == 0).all()),
                        None if shift is None else bool((shift == 0).all()),
                    )
                )
    return Audit(tuple(rows))


def _parts(name: str, gradient: Tensor, regions: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Tensor]]:
    parts: list[tuple[str, Tensor]] = []
    rest = torch.ones_like(gradient, dtype=torch.bool)
    for region, slices in regions.items():
        for part in slices.get(name, []):
            mask = part.mask(gradient).expand_as(gradient)
            parts.append((region, mask))
            rest &= ~mask
    return [*parts, (REST, rest)] if bool(rest.any()) else parts
