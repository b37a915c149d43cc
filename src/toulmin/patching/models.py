"""From a model of any kind to its computation."""

from __future__ import annotations

from typing import TypeAlias

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching.computation import Computation
from toulmin.patching.graph import Graph
from toulmin.patching.kernels import Terms
from toulmin.patching.networks import autoencoder_computation, mlp_computation
from toulmin.patching.transformer_computation import transformer_computation
from toulmin.subjects import ConvAutoencoder, Mlp, Transformer

Model: TypeAlias = Transformer | Mlp | ConvAutoencoder | Computation


def as_computation(model: Model, graph: Graph | None = None, terms: Terms | None = None) -> Computation:
    """The computation of a model, its components split into ``terms``.

    :param model: a Transformer, an :class:`~toulmin.subjects.Mlp`, a :class:`~toulmin.subjects.ConvAutoencoder`, or a
        computation itself.
    :param graph: of a Transformer, the graph to compute; otherwise only compared with the model's.

    :raises FaultError: ``patching.graph`` where the graph is not the model's; ``patching.terms``.
    """
    if isinstance(model, Transformer):
        return transformer_computation(model, graph, terms)
    if isinstance(model, Mlp):
        model = mlp_computation(model)
    elif isinstance(model, ConvAutoencoder):
        model = autoencoder_computation(model)
    if not isinstance(model, Computation):
        message = f"a {type(model).__name__} has no graph of its own: describe it by Computation.of_stages"
        raise FaultError(Fault("patching.model", message), ExitCode.SUBJECT)
    made = model.split(terms) if terms else model
    if graph is not None and graph.unmerged.split(terms or {}) != made.graph:
        raise FaultError(Fault("patching.graph", "the graph is not that of the computation"))
    return made
