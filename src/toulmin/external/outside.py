"""What all evidence from outside has in common: one file that another tool wrote, and a model that it is of.

Nothing in the file shows which weights produced it. It says so itself (an Inspect log in its metadata), or a sidecar
beside it does: ``FILE.model.json`` with ``{"model": "name", "sha256": "..."}``. Where both speak they must agree, and
where the study names a model or its weights, the file must be of those.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, cast

from pydantic import Field

from toulmin.external.doubts import PROVENANCE
from toulmin.faults import Fault
from toulmin.studies import Cost, Input, Study

SIDECAR = ".model.json"
SHARE = (0.0, 1.0)  #: the range of grades and of shares


class OutsideStudy(Study):
    """A study of one file that another tool wrote."""

    recorded_elsewhere: ClassVar = True
    doubts: ClassVar = (PROVENANCE,)
    role: ClassVar[str]  #: of the file, among the inputs

    model: str | None = None  #: the model that the file must be of
    model_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")  #: its weights

    @abstractmethod
    def source(self) -> str:
        """The reference of the file."""

    def inputs(self) -> tuple[Input, ...]:
        """The file, and its sidecar where there is one."""
        found = [self.input(self.role, self.source())]
        if self._sidecar().is_file():
            found.append(self.input("model identity", self.source() + SIDECAR))
        return tuple(found)

    def stated_subject(self) -> str | None:
        """The weights that the file must be of."""
        return self.model_sha256

    def seed_changes_data(self) -> bool:
        """No: the data are in the file."""
        return False

    def cost(self) -> Cost:
        """Reading only."""
        return Cost(seconds=1.0)

    def path(self) -> Path:
        """Where the file is.

        :raises FaultError: there is none.
        """
        return self.resolver.locate(self.source())

    def _sidecar(self) -> Path:
        path = self.path()
        return path.with_name(path.name + SIDECAR)

    def identify(
        self, names: Iterable[object] = (), sha256: object = None, *, required: bool = False
    ) -> tuple[dict[str, Any], list[Fault]]:
        """The model that the file is of, as JSON for the items, and every way in which it is not the one asked for.

        :param names: what the file itself calls its model.
        :param sha256: the weights that the file itself states.
        :param required: a file that states no weights is a fault.
        """
        file, faults = str(self.path()), list[Fault]()

        def fault(message: str, name: str | None = None, hint: str | None = None) -> None:
            faults.append(Fault(f"{self.kind.partition('.')[2]}.model", message, file, name=name, hint=hint))

        said: dict[str, Any] = {}
        if self._sidecar().is_file():
            try:
                document: object = json.loads(self._sidecar().read_bytes())
            except (ValueError, RecursionError):
                document = None
            if isinstance(document, dict):
                said = cast("dict[str, Any]", document)
            else:
                fault(f"{file}{SIDECAR} is not a JSON object")
        stated = dict.fromkeys(x for x in (sha256, said.get("sha256")) if isinstance(x, str))
        known = dict.fromkeys(x for x in (*names, said.get("model")) if isinstance(x, str))
        hint = f"{Path(file).name}{SIDECAR} beside it says so"
        if len(stated) > 1:
            fault("the file and its sidecar name different weights", " and ".join(x[:12] for x in stated))
        if not stated and (required or self.model_sha256 is not None):
            fault("it does not identify the model's weights", hint=hint)
        if self.model_sha256 is not None and stated and list(stated) != [self.model_sha256]:
            fault("it is of other weights", ", ".join(x[:12] for x in stated))
        if self.model is not None and self.model not in known:
            fault(f"it is of {', '.join(known) or 'a model it does not name'}, not of {self.model}", hint=hint)
        return {"model": next(iter(known), None), "sha256": next(iter(stated), None)}, faults


def declared_faults(
    code: str, declared: Iterable[str], known: Iterable[str], there: Iterable[str], file: str
) -> list[Fault]:
    """What is wrong with ids that were declared as missing: they are not known, or they are there after all.

    :param known: every id that the file speaks of.
    :param there: the ids that have a result.
    """
    import difflib

    every, present, faults = list(known), set(there), list[Fault]()
    for name in declared:
        if name not in every:
            near = difflib.get_close_matches(name, every, n=3)
            hint = f"did you mean {', '.join(near)}" if near else "the file does not list it"
            faults.append(Fault(code, "declared missing, and unknown", file, name=name, hint=hint))
        elif name in present:
            faults.append(Fault(code, "declared missing, and it has a result, which counts", file, name=name))
    return faults
