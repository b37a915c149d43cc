"""What an attack is, as data: the board, the victim it is trained against, the learner. Imports no tensor library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from toulmin.faults import FaultError
from toulmin.go import PlayerSpec, Rules, SearchSettings, Temperature

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class NetworkShape(BaseModel, frozen=True, extra="forbid"):
    """The network of an adversary that starts from random weights: 6 blocks of 96 channels are KataGo's b6c96."""

    blocks: Annotated[int, Field(ge=1, le=40)] = 6
    channels: Annotated[int, Field(ge=8, le=512)] = 96


class PpoSettings(BaseModel, frozen=True, extra="forbid"):
    """Proximal policy optimisation (Schulman et al. 2017) with the victim as the environment.

    An update takes the finished games of at least ``decisions`` moves of the adversary, whose moves are drawn at
    ``temperature``. Advantages are generalised advantage estimates with ``gae_lambda`` and no discount, normalised over
    the update. ``epochs`` passes in minibatches; they stop early where the policy moved by more than 1.5 ``kl_target``
    nats from the one that played. The loss is the clipped surrogate, plus ``value_weight`` times the squared error of
    win minus loss, minus ``entropy_weight`` times the policy's entropy. ``precision`` is that of the convolutions and
    matrix products of an update (weights and losses are float32); games are played in float32 in any case.
    """

    method: Literal["ppo"] = "ppo"
    decisions: Count = 1024
    minibatch: Count = 256
    epochs: Count = 2
    lr: Positive = 1e-4
    clip: Positive = 0.2
    gae_lambda: Share = 0.95
    value_weight: Annotated[float, Field(ge=0)] = 0.5
    entropy_weight: Annotated[float, Field(ge=0)] = 0.01
    gradient_clip: Positive = 1.0
    kl_target: Positive = 0.02
    temperature: Positive = 1.0
    precision: Literal["float32", "bfloat16"] = "float32"


class MoveLoss(BaseModel, frozen=True, extra="forbid"):
    """What a network that learns moves weighs beside the policy (:func:`toulmin.adversary.amcts.imitation_losses`)."""

    value_weight: Annotated[float, Field(ge=0)] = 0.6
    score_weight: Annotated[float, Field(ge=0)] = 0.1
    ownership_weight: Annotated[float, Field(ge=0)] = 0.15
    gradient_clip: Positive = 1.0


class AmctsSettings(MoveLoss, frozen=True, extra="forbid"):
    """The published learner (Wang et al. 2022, appendix C): games by A-MCTS, the network trained on what it found.

    Our moves are searched with ``search`` against a model of the victim: ``variant`` S its raw policy, S++ that over
    eight symmetries, R its own search, at ``victim_visits`` or else at the victim's own visits. An update follows each
    ``decisions`` moves of finished games: ``minibatches`` drawn from the last ``kept`` moves of the buffer on disk. The
    loss is the cross-entropy to the visits, plus weighted cross-entropy to the result, squared error of the score in
    units of 20 points, and cross-entropy of the ownership. The defaults of ``search`` are the paper's, with fewer
    visits (it used 600).
    """

    method: Literal["amcts"] = "amcts"
    variant: Literal["S", "S++", "R"] = "S"
    victim_visits: Count | None = None
    search: SearchSettings = SearchSettings(
        visits=32,
        noise=True,
        root_temperature=1.1,
        temperature=Temperature(early=0.75, late=0.15),
    )
    decisions: Count = 512
    minibatch: Count = 128
    minibatches: Count = 8
    kept: Count = 20_000
    lr: Positive = 3e-4


class Imitation(MoveLoss, frozen=True, extra="forbid"):
    """Training on recorded moves: ``updates`` of a ``minibatch`` from ``games`` games, the loss of A-MCTS's learner."""

    updates: Count = 200
    minibatch: Count = 64
    games: Count = 8
    lr: Positive = 1e-4


class Stage(BaseModel, frozen=True, extra="forbid"):
    """One victim of a curriculum, and the win rate over the last ``window`` games at which the next one comes."""

    victim: PlayerSpec
    threshold: Share = 0.5
    window: Count = 200


_KOMI = {7: 8.5, 8: 9.5}
_SHARES = {7: 1, 8: 1, 9: 4, 10: 2, 11: 3, 12: 4, 13: 10, 14: 6, 15: 7, 16: 8, 17: 9, 18: 10, 19: 35}


def published_komi(size: int) -> float | None:
    """Komi of Wang et al. 2022 on boards of a size: 8.5 on 7x7, 9.5 on 8x8, 6.5 from 9x9; None below."""
    return 6.5 if size >= 9 else _KOMI.get(size)


class BoardShare(BaseModel, frozen=True, extra="forbid"):
    """One size of board in a mixture: its ``share`` of the games (in proportion to the others'), and its komi.

    ``[7, 0.3]`` is the same as ``{size = 7, share = 0.3}``; the komi is the published one where none is given.
    """

    size: Annotated[int, Field(ge=2, le=19)]
    share: Positive
    komi: float

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        """A list of size and share, or of size, share and komi; the published komi by default."""
        if isinstance(data, list | tuple) and 2 <= len(data) <= 3:
            data = dict(zip(("size", "share", "komi"), data, strict=False))
        if isinstance(data, dict) and "komi" not in data and isinstance(size := data.get("size"), int):
            komi = published_komi(size)
            if komi is None:
                raise ValueError(f"there is no published komi of {size}x{size}: give one")
            return {**data, "komi": komi}
        return data


class Attack(BaseModel, frozen=True, extra="forbid"):
    """An attack on a frozen victim: everything that decides which adversary comes out, apart from the seed.

    ``stages`` are the victims in the order in which they are faced; the last is the one that is attacked. ``start`` is
    the network that training starts from: the reference of a file, or none for random weights of ``shape``. Games start
    from ``opening_moves`` random moves, after a game drawn from those of the SGF file ``positions`` (set-up stones, the
    side to move, moves) where it is given. One that reaches ``limit`` · size² moves is lost by the adversary.
    With ``sizes`` the games are on several sizes of board, each with its share of the games and its komi, and
    ``size`` and ``komi`` are the board on which the result is measured: the largest, unless it says otherwise.
    ``slots`` games run in lockstep, the adversary Black in half of them; they are shared among ``lanes``, which several
    processes may play (:mod:`toulmin.adversary.lanes`). Training ends after ``updates``, or when the
    win rate over the last ``window`` games against the last victim reaches ``stop_at``. A network is kept every
    ``snapshots`` updates (0: only the newest), which a multiple of ``checkpoint_every`` has to be: victims of a
    curriculum.

    With ``opponent`` "itself" the other side plays the network in training as well: ordinary self-play, in which no
    victim is there to be exploited (the null attacker). Under A-MCTS both sides then search as AlphaZero does, without
    any model of a victim.
    """

    size: Annotated[int, Field(ge=2, le=19)] = 7
    sizes: tuple[BoardShare, ...] = ()
    rules: str = "tromp-taylor"
    komi: float = 8.5
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    start: str | None = None
    shape: NetworkShape = NetworkShape()
    learner: Annotated[PpoSettings | AmctsSettings, Field(discriminator="method")] = PpoSettings()
    opponent: Literal["victim", "itself"] = "victim"
    slots: Annotated[int, Field(ge=2, le=4096)] = 64
    lanes: Annotated[int, Field(ge=1, le=1024)] = 1
    opening_moves: Annotated[int, Field(ge=0, le=40)] = 0
    positions: str | None = None
    limit: Annotated[float, Field(gt=0, le=10)] = 2.5
    updates: Annotated[int, Field(ge=0)] = 60
    stop_at: Share = 1.0
    window: Count = 200
    checkpoint_every: Count = 5
    snapshots: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="before")
    @classmethod
    def _ppo_by_default(cls, data: Any) -> Any:
        """A learner without a method is PPO."""
        learner = data.get("learner") if isinstance(data, dict) else None
        if isinstance(learner, dict) and "method" not in learner:
            return {**data, "learner": {"method": "ppo", **learner}}
        return data

    @model_validator(mode="before")
    @classmethod
    def _board_of_the_mixture(cls, data: Any) -> Any:
        """Size and komi are those of the largest board of a mixture, or of the one that is named."""
        if not isinstance(data, dict) or not data.get("sizes") or not isinstance(data["sizes"], list | tuple):
            return data
        boards = [BoardShare.model_validate(one) for one in data["sizes"]]
        size = data.get("size", max(one.size for one in boards))
        komi = next((one.komi for one in boards if one.size == size), None)
        return {**data, "sizes": boards, "size": size, "komi": data.get("komi", komi if komi is not None else 0.0)}

    @model_validator(mode="after")
    def _mixture_fits(self) -> Attack:
        if not self.sizes:
            return self
        if len({one.size for one in self.sizes}) < len(self.sizes):
            raise ValueError("a size of board stands twice in sizes")
        if (self.size, self.komi) not in {(one.size, one.komi) for one in self.sizes}:
            raise ValueError(f"{self.size}x{self.size} with komi {self.komi:g} is not among the boards of sizes")
        if self.positions is not None:
            raise ValueError("positions are of one size of board, and sizes has several")
        if self.slots < 2 * len(self.sizes) * self.lanes:
            least = 2 * len(self.sizes) * self.lanes
            raise ValueError(f"{self.slots} slots are too few: two for each size in each lane are {least}")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_used(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An attack without mixture and snapshots is written as before there were any: its runs go on."""
        written: dict[str, Any] = handler(self)
        return {name: value for name, value in written.items() if value or name not in ("sizes", "snapshots")}

    @model_validator(mode="after")
    def _snapshots_are_checkpoints(self) -> Attack:
        if self.snapshots % self.checkpoint_every:
            raise ValueError(f"snapshots every {self.snapshots} updates are no multiple of {self.checkpoint_every}")
        return self

    @model_validator(mode="after")
    def _rules_exist(self) -> Attack:
        try:
            self.parsed_rules()
        except FaultError as faulty:
            raise ValueError("; ".join(fault.message for fault in faulty.faults)) from None
        return self

    @model_validator(mode="after")
    def _lanes_share_the_slots(self) -> Attack:
        if self.slots % self.lanes or self.slots < 2 * self.lanes:
            raise ValueError(f"{self.slots} slots cannot be shared among {self.lanes} lanes of equal size, 2 at least")
        if self.lanes > 1 and any(stage.victim.kind == "gtp" for stage in self.stages):
            raise ValueError("an external engine plays in one lane")
        return self

    def references(self) -> tuple[str, ...]:
        """References of all files it needs: networks of the victims, the start, the positions."""
        nets = [net for stage in self.stages for net in stage.victim.nets]
        return tuple(dict.fromkeys([*nets, *(one for one in (self.start, self.positions) if one is not None)]))

    @property
    def victim(self) -> PlayerSpec:
        """The victim that is attacked in the end."""
        return self.stages[-1].victim

    def parsed_rules(self) -> Rules:
        """The rules with their komi."""
        return Rules.parse(self.rules, komi=self.komi)

    def boards(self) -> tuple[Attack, ...]:
        """The attack on each size of the mixture alone, with its part of the slots; itself where there is one size.

        Each size has two slots, and further pairs in proportion to its share (largest remainders).
        """
        if not self.sizes:
            return (self,)
        total, spare = sum(one.share for one in self.sizes), self.slots // 2 - len(self.sizes)
        exact = [one.share / total * spare for one in self.sizes]
        pairs = [1 + int(one) for one in exact]
        by_remainder = sorted(range(len(exact)), key=lambda at: int(exact[at]) - exact[at])
        for at in by_remainder[: self.slots // 2 - sum(pairs)]:
            pairs[at] += 1
        fields = [{"size": one.size, "komi": one.komi, "sizes": (), "lanes": 1} for one in self.sizes]
        return tuple(
            self.model_copy(update={**more, "slots": 2 * count}) for more, count in zip(fields, pairs, strict=True)
        )

    def null(self) -> Attack:
        """The same training without a victim: its updates, its start, ordinary self-play, and no early end."""
        return self.model_copy(update={"opponent": "itself", "stop_at": 1.0})

    @classmethod
    def curriculum(
        cls,
        attack: Literal["pass", "cyclic"],
        nets: Sequence[str],
        visits: Sequence[int] = (1, 2, 4, 8, 16, 32, 64),
        *,
        threshold: float = 0.75,
        **more: object,
    ) -> Attack:
        """The curricula of Wang et al. 2022: checkpoints ``nets`` at the first number of visits, then the last at more.

        The pass attack faces the victim as it passes by default; the cyclic attack a victim that passes only when all
        other moves are in its own pass-alive territory, so that passing cannot be what is exploited. The learner is
        A-MCTS-S at the paper's 600 visits, the rules Tromp-Taylor's with suicide, the boards from 7x7 to 19x19 in the
        shares and with the komi of its configuration (35 games in 100 on 19x19), unless ``more`` says otherwise.
        """
        if "size" not in more and "sizes" not in more:
            more["sizes"] = [[size, share] for size, share in _SHARES.items()]
        passing = "standard" if attack == "pass" else "avoid_pass_alive"
        faced = [*((net, visits[0]) for net in nets), *((nets[-1], count) for count in visits[1:])]
        stages = [
            {
                "victim": {"kind": "net", "net": net, "search": {"visits": count}, "passing": passing},
                "threshold": threshold,
            }
            for net, count in faced
        ]
        search = {**AmctsSettings().search.model_dump(), "visits": 600}
        return cls.model_validate({"stages": stages, "learner": {"method": "amcts", "search": search}, **more})

    @classmethod
    def against(cls, victim: PlayerSpec, **more: object) -> Attack:
        """An attack on one victim, without a curriculum."""
        return cls.model_validate({"stages": [{"victim": victim}], **more})


__all__ = ["AmctsSettings", "Attack", "BoardShare", "Imitation", "MoveLoss", "NetworkShape", "PpoSettings", "Stage"]
