"""What is not a runner is refused by name, before its first attribute is missed. No torch."""

from __future__ import annotations

from toulmin.faults import Fault, FaultError


def check_runner(runner: object) -> None:
    """Refuse anything but a ``CircuitRunner``.

    :raises FaultError: ``circuits.runner``, with what to write instead.
    """
    from toulmin.circuits.runner import CircuitRunner

    if not isinstance(runner, CircuitRunner):
        text = f"a CircuitRunner is wanted, and this is a {type(runner).__name__}"
        hint = "make one of the model and its prompts: CircuitRunner(model, pairs)"
        raise FaultError(Fault("circuits.runner", text, hint=hint))
