"""Taking a region out of a model, adding units for it beforehand, and the access profiles that follow."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from toulmin.evidence import Table
from toulmin.faults import Fault, FaultError
from toulmin.routing.places import as_index, match_names, mlp_layout, nearest, region_slices, unwrap
from toulmin.routing.plan import RoutePlan

Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def ablate(
    model: Model,
    plan: RoutePlan,
    to: Literal["zero", "reinit"] = "zero",
    *,
    labels: Iterable[str] | None = None,
    seed: int = 0,
) -> Model:
    """A copy of ``model`` without the regions ``labels`` (by default all of the plan's).

    ``to="zero"`` sets the regions' slices of parameters to 0: what they compute is gone. Slices that both read and
    write zeros get no gradient either (with an activation of 0 at 0), so an attack that relearns cannot use them, and
    the ablated model looks more robust than it is. ``to="reinit"`` draws the slices afresh: normal, with the standard
    deviation of the rest of the same parameter, so that relearning can use them.

    :raises FaultError: no such region, or its slices are not in the model.
    """
    if to not in ("zero", "reinit"):
        raise FaultError(Fault("routing.ablate", f"{to!r} is not one of zero, reinit", name="to"))
    inner = copy.deepcopy(unwrap(model))
    slices = region_slices(inner, plan, plan.labels if labels is None else labels)
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(inner.named_parameters())
    for name in sorted(slices):
        parameter = parameters[name]
        gone = torch.stack([part.mask(parameter) for part in slices[name]]).any(0).expand_as(parameter)
        if to == "zero":
            parameter.masked_fill_(gone, 0.0)
            continue
        rest = parameter[~gone]
        scale = float(rest.double().std()) if rest.numel() > 1 else 0.0
        drawn = torch.empty(parameter.shape).normal_(0.0, 1.0, generator=generator) * scale
        parameter.copy_(torch.where(gone, drawn.to(parameter), parameter))
    return inner  # type: ignore[return-value]


def profile(model: Model, plan: RoutePlan, on: Iterable[str]) -> Model:
    """The access profile in which only the regions ``on`` are there: a copy with the others ablated to zero.

    One training run with K regions gives 2^K such models.

    :raises FaultError: (``routing.label``) there is no such region.
    """
    wanted = set(on)
    plan.of(wanted)
    return ablate(model, plan, "zero", labels=[label for label in plan.labels if label not in wanted])


def access_profiles(model: Model, plan: RoutePlan, scores: Mapping[str, Callable[[Model], float]]) -> Table:
    """A table of every access profile: which of the K regions are there, and the scores of that model (2^K rows).

    ``scores`` names functions of a model, such as its loss on held-out data of each label.
    """
    labels = plan.labels
    rows: list[tuple[str | float, ...]] = []
    for present in itertools.product((True, False), repeat=len(labels)):
        made = profile(model, plan, [label for label, there in zip(labels, present, strict=True) if there])
        marks = ("yes" if there else "no" for there in present)
        rows.append((*marks, *(float(score(made)) for score in scores.values())))
    return Table(title="Access profiles", columns=(*labels, *scores), rows=tuple(rows))


@torch.no_grad()
def expand(model: Model, units: Mapping[str, int], *, seed: int = 0, silent: bool = False) -> Model:
    """A copy of ``model`` whose MLPs have more hidden units: the first step of Expand, Route, Ablate.

    ``units`` maps patterns of module names to the number of units to add; they come last. New weights are normal with
    the standard deviation of the parameter that they extend (biases 0); with ``silent`` the new units write 0, so that
    the model computes what it did. A :class:`toulmin.subjects.Transformer` keeps a configuration that is right.

    :raises FaultError: (all faults) no module matches, is no MLP whose layout is known, or a number below 1.
    """
    inner = copy.deepcopy(unwrap(model))
    modules = dict(inner.named_modules())
    faults: list[Fault] = []
    plan: dict[str, int] = {}
    for pattern, count in units.items():
        found = match_names(pattern, modules)
        if not found:
            hint = nearest(pattern, (n for n in modules if n))
            faults.append(Fault("routing.no_match", "matches no module", name=pattern, hint=hint))
        if count < 1:
            faults.append(Fault("routing.expand", f"units to add are at least 1, not {count}", name=pattern))
        for name in found:
            plan[name] = count
            if mlp_layout(modules[name]) is None:
                faults.append(Fault("routing.layout", "is no MLP whose layout is known", name=name))
    config = getattr(inner, "config", None)
    by_layer = {plan.get(n, 0) for n, m in modules.items() if type(m).__name__ == "FeedForward"}
    if dataclasses.is_dataclass(config) and len(by_layer) > 1:
        text = "the layers of this model have one width of MLP, and not all would get the same"
        faults.append(Fault("routing.expand", text, name=", ".join(units)))
    if faults:
        raise FaultError(faults)
    generator = torch.Generator().manual_seed(seed)
    for name, count in plan.items():
        layout = mlp_layout(modules[name])
        assert layout is not None
        writes = [part for part, axis in layout.items() if axis is not None and "bias" not in part and part[0] != "b"][
            -1
        ]
        for part, axis in layout.items():
            if axis is None:
                continue
            owner, _, leaf = f"{name}.{part}".rpartition(".")
            module = modules[owner]
            old: Tensor = getattr(module, leaf)
            shape = [count if i == axis else n for i, n in enumerate(old.shape)]
            scale = 0.0 if old.ndim == 1 or (silent and part == writes) else float(old.double().std())
            new = torch.empty(shape).normal_(0.0, 1.0, generator=generator) * scale
            setattr(module, leaf, nn.Parameter(torch.cat([old, new.to(old)], axis), requires_grad=old.requires_grad))
            _widen(module, axis, count)
    if dataclasses.is_dataclass(config) and by_layer:
        changed: Any = dataclasses.replace(config, d_mlp=config.d_mlp + by_layer.pop())  # type: ignore[attr-defined]
        inner.config = changed
    return inner  # type: ignore[return-value]


def _widen(module: nn.Module, axis: int, count: int) -> None:
    """Keep the sizes that a linear map states of itself."""
    if isinstance(module, nn.Linear):
        if axis == 0:
            module.out_features = module.weight.shape[0]
        else:
            module.in_features = module.weight.shape[1]
    elif hasattr(module, "nf"):
        weight = module.get_parameter("weight")
        module.__dict__.update(nf=weight.shape[1], nx=weight.shape[0])


def region_span(model: nn.Module, pattern: str, count: int) -> slice:
    """The last ``count`` hidden units of the MLPs that match: where :func:`expand` put the new ones.

    :raises FaultError: no MLP matches, or they differ in width.
    """
    modules = dict(model.named_modules())
    widths: set[int] = set()
    for name in match_names(pattern, modules):
        layout = mlp_layout(modules[name]) or {}
        own = dict(modules[name].named_parameters())
        widths |= {own[part].shape[axis] for part, axis in layout.items() if axis is not None}
    if len(widths) != 1 or count < 1 or count > max(widths):
        text = f"{count} units of MLPs of widths {sorted(widths)}"
        raise FaultError(Fault("routing.dims", text, name=pattern))
    (width,) = widths
    as_index(slice(width - count, width), width)
    return slice(width - count, width)
