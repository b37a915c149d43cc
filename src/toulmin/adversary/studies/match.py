"""The study ``adversary.match``: an adversary that exists already against frozen victims, and what its wins mean."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import model_validator

from toulmin.adversary.studies.attack_study import MEASURES, AttackStudy
from toulmin.go import PlayerSpec
from toulmin.studies import Input, Items, Run, Summary

_HARD_CODED: tuple[dict[str, Any], ...] = ({"kind": "random"}, {"kind": "edge"}, {"kind": "spiral"})
_EMBEDDED: dict[str, Any] = {"kind": "net", "name": "raw", "net": "embedded:go-5x5", "search": {"visits": 1}}


class AdversaryMatch(AttackStudy):
    """How often an adversary beats frozen victims, and whether that is a blind spot or strength."""

    kind: ClassVar = "adversary.match"
    version: ClassVar = 1
    measures: ClassVar = MEASURES
    presets: ClassVar = {
        "tiny": {
            "size": 5,
            "komi": 0.5,
            "adversary": {"kind": "random"},
            "victims": [{"kind": "pass"}],
            "independents": [{"kind": "edge"}],
            "games": 6,
        },
        "demo": {
            "size": 5,
            "adversary": {"kind": "rollouts", "playouts": 4, "search": {"visits": 32}},
            "victims": [_EMBEDDED, {**_EMBEDDED, "name": "hardened", "passing": "avoid_pass_alive"}],
            "independents": _HARD_CODED,
            "games": 20,
        },
        "full": {
            "size": 5,
            "adversary": {"kind": "rollouts", "search": {"visits": 200}},
            "victims": [_EMBEDDED, {**_EMBEDDED, "name": "hardened", "passing": "avoid_pass_alive"}],
            "independents": _HARD_CODED,
            "games": 100,
        },
    }

    adversary: PlayerSpec

    @model_validator(mode="after")
    def _adversary_has_its_own_name(self) -> AdversaryMatch:
        if self.adversary.label in {one.label for one in (*self.victims, *self.independents)}:
            raise ValueError(f"two players are called {self.adversary.label}: give them names")
        return self

    def adversary_spec(self) -> PlayerSpec:
        """The adversary of the configuration."""
        return self.adversary

    def inputs(self) -> tuple[Input, ...]:
        """All networks, the adversary's first."""
        nets = self.adversary.nets
        own = tuple(self.input(role, net) for role, net in zip(("adversary", "adversary's model"), nets, strict=False))
        return (*own, *super().inputs())

    def collect(self, run: Run) -> Items:
        """Play all games."""
        return self.play(run, self.adversary)

    def summarise(self, items: Items) -> Summary:
        """The measures of the games."""
        return self.summary_of_games(items)
