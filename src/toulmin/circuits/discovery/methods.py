"""Every discovery method by name, and ``discover``, the one call for all of them. No torch until a method runs.

In a study, ``method`` is a name, or a table of a name and settings:

    [configuration.method]
    name = "acdc"
    tau = 0.02
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import PlainValidator, SerializeAsAny

from toulmin.circuits.discovery.acdc import Acdc
from toulmin.circuits.discovery.baselines import ActivationMagnitude, RandomScores
from toulmin.circuits.discovery.eap import Eap
from toulmin.circuits.discovery.eap_ig import EapIg, EapIgActivations
from toulmin.circuits.discovery.exact_effects import ExactEffects
from toulmin.circuits.discovery.mask_gradient import MaskGradient, MaskIg
from toulmin.circuits.discovery.method import INSIDE, Discovery, DiscoveryMethod, Progress, name_of
from toulmin.circuits.discovery.probing import CircuitProbing, EdgeProbing
from toulmin.circuits.discovery.relp import Relp
from toulmin.faults import Fault, FaultError

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner

_CLASSES: tuple[type[DiscoveryMethod], ...] = (
    Acdc, ActivationMagnitude, CircuitProbing, Eap, EapIg, EapIgActivations, EdgeProbing, ExactEffects, MaskGradient,
    MaskIg, RandomScores, Relp,
)  # fmt: skip
#: the methods by the name that is their ``name`` field
METHODS: dict[str, type[DiscoveryMethod]] = {name_of(cls): cls for cls in _CLASSES}


def _read(value: Any) -> DiscoveryMethod:
    """A method from a name, a table with a name, or itself."""
    if isinstance(value, DiscoveryMethod):
        return value
    table: Any = {"name": value} if isinstance(value, str) else value
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise ValueError('a discovery method is its name, or a table with name = "..."')
    if table["name"] not in METHODS:
        raise ValueError(f"there is no discovery method {table['name']!r}; {_near(table['name'])}")
    return METHODS[table["name"]].model_validate(table, context=INSIDE)


def _near(name: str) -> str:
    return "there are: " + ", ".join(difflib.get_close_matches(name, METHODS, n=3) or sorted(METHODS))


#: the type of a study's ``method`` field: a name or a table with settings; each method refuses what it does not take
MethodSetting: TypeAlias = Annotated[SerializeAsAny[DiscoveryMethod], PlainValidator(_read)]


def discover(
    runner: CircuitRunner,
    method: str | DiscoveryMethod = "eap_ig",
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> Discovery:
    """Find a circuit on the runner's model and prompts.

    :param method: a name (``"acdc"``, ``"eap_ig"``, ...) or a method with its settings (``Acdc(tau=0.02)``).
    :param settings: of the method called by name: ``discover(runner, "acdc", tau=0.02)``.
    :param progress: called with the number of steps done since the last call.
    :raises FaultError: ``circuits.method``: no method of that name, or a setting that the method does not take.
    """
    return find_method(method, **settings).discover(runner, progress)


def find_method(method: str | DiscoveryMethod, **settings: Any) -> DiscoveryMethod:
    """A method by name with settings; with none, also a method as it is.

    :raises FaultError: ``circuits.method``: no method of that name, or settings that it does not take.
    """
    if isinstance(method, DiscoveryMethod):
        if settings:
            text = f"the method has its settings already: {', '.join(settings)} belong to it"
            raise FaultError(Fault("circuits.method", text, name=method.key))
        return method
    if method not in METHODS:
        raise FaultError(
            Fault("circuits.method", "no such discovery method", name=str(method), hint=_near(str(method)))
        )
    return METHODS[method](**settings)
