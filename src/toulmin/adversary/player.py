"""The kind of player ``amcts``: an adversary that searches against a model of its victim (Wang et al. 2022).

    {"kind": "amcts", "net": REFERENCE, "search": {"visits": 64},
     "options": {"victim": {"kind": "net", "net": REFERENCE, "search": {"visits": 1}}, "variant": "S"}}

or ``amcts:NET@64,victim=NET,variant=S`` in one word. With the victim's own network as ``net`` nothing has been trained,
and what such a player wins over an ordinary search of as many visits is what knowing the victim is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from toulmin.adversary.settings import AmctsSettings
from toulmin.faults import Fault, FaultError, faults_of_validation
from toulmin.go import Player, PlayerKind, PlayerSpec

if TYPE_CHECKING:
    from toulmin.go import Games, PlayerSetting, Searched


def victim_of(spec: PlayerSpec) -> PlayerSpec:
    """The victim that a player of this kind models: its specification, or its network at one visit.

    :raises FaultError: ``adversary.victim``: there is none, or it cannot be modelled.
    """
    given: Any = spec.options.get("victim")
    if isinstance(given, str):
        reference = given if ":" in given else f"file:{given}"
        given = {"kind": "net", "net": reference, "search": {"visits": 1}}
    try:
        victim = PlayerSpec.model_validate(given)
    except ValidationError as error:
        if given is None:
            raise FaultError(Fault("adversary.victim", "amcts needs the option victim: whom it models")) from None
        raise FaultError(faults_of_validation(error, "adversary.victim")) from None
    if victim.net is None or victim.kind == "amcts":
        raise FaultError(
            Fault("adversary.victim", f"{victim.label} cannot be modelled: it plays no network of its own")
        )
    return victim


def model_settings(spec: PlayerSpec) -> AmctsSettings:
    """The variant and the visits of the model.

    :raises FaultError: ``adversary.victim``.
    """
    chosen = {name: spec.options[name] for name in ("variant", "victim_visits") if name in spec.options}
    try:
        return AmctsSettings.model_validate(chosen)
    except ValidationError as error:
        faults = faults_of_validation(error, "adversary.victim")
        told = "; ".join(f"{fault.name}: {fault.message}" for fault in faults)
        raise FaultError(Fault("adversary.victim", told)) from None


def _nets(spec: PlayerSpec) -> tuple[str, ...]:
    model_settings(spec)
    return (victim_of(spec).net or "",)


def _make(spec: PlayerSpec, setting: PlayerSetting) -> Player:
    from toulmin.adversary.amcts import victim_model
    from toulmin.go import Evaluator, SearchPlayer, adversarial_search

    model = victim_model(victim_of(spec), model_settings(spec), setting.locate, setting.device, setting.seed)

    class Adversary(SearchPlayer):
        def searched(
            self,
            games: Games,
            rows: NDArray[np.int64],
            generators: Sequence[np.random.Generator],
            allowed: NDArray[np.bool_],
        ) -> Searched:
            return adversarial_search(games, rows, self.evaluator, model, self.settings, generators, allowed)

    evaluator = Evaluator(setting.locate(spec.net or ""), device=setting.device)
    return Adversary(spec.label, evaluator, spec.search, spec.passing)


AMCTS = PlayerKind(
    "amcts",
    _make,
    needs="net",
    evaluates=True,
    searches=True,
    options=("victim", "variant", "victim_visits"),
    more_nets=_nets,
)
