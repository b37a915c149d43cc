"""Components, stages and shapes of Transformers as JSON values and back, every fault reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, cast

from toulmin.faults import Fault, FaultError
from toulmin.patching.stages import Component, Stage, TransformerShape

GRAPH_FORMAT = "toulmin.graph/1"
Faults = list[Fault]
Parts = tuple[TransformerShape | None, dict[str, list[str]], tuple[Component, ...], tuple[Stage, ...]]


def read_graph(data: object, file: str | None = None) -> Parts:
    """The shape and terms of a Transformer's graph, or the components and stages of any other, from JSON values.

    :raises FaultError: ``patching.graph`` for another format, and for every unknown, missing or wrong key.
    """
    values = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else {}
    if values.get("format") != GRAPH_FORMAT:
        found = values.get("format") if values else type(data).__name__
        raise FaultError(Fault("patching.graph", f"not a graph in the format {GRAPH_FORMAT}: {found!r:.60}", file))
    faults: Faults = []
    parts: Parts
    if "transformer" in values:
        _check_keys(values, {"format", "transformer"}, {"terms"}, faults)
        parts = _shape_from(values["transformer"], faults), _terms_from(values.get("terms", {}), faults), (), ()
    else:
        _check_keys(values, {"format", "components", "stages"}, set(), faults)
        components = _components_from(values.get("components"), faults)
        parts = None, {}, components, _stages_from(values.get("stages"), faults)
    if faults:
        raise FaultError([replace(fault, file=file) for fault in faults])
    return parts


def plain(part: Component | Stage) -> dict[str, Any]:
    """A component or stage as JSON values."""
    if isinstance(part, Component):
        return {"name": part.name, "inputs": list(part.inputs), "sources": list(part.sources)}
    return {
        "name": part.name,
        "kind": part.kind,
        "layer": part.layer,
        "reads": list(part.reads),
        "components": [plain(component) for component in part.components],
    }


def _check_keys(data: Mapping[Any, Any], needed: set[str], optional: set[str], faults: Faults, where: str = "") -> None:
    """Add a fault for every unknown and every missing key."""
    for key in data:
        if key not in needed | optional:
            faults.append(Fault("patching.graph", "unknown key", name=f"{where}{key}"))
    for key in sorted(needed - set(data)):
        faults.append(Fault("patching.graph", "this key is missing", name=f"{where}{key}"))


def _shape_from(data: object, faults: Faults) -> TransformerShape:
    """The shape of a Transformer's graph; of no meaning where faults were added."""
    nothing = TransformerShape(1, 1)
    if not isinstance(data, Mapping):
        faults.append(Fault("patching.graph", "expected a table", name="transformer"))
        return nothing
    values = cast("Mapping[str, Any]", data)
    names = {field.name for field in fields(TransformerShape)}
    before = len(faults)
    later = {"post_norms"}  # a key that older files have not
    _check_keys(values, names - later, later, faults, "transformer.")
    for name in sorted(names & set(values)):
        value, counted = values[name], name in ("n_layers", "n_heads")
        if counted and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            faults.append(
                Fault("patching.graph", f"{value!r:.40} is not a positive number", name=f"transformer.{name}")
            )
        if not counted and not isinstance(value, bool):
            faults.append(
                Fault("patching.graph", f"{value!r:.40} is neither true nor false", name=f"transformer.{name}")
            )
    return nothing if len(faults) > before else TransformerShape(**values)


def _terms_from(data: object, faults: Faults) -> dict[str, list[str]]:
    """Names of the terms of components that are split."""
    if isinstance(data, Mapping):
        terms = {str(name): _names(parts, f"terms.{name}", faults) for name, parts in data.items()}
        return {name: list(parts) for name, parts in terms.items()}
    faults.append(Fault("patching.graph", "expected lists of names", name="terms"))
    return {}


def _components_from(data: object, faults: Faults, where: str = "components") -> tuple[Component, ...]:
    """A list of components."""
    found: list[Component] = []
    for place, values in _tables(data, where, faults):
        _check_keys(values, {"name", "inputs", "sources"}, set(), faults, place)
        name = _text(values.get("name"), f"{place}name", faults)
        inputs = _names(values.get("inputs"), f"{place}inputs", faults)
        found.append(Component(name, inputs, _names(values.get("sources"), f"{place}sources", faults)))
    return tuple(found)


def _stages_from(data: object, faults: Faults) -> tuple[Stage, ...]:
    """A list of stages."""
    found: list[Stage] = []
    for place, values in _tables(data, "stages", faults):
        _check_keys(values, {"name", "kind", "layer", "reads", "components"}, set(), faults, place)
        layer = values.get("layer")
        if not isinstance(layer, int) or isinstance(layer, bool):
            faults.append(Fault("patching.graph", f"{layer!r:.40} is not a whole number", name=f"{place}layer"))
            layer = 0
        components = _components_from(values.get("components"), faults, f"{place}components")
        name, kind = (_text(values.get(key), f"{place}{key}", faults) for key in ("name", "kind"))
        found.append(Stage(name, components, _names(values.get("reads"), f"{place}reads", faults), kind, layer))
    return tuple(found)


def _tables(data: object, where: str, faults: Faults) -> list[tuple[str, Mapping[str, Any]]]:
    if isinstance(data, list) and all(isinstance(one, Mapping) for one in cast("list[Any]", data)):
        return [(f"{where}[{index}].", one) for index, one in enumerate(cast("list[Mapping[str, Any]]", data))]
    faults.append(Fault("patching.graph", "expected a list of tables", name=where))
    return []


def _text(value: object, where: str, faults: Faults) -> str:
    if not isinstance(value, str):
        faults.append(Fault("patching.graph", f"expected a name, got {value!r:.40}", name=where))
    return str(value)


def _names(value: object, where: str, faults: Faults) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(one, str) for one in cast("list[Any]", value)):
        return tuple(cast("list[str]", value))
    faults.append(Fault("patching.graph", "expected a list of names", name=where))
    return ()
