"""What the studies of a clerk of deskworld have in common: the subject, and how many desks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from toulmin.evidence import Interval, Measure, content_of
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.oversight.deskworld.cues import CueSplit
from toulmin.oversight.deskworld.lexicon import desk_vocabulary
from toulmin.studies import Doubt, Input, Run, Study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toulmin.oversight.desk_readers import DeskReader
    from toulmin.oversight.deskworld.desk import Desk
    from toulmin.subjects import Transformer

TOY = Doubt(
    "toy",
    "deskworld is a toy: what a method finds in its clerks need not be found in a large model.",
    "the same evaluation of the deployed model, with a positive control of its size",
)
AWARE = Doubt(
    "evaluation-awareness",
    "The subject may tell an evaluation from deployment by something that the evaluation did not vary.",
    "a measurement of what the subject can tell, and behaviour on inputs drawn from deployment",
)


class ClerkStudy(Study):
    """A study of language models that work as clerks of deskworld."""

    def clerk(self, run: Run, reference: str) -> Transformer:
        """The model of a reference, in evaluation mode on the run's device.

        :raises FaultError: it cannot be loaded, or does not have deskworld's vocabulary.
        """
        from toulmin.subjects import load

        device = run.prepare_torch()
        model = load(reference, self.resolver).model
        if model.config.d_vocab != len(desk_vocabulary()):
            text = f"it has {model.config.d_vocab} tokens, and deskworld has {len(desk_vocabulary())} words"
            hint = "subjects: embedded:clerk-honest, ..."
            raise FaultError(Fault("oversight.vocabulary", text, name=reference, hint=hint), ExitCode.SUBJECT)
        return model.to(device).eval()

    def reader(self, run: Run, reference: str) -> DeskReader:
        """The clerk of a reference, which reads deskworld's own language or English.

        :raises FaultError: it cannot be loaded, or reads neither.
        """
        from toulmin.oversight.desk_readers import open_desk_reader
        from toulmin.subjects import load

        device = run.prepare_torch()
        subject = load(reference, self.resolver)
        subject.model.to(device).eval()
        return open_desk_reader(subject, reference)

    def given(self, name: str, value: float, interval: Interval | None, n: int, **more: Any) -> Measure:
        """The declared measure ``name`` with an interval found elsewhere."""
        spec, fields = self.measure_specs()[name], {"n_of": "desks", **more}
        return Measure(value=value, unit=spec.unit, better=spec.better, interval=interval, n=n, **fields)


class DeskStudy(ClerkStudy):
    """A study of one clerk: the subject, how many desks, and which cues of oversight they have."""

    subject: str  #: reference of the model, with deskworld's vocabulary
    n: int = Field(default=400, ge=10)  #: desks, in each condition
    split: CueSplit = "test"  #: of the cues

    def inputs(self) -> tuple[Input, ...]:
        """The subject."""
        return (self.input("subject", self.subject),)


class PlantedStudy(DeskStudy):
    """One with a positive control: a clerk that is known to have what is looked for, on desks of its own."""

    control: str = "embedded:clerk-schemer"  #: reference of the planted clerk

    def inputs(self) -> tuple[Input, ...]:
        """The subject and the planted clerk."""
        return (*super().inputs(), self.input("control", self.control))


def contents(desks: Sequence[Desk]) -> list[str]:
    """What identifies each desk: its words as if somebody looked."""
    return [content_of(desk.with_oversight(True).words()) for desk in desks]
