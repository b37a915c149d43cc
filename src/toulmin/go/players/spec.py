"""Players as data: what a study, a command line or a record says of them. Importable without tensors or numba."""

from __future__ import annotations

import shlex
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, Field, model_validator

from toulmin.faults import Fault, FaultError
from toulmin.go.search.settings import Passing, SearchSettings

Kind = Literal["random", "edge", "spiral", "mirror", "pass", "corner", "rollouts", "policy", "net", "gtp"]
HARD_CODED: tuple[Kind, ...] = ("random", "edge", "spiral", "mirror", "pass", "corner")


class PlayerSpec(BaseModel, frozen=True, extra="forbid"):
    """One player: a hard-coded one, search over playouts, a net's raw policy, a net with search, or a GTP program.

    ``net`` is a reference (``file:PATH``) and belongs to ``policy`` and ``net``; ``command`` and ``timeout`` (seconds
    an answer) to ``gtp``; ``playouts`` to ``rollouts``; ``search`` to the three that evaluate (``policy`` uses its
    temperature only); ``passing`` to the same three.
    """

    kind: Kind
    name: str = ""
    net: str | None = None
    command: tuple[str, ...] = ()
    timeout: Annotated[float, Field(gt=0)] = 60.0
    playouts: Annotated[int, Field(ge=1, le=10_000)] = 8
    search: SearchSettings = SearchSettings()
    passing: Passing = "standard"

    @model_validator(mode="after")
    def _check(self) -> PlayerSpec:
        if (self.net is not None) != (self.kind in ("policy", "net")):
            raise ValueError("net belongs to the kinds policy and net, and to no other")
        if bool(self.command) != (self.kind == "gtp"):
            raise ValueError("command belongs to the kind gtp, and to no other")
        if self.passing != "standard" and self.kind not in ("rollouts", "policy", "net"):
            raise ValueError("passing belongs to players that evaluate positions")
        return self

    @property
    def visits(self) -> int:
        """Evaluations a move: 0 for players that make none of ours."""
        if self.kind == "policy":
            return 1
        return self.search.visits if self.kind in ("rollouts", "net") else 0

    @property
    def label(self) -> str:
        """The name given, or one made of the kind, the visits and the passing behaviour."""
        if self.name:
            return self.name
        label = self.kind if self.kind not in ("rollouts", "net") else f"{self.kind}@{self.search.visits}"
        if self.kind == "gtp":
            label = self.command[0].replace("\\", "/").rsplit("/", 1)[-1]
        return label if self.passing == "standard" else f"{label}/{self.passing}"


def parse_player(text: str) -> PlayerSpec:
    """A player from one word of a command line.

        random | edge | spiral | mirror | pass | corner
        rollouts[@VISITS]
        policy:REFERENCE                 net:REFERENCE[@VISITS]
        gtp:COMMAND AND ARGUMENTS

    A reference without a scheme is a file.

    :raises FaultError: ``go.player``.
    """
    kind, _, rest = text.partition(":")
    kind, at, visits = kind.partition("@") if kind.startswith("rollouts") else (kind, "", "")
    if kind not in get_args(Kind):
        raise FaultError(
            Fault("go.player", f"no player is called {kind!r}", hint=f"there are {', '.join(get_args(Kind))}")
        )
    fields: dict[str, object] = {"kind": kind}
    if kind in ("net", "policy"):
        name, at, visits = (
            rest.rpartition("@") if kind == "net" and rest.rpartition("@")[2].isdigit() else (rest, "", "")
        )
        if not name:
            raise FaultError(Fault("go.player", f"write {kind}:REFERENCE", name=text))
        schemes = ("file:", "dir:", "hf:", "embedded:", "evidence:")
        fields["net"] = name if name.startswith(schemes) else f"file:{name}"
    elif kind == "gtp":
        try:
            fields["command"] = tuple(shlex.split(rest))
        except ValueError as error:
            raise FaultError(Fault("go.player", f"the command cannot be split: {error}", name=text)) from None
        if not fields["command"]:
            raise FaultError(Fault("go.player", "write gtp:COMMAND", name=text))
    elif rest:
        raise FaultError(Fault("go.player", f"nothing may follow {kind}", name=text))
    if at:
        if not visits.isdigit() or not 1 <= int(visits) <= 1_000_000:
            raise FaultError(Fault("go.player", f"visits are 1 to 1000000, not {visits!r}", name=text))
        fields["search"] = SearchSettings(visits=int(visits))
    return PlayerSpec.model_validate(fields)
