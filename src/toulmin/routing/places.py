"""Finding what a route names in a model: modules, methods and parameters by pattern, and the layout of MLPs."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from toulmin.faults import Fault, FaultError
from toulmin.routing.plan import Dims, Route, RoutePlan


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside what ``torch.compile`` or DistributedDataParallel made of it."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and type(model).__name__ in ("DistributedDataParallel", "DataParallel"):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def match_names(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a pattern matches: ``*`` is one part between dots, or some of it; ``**`` any number of parts."""
    pieces = [re.escape(piece).replace(r"\*", "[^.]*") for piece in pattern.split("**")]
    expression = re.compile(".*".join(pieces))
    return [name for name in names if expression.fullmatch(name)]


def nearest(name: str, names: Iterable[str]) -> str | None:
    """A hint with the names most like ``name``."""
    close = difflib.get_close_matches(name, list(dict.fromkeys(names)), n=3, cutoff=0.3)
    return f"the nearest are {', '.join(close)}" if close else None


@dataclass(frozen=True)
class Slices:
    """The part of one parameter that belongs to a region: the entries ``index`` of ``axis``, or nothing of it.

    ``index`` is None for a parameter that is in no region but among those matched (an output bias).
    """

    name: str
    axis: int
    index: Tensor | None

    def mask(self, parameter: Tensor) -> Tensor:
        """True inside, of a shape that broadcasts over ``parameter``."""
        inside = torch.zeros(parameter.shape[self.axis], dtype=torch.bool, device=parameter.device)
        if self.index is not None:
            inside[self.index.to(parameter.device)] = True
        return inside.reshape([-1 if i == self.axis else 1 for i in range(parameter.ndim)])


def as_index(dims: Dims, size: int) -> Tensor:
    """The dimensions as indices of an axis of ``size``.

    :raises ValueError: they do not lie within it, are none, or one comes twice.
    """
    if isinstance(dims, slice):
        stop = size if dims.stop is None else dims.stop
        if not -size <= stop <= size or (dims.start or 0) < -size:
            raise ValueError(f"{_text(dims)} does not lie in an axis of {size}")
        chosen = list(range(size))[dims]
    else:
        chosen = [int(d) for d in dims]
        if any(not 0 <= d < size for d in chosen):
            raise ValueError(f"{_text(dims)} does not lie in an axis of {size}")
        if len(set(chosen)) < len(chosen):
            raise ValueError("a dimension is named twice")
    if not chosen:
        raise ValueError(f"{_text(dims)} of an axis of {size} is empty")
    return torch.tensor(chosen)


def _text(dims: Dims) -> str:
    if isinstance(dims, slice):
        return f"{dims.start or 0}:{'' if dims.stop is None else dims.stop}"
    return str(list(dims))


def mlp_layout(module: nn.Module) -> dict[str, int | None] | None:
    """For each own parameter of an MLP the axis of the hidden units, None for those without (the output bias).

    Known are: two or three ``nn.Linear`` (the last one writes), Hugging Face's ``Conv1D`` (weights transposed), and the
    MLP of :class:`toulmin.subjects.Transformer`. None for any other module.
    """
    own = dict(module.named_parameters(recurse=False))
    if {"W_in", "W_out"} <= own.keys():
        axes: dict[str, int | None] = {"W_in": 1, "W_gate": 1, "b_in": 0, "b_gate": 0, "W_out": 0, "b_out": None}
        axes |= {"W_router": None}
        return {name: axes[name] for name in own}
    parts = [(n, m) for n, m in module.named_modules() if _is_linear(m)]
    if not 2 <= len(parts) <= 3 or own:
        return None
    reads, writes = parts[:-1], parts[-1]
    hidden = _sizes(writes[1])[0]
    if any(_sizes(m)[1] != hidden for _, m in reads):
        return None
    layout: dict[str, int | None] = {}
    for name, part in reads:
        layout[f"{name}.weight"] = 0 if isinstance(part, nn.Linear) else 1
        if part.bias is not None:
            layout[f"{name}.bias"] = 0
    layout[f"{writes[0]}.weight"] = 1 if isinstance(writes[1], nn.Linear) else 0
    if writes[1].bias is not None:
        layout[f"{writes[0]}.bias"] = None
    known = layout.keys() == dict(module.named_parameters()).keys()  # a block with norms and more is no MLP
    return layout if known else None


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or (type(module).__name__ == "Conv1D" and hasattr(module, "nf"))


def _sizes(module: nn.Module) -> tuple[int, int]:
    """Inputs and outputs of a linear map."""
    shape = module.get_parameter("weight").shape
    return (shape[1], shape[0]) if isinstance(module, nn.Linear) else (shape[0], shape[1])


def find_sites(model: nn.Module, route: Route) -> tuple[list[str], list[Fault]]:
    """Names of the modules whose outputs a route concerns; ``MODULE:METHOD`` where ``at`` names a method."""
    assert route.at is not None
    modules = dict(model.named_modules())
    found = match_names(route.at, modules)
    if not found and "." in route.at:
        owner, method = route.at.rsplit(".", 1)
        found = [
            f"{name}:{method}"
            for name in match_names(owner, modules)
            if callable(getattr(type(modules[name]), method, None))
        ]
    if found:
        return found, []
    hint = nearest(route.at, (n for n in modules if n))
    return [], [Fault("routing.no_match", "at matches no module", name=route.at, hint=hint)]


def find_slices(model: nn.Module, route: Route) -> tuple[list[Slices], list[Fault]]:
    """The slices of parameters of a route, and every fault.

    An activation route without ``params`` has those of the MLP in which its activation lies.
    """
    parameters = dict(model.named_parameters())
    units = route.units
    assert units is not None
    if route.params is None:
        owners, faults = _mlps_around(model, route)
    else:
        owners, faults = _named(model, route, parameters)
    slices: list[Slices] = []
    for name, axis in owners.items():
        if axis is None:
            slices.append(Slices(name, 0, None))
            continue
        shape = parameters[name].shape
        if not -len(shape) <= axis < len(shape):
            faults.append(Fault("routing.dims", f"has {len(shape)} axes, and axis {axis} is asked for", name=name))
            continue
        try:
            slices.append(Slices(name, axis % len(shape), as_index(units, shape[axis])))
        except ValueError as error:
            faults.append(Fault("routing.dims", str(error), name=name))
    return slices, faults


def _named(
    model: nn.Module, route: Route, parameters: Mapping[str, Tensor]
) -> tuple[dict[str, int | None], list[Fault]]:
    assert route.params is not None
    direct = match_names(route.params, parameters)
    if direct:
        if route.axis is None and any(parameters[name].ndim > 1 for name in direct):
            text = "a parameter of several axes: axis says which of them are the units"
            return {}, [Fault("routing.axis", text, name=route.params)]
        return {name: route.axis or 0 for name in direct}, []
    modules = dict(model.named_modules())
    found = match_names(route.params, modules)
    if not found:
        hint = nearest(route.params, [*(n for n in modules if n), *parameters])
        return {}, [Fault("routing.no_match", "params matches no module or parameter", name=route.params, hint=hint)]
    owners: dict[str, int | None] = {}
    faults: list[Fault] = []
    for name in found:
        layout = mlp_layout(modules[name])
        if layout is None:
            hint = "name its parameters one by one, with axis"
            faults.append(Fault("routing.layout", "is no MLP whose layout is known", name=name, hint=hint))
        else:
            owners |= {f"{name}.{part}" if name else part: axis for part, axis in layout.items()}
    return owners, faults


def _mlps_around(model: nn.Module, route: Route) -> tuple[dict[str, int | None], list[Fault]]:
    modules = dict(model.named_modules())
    sites, faults = find_sites(model, route)
    owners: dict[str, int | None] = {}
    for site in sites:
        name = site.partition(":")[0]
        while (layout := mlp_layout(modules[name])) is None and name:
            name = name.rpartition(".")[0]
        if layout is None:
            hint = "give params: the slices of parameters that belong to the activation"
            faults.append(Fault("routing.layout", "lies in no MLP whose layout is known", name=site, hint=hint))
        else:
            owners |= {f"{name}.{part}" if name else part: axis for part, axis in layout.items()}
    return owners, faults


def region_slices(model: nn.Module, plan: RoutePlan, labels: Iterable[str]) -> dict[str, list[Slices]]:
    """For each parameter the slices that belong to the regions ``labels``.

    :raises FaultError: no such region, or a route names nothing of the model (all faults).
    """
    found: dict[str, list[Slices]] = {}
    faults: list[Fault] = []
    for route in plan.of(labels):
        slices, wrong = find_slices(model, route)
        faults += wrong
        for part in slices:
            if part.index is not None:
                found.setdefault(part.name, []).append(part)
    if faults:
        raise FaultError(list(dict.fromkeys(faults)))
    return found
