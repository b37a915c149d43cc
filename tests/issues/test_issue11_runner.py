"""Where a ``CircuitRunner`` is wanted, a subject, a model or pairs are one fault that says what to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from circuit_models import model_of, pairs_of

from toulmin.circuits import (
    Acdc,
    Circuit,
    CircuitRunner,
    Eap,
    attribution_agreement,
    discover,
    faithfulness_card,
    hypothesis_tests,
    learn_constants,
    sweep_sizes,
)
from toulmin.circuits.discovery import exact_effects
from toulmin.circuits.discovery.methods import METHODS
from toulmin.circuits.faithfulness import compare_knockouts, worst_knockout
from toulmin.faults import FaultError
from toulmin.subjects import Subject

MODEL = model_of()
RUNNER = CircuitRunner(MODEL, pairs_of(2))
CIRCUIT = Circuit.full(RUNNER.graph)
CALLS: dict[str, Callable[[Any], object]] = {
    "attribution_agreement": lambda runner: attribution_agreement(runner, Eap().scores(RUNNER)),
    "compare_knockouts": lambda runner: compare_knockouts(runner, CIRCUIT, []),
    "discover": discover,
    "exact_effects": exact_effects,
    "faithfulness_card": lambda runner: faithfulness_card(runner, CIRCUIT),
    "hypothesis_tests": lambda runner: hypothesis_tests(runner, CIRCUIT),
    "learn_constants": lambda runner: learn_constants(runner, CIRCUIT),
    "remove": lambda runner: Acdc(tau=0.1).remove(runner),
    "sweep_sizes": lambda runner: sweep_sizes(runner, Eap().scores(RUNNER), sizes=[1]),
    "worst_knockout": lambda runner: worst_knockout(runner, CIRCUIT),
    **{
        name: (lambda runner, name=name: METHODS.find(name)().discover(runner))
        for name in METHODS.names()
        if name != "acdc"
    },
}


@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_runner_is_one_clear_fault(call: str) -> None:
    for given, kind in ((Subject(MODEL), "Subject"), (MODEL, "Transformer"), (pairs_of(2), "list")):
        with pytest.raises(FaultError, match=rf"a CircuitRunner is wanted, and this is a {kind} \(make one") as caught:
            CALLS[call](given)
        assert [fault.code for fault in caught.value.faults] == ["circuits.runner"]
