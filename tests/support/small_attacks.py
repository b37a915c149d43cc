"""Attacks that are small enough for tests: 3x3, six games at once, a network of one block."""

from __future__ import annotations

from typing import Any

from toulmin.adversary import Attack
from toulmin.go import PlayerSpec

AMCTS: dict[str, Any] = {
    **{"method": "amcts", "decisions": 30, "minibatch": 16, "minibatches": 2, "kept": 60},
    "search": {"visits": 4},
}


def attack_on(victim: PlayerSpec, **more: Any) -> Attack:
    """By A-MCTS unless ``more`` says otherwise."""
    fields = {"shape": {"blocks": 1, "channels": 8}, "learner": AMCTS, **more}
    return Attack.against(victim, size=3, komi=0.5, slots=6, **fields)
