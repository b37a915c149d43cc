"""Interaction graphs on disk: one safetensors file with the bases, the interactions, and labels of the features."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from toulmin.basis.build import InteractionGraph
from toulmin.basis.rotation import Rotation
from toulmin.faults import ExitCode, Fault, FaultError

_KEY = "toulmin.basis"
_TENSORS = ("C", "C_inverse", "strength", "spectrum")


def save_graph(path: Path | str, graph: InteractionGraph, labels: Mapping[str, Sequence[str]] | None = None) -> None:
    """Write a graph, and for some sites a label of each feature; the same graph gives the same bytes.

    :raises FaultError: ``basis.labels`` labels of a site that is not there, or not one for each feature.
    """
    labels = {site: list(names) for site, names in (labels or {}).items()}
    widths = {rotation.site: rotation.width for rotation in graph.rotations}
    faults = [
        Fault("basis.labels", f"{len(names)} labels for {widths.get(site, 'no')} features", name=site)
        for site, names in labels.items()
        if widths.get(site) != len(names)
    ]
    if faults:
        raise FaultError(faults)
    tensors = {f"edges.{number}": edges.contiguous() for number, edges in enumerate(graph.edges)}
    about = []
    for number, rotation in enumerate(graph.rotations):
        for name in _TENSORS:
            tensors[f"{number}.{name}"] = getattr(rotation, name).contiguous().clone()
        about.append({"site": rotation.site, "kept": rotation.kept, "constant": rotation.constant})
    # one entry: safetensors writes several in any order
    header = {_KEY: json.dumps({"rotations": about, "labels": labels}, sort_keys=True)}
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(save(tensors, metadata=header))
    partial.replace(path)


def load_graph(path: Path | str) -> tuple[InteractionGraph, dict[str, list[str]]]:
    """Read what :func:`save_graph` wrote: the graph and the labels.

    :raises FaultError: ``basis.file`` the file is missing, damaged, or something else.
    """
    try:
        with safe_open(str(path), "pt") as file:
            header = (file.metadata() or {}).get(_KEY)
            if header is None:
                raise FaultError(Fault("basis.file", "this is no interaction graph", str(path)))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (a method of safe_open)
    except (OSError, SafetensorError) as error:
        raise FaultError(Fault("basis.file", str(error), str(path)), ExitCode.MISSING) from None
    about = json.loads(header)
    rotations = tuple(
        Rotation(
            site=one["site"],
            kept=one["kept"],
            constant=one["constant"],
            **{name: tensors[f"{n}.{name}"] for name in _TENSORS},
        )
        for n, one in enumerate(about["rotations"])
    )
    edges = tuple(tensors[f"edges.{n}"] for n in range(sum(name.startswith("edges.") for name in tensors)))
    return InteractionGraph(rotations, edges), about["labels"]
