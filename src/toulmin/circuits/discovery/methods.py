"""Every discovery method by name, and ``discover``, the one call for all of them. No torch until a method runs.

In a study, ``method`` is a name, or a table of a name and settings:

    [configuration.method]
    name = "acdc"
    tau = 0.02

Methods are entry points of the group ``toulmin.discovery``, so that a package of one's own adds some:

    [project.entry-points."toulmin.discovery"]
    my_method = "my_package.methods:MyMethod"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import PlainValidator, SerializeAsAny

from toulmin.circuits.checks import check_runner
from toulmin.circuits.discovery.method import INSIDE, Discovery, DiscoveryMethod, Progress, name_of
from toulmin.faults import Fault, FaultError
from toulmin.studies import Registry

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner

#: the methods by the name that is their ``name`` field
METHODS: Registry[type[DiscoveryMethod]] = Registry(
    "toulmin.discovery",
    "discovery method",
    "circuits.method",
    lambda found, name: isinstance(found, type) and issubclass(found, DiscoveryMethod) and name_of(found) == name,
)


def _read(value: Any) -> DiscoveryMethod:
    """A method from a name, a table with a name, or itself."""
    if isinstance(value, DiscoveryMethod):
        return value
    table: Any = {"name": value} if isinstance(value, str) else value
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise ValueError('a discovery method is its name, or a table with name = "..."')
    try:
        method = METHODS.find(table["name"])
    except FaultError as error:
        raise ValueError("; ".join(f"{fault.message} ({fault.name}); {fault.hint}" for fault in error.faults)) from None
    return method.model_validate(table, context=INSIDE)


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
    check_runner(runner)
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
    return METHODS.find(str(method))(**settings)
