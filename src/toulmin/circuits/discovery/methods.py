"""Every discovery method behind one call."""

from __future__ import annotations

from typing import cast

import numpy as np

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.acdc import acdc
from toulmin.circuits.discovery.attribution import activation_magnitude, eap, integrated, relp
from toulmin.circuits.discovery.edge_scores import EdgeScores, random_scores
from toulmin.circuits.discovery.exact_effects import exact_effects
from toulmin.circuits.discovery.probing import open_circuit, probe_edges
from toulmin.circuits.methodology import Ablation
from toulmin.circuits.runner import CircuitRunner
from toulmin.circuits.studies.base import Method
from toulmin.faults import Fault, FaultError


def discover(
    runner: CircuitRunner,
    method: Method,
    *,
    size: int | None = None,
    tau: float = 0.01,
    metric: str = "logit_diff",
    ablation: Ablation = "resample",
    seed: int = 0,
    steps: int = 10,
    epochs: int = 40,
) -> tuple[Circuit, EdgeScores | None]:
    """A circuit and, where the method has them, the scores it was cut from.

    :param size: edges of the circuit, default a twentieth of all; ACDC and edge probing choose their own.
    :param tau: ACDC's threshold. :param steps: of integrated gradients. :param epochs: of probing.
    :raises FaultError: an unknown method.
    """
    size = max(1, runner.graph.n_edges // 20) if size is None else size
    if method == "acdc":
        return acdc(runner, tau, ablation=ablation).circuit, None
    if method == "edge_probing":
        found = probe_edges(runner, penalty=1.0, epochs=epochs, ablation=ablation, seed=seed)
        return open_circuit(found), found
    makers = {
        "eap": lambda: eap(runner, metric, ablation=ablation),
        "eap_ig": lambda: integrated(runner, metric, path="inputs", steps=steps),
        "eap_ig_activations": lambda: integrated(runner, metric, path="activations", steps=steps, ablation=ablation),
        "mask_ig": lambda: integrated(runner, metric, path="masks", steps=steps, ablation=ablation),
        "relp": lambda: relp(runner, metric, ablation=ablation),
        "circuit_probing": lambda: probe_edges(runner, size=size, epochs=epochs, ablation=ablation, seed=seed),
        "exact": lambda: exact_effects(runner, metric, ablation=ablation),
        "random": lambda: random_scores(runner.graph, np.random.default_rng(seed)),
        "activation_magnitude": lambda: activation_magnitude(runner),
    }
    if method not in makers:
        raise FaultError(Fault("circuits.method", "unknown method", name=cast("str", method)))
    scores = makers[method]()
    return scores.top(size), scores
