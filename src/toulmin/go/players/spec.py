"""Players as data: what a study, a command line or a record says of them. Importable without tensors or numba.

A kind of player is an entry point of the group ``toulmin.players`` whose object is a :class:`PlayerKind`, so that an
installed package adds a kind as this one adds its own.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from toulmin.faults import Fault, FaultError, faults_of_validation
from toulmin.go.engine.passing import Passing
from toulmin.go.search.settings import SearchSettings
from toulmin.studies import Registry

if TYPE_CHECKING:
    from toulmin.go.players.player import Player


@dataclass(frozen=True)
class PlayerSetting:
    """Where a player is made: ``locate`` turns the reference of a net into a path; the run's seed and its device."""

    locate: Callable[[str], str]
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class PlayerKind:
    """A kind of player: how one is made from its specification, and which settings belong to it.

    ``needs``: what must be given, a ``net``, a ``command``, or nothing. ``evaluates``: it evaluates positions and has a
    passing behaviour; ``searches``: it also searches them, with ``SearchSettings.visits`` visits (one visit where it
    does not). ``options``: names of further settings, and ``more_nets`` the references of networks among them.
    """

    name: str
    make: Callable[[PlayerSpec, PlayerSetting], Player]
    needs: Literal["nothing", "net", "command"] = "nothing"
    evaluates: bool = False
    searches: bool = False
    options: tuple[str, ...] = ()
    more_nets: Callable[[PlayerSpec], tuple[str, ...]] | None = None


_REGISTRY: Registry[PlayerKind] = Registry("toulmin.players", "player", "go.player", PlayerKind)


def player_kinds() -> tuple[str, ...]:
    """Names of the installed kinds of players, sorted."""
    return tuple(_REGISTRY.names())


def find_player_kind(name: str) -> PlayerKind:
    """A kind of player by name.

    :raises FaultError: ``go.player``: there is none of that name (the nearest are listed), or its package is broken.
    """
    return _REGISTRY.find(name)


class PlayerSpec(BaseModel, frozen=True, extra="forbid"):
    """One player: its kind, and the settings that belong to that kind.

    ``net`` is a reference (``file:PATH``) and belongs to kinds that need one (``policy``, ``net``); ``command`` and
    ``timeout`` (seconds for one answer) to ``gtp``; ``playouts`` to ``rollouts``; ``search`` to kinds that evaluate
    positions (``policy`` uses its temperature only); ``passing`` to the same; ``device`` is where a net is evaluated,
    where that is not the run's device; ``options`` belong to kinds from other packages.
    """

    kind: str
    name: str = ""
    net: str | None = None
    command: tuple[str, ...] = ()
    timeout: Annotated[float, Field(gt=0)] = 60.0
    playouts: Annotated[int, Field(ge=1, le=10_000)] = 8
    search: SearchSettings = SearchSettings()
    passing: Passing = "standard"
    device: str = ""
    options: dict[str, Any] = Field(default_factory=dict[str, Any])

    @model_validator(mode="after")
    def _check(self) -> PlayerSpec:
        try:
            kind = find_player_kind(self.kind)
        except FaultError as error:
            raise ValueError("; ".join(str(fault) for fault in error.faults)) from None
        if (self.net is not None) != (kind.needs == "net"):
            raise ValueError(f"{self.kind} {'needs a net' if kind.needs == 'net' else 'takes no net'}")
        if bool(self.command) != (kind.needs == "command"):
            raise ValueError(f"{self.kind} {'needs a command' if kind.needs == 'command' else 'takes no command'}")
        if self.passing != "standard" and not kind.evaluates:
            raise ValueError("passing belongs to players that evaluate positions")
        if self.device and kind.needs != "net":
            raise ValueError("device belongs to players that have a net")
        if unknown := sorted(set(self.options) - set(kind.options)):
            near = difflib.get_close_matches(unknown[0], kind.options) or list(kind.options) or ["none"]
            raise ValueError(f"{self.kind} has no option {unknown[0]}; it has {', '.join(near)}")
        try:
            _ = self.nets
        except FaultError as error:
            raise ValueError("; ".join(fault.message for fault in error.faults)) from None
        return self

    @property
    def nets(self) -> tuple[str, ...]:
        """References of all the networks it is made of, its own first."""
        more = find_player_kind(self.kind).more_nets
        return (() if self.net is None else (self.net,)) + (() if more is None else more(self))

    @property
    def is_foreign(self) -> bool:
        """Whether it is a program, or plays a network that does not ship with the package: its speed is not known."""
        return bool(self.command) or any(not net.startswith("embedded:") for net in self.nets)

    def net_roles(self) -> list[tuple[str, str]]:
        """What each of :attr:`nets` is to this player, and its reference: the inputs of a study."""
        return [(f"net of {self.label}" + ("'s model" if at else ""), net) for at, net in enumerate(self.nets)]

    @property
    def visits(self) -> int:
        """Visits of a search for each move, 1 for a raw policy; 0 for players whose evaluations are not ours."""
        kind = find_player_kind(self.kind)
        return self.search.visits if kind.searches else int(kind.evaluates)

    @property
    def label(self) -> str:
        """The name given, or one made of the kind, the visits and the passing behaviour."""
        if self.name:
            return self.name
        label = f"{self.kind}@{self.search.visits}" if find_player_kind(self.kind).searches else self.kind
        if self.command:
            label = self.command[0].replace("\\", "/").rsplit("/", 1)[-1]
        return label if self.passing == "standard" else f"{label}/{self.passing}"


def parse_player(text: str) -> PlayerSpec:
    """A player from one word of a command line: a kind, and what that kind needs.

        random | edge | spiral | mirror | pass | corner
        rollouts[@VISITS]
        policy:REFERENCE                 net:REFERENCE[@VISITS]
        gtp:COMMAND AND ARGUMENTS

    A reference without a scheme is a file. Settings of one player follow it, each after a comma: ``name=TEXT``,
    ``passing=BEHAVIOUR``, ``temperature=EARLY[-LATE]``, ``visits=N``, ``device=DEVICE``, and the options of its kind,
    as in ``net:NET@16,name=hardened,passing=avoid_pass_alive``.

    :raises FaultError: ``go.player``.
    """
    name = re.split("[:@,]", text)[0]
    kind = find_player_kind(name)
    known = "|".join(("name", "passing", "temperature", "visits", "device", *kind.options))
    text, *settings = re.split(rf",(?=(?:{known})=)", text)
    head, _, rest = text.partition(":")
    name, at, visits = head.partition("@")
    fields: dict[str, object] = {"kind": name}
    if at and (kind.needs != "nothing" or not kind.searches):
        raise FaultError(Fault("go.player", f"{name} takes no visits here", name=text))
    if kind.needs == "net":
        reference = rest
        if kind.searches and rest.rpartition("@")[2].isdigit():
            reference, at, visits = rest.rpartition("@")
        if not reference:
            raise FaultError(Fault("go.player", f"write {name}:REFERENCE", name=text))
        schemes = ("file:", "dir:", "hf:", "embedded:", "evidence:")
        fields["net"] = reference if reference.startswith(schemes) else f"file:{reference}"
    elif kind.needs == "command":
        try:
            fields["command"] = tuple(shlex.split(rest))
        except ValueError as error:
            raise FaultError(Fault("go.player", f"the command cannot be split: {error}", name=text)) from None
        if not fields["command"]:
            raise FaultError(Fault("go.player", f"write {name}:COMMAND", name=text))
    elif rest:
        raise FaultError(Fault("go.player", f"nothing may follow {name}", name=text))
    search: dict[str, object] = {}
    options: dict[str, object] = {}
    if at:
        if not visits.isdigit() or not 1 <= int(visits) <= 1_000_000:
            raise FaultError(Fault("go.player", f"visits are 1 to 1000000, not {visits!r}", name=text))
        search["visits"] = visits
    for setting in settings:
        key, _, value = setting.partition("=")
        if key == "temperature":
            early, _, late = value.partition("-")
            search[key] = {"early": early, "late": late or early}
        elif key == "visits":
            if not kind.searches:
                raise FaultError(Fault("go.player", f"{name} does not search: it takes no visits", name=text))
            search[key] = value
        elif key in kind.options:
            options[key] = value
        else:
            fields[key] = value
    if options:
        fields["options"] = options
    if search:
        fields["search"] = search
    try:
        return PlayerSpec.model_validate(fields)
    except ValidationError as error:
        raise FaultError(faults_of_validation(error, "go.player")) from None


def make_player(spec: PlayerSpec, locate: Callable[[str], str], seed: int = 0, device: str = "cpu") -> Player:
    """The player that ``spec`` describes; ``locate`` turns the reference of a net into a path.

    :raises FaultError: the net cannot be read, or there is no such program.
    """
    return find_player_kind(spec.kind).make(spec, PlayerSetting(locate, seed, spec.device or device))
