"""Defence by training: the victim learns from the games of the adversary that broke it, and is attacked again.

Round 0 attacks the victim as it is. Each further round first trains the victim's network from its own weights against
the last adversary, frozen (the same learner with the sides exchanged), then attacks what came out, from the same start
as the first attack. How many games an attack takes until it wins half of its last games is the *cost to break*; a
defence that works raises it. Published defences did not hold against fresh attacks (Tseng et al. 2024, "Can Go AIs be
adversarially robust?", https://arxiv.org/abs/2406.12843).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, Field

from toulmin.adversary.settings import Attack, Stage
from toulmin.adversary.training import TrainedAdversary, train_adversary
from toulmin.go import PlayerSpec
from toulmin.studies import Pool


class Defence(BaseModel, frozen=True, extra="forbid"):
    """How the victim is trained against an adversary: at most ``updates``, until it wins ``stop_at`` of its last
    ``window`` games."""

    updates: Annotated[int, Field(ge=1)] = 20
    stop_at: Annotated[float, Field(gt=0, le=1)] = 0.9
    window: Annotated[int, Field(ge=1)] = 200


@dataclass(frozen=True)
class Round:
    """One round: the victim that was attacked, the adversary that came out, and what each took.

    ``games`` until the attack won half of its last games, or all that it played where it never did (``broken`` False).
    ``defence_games`` are those of the training that made this victim (0 in round 0), which ``defence_reached`` its aim.
    """

    number: int
    victim: Path
    adversary: Path
    games: int
    broken: bool
    defence_games: int
    defence_reached: bool


def attack_until_broken(attack: Attack, net: str) -> Attack:
    """The attack on its victim with another network, which ends when half of the last games are won."""
    last = attack.stages[-1]
    victim = last.victim.model_copy(update={"net": net})
    return attack.model_copy(update={"stages": (Stage(victim=victim),), "stop_at": 0.5})


def defence_against(attack: Attack, defence: Defence, victim: str, adversary: str) -> Attack:
    """The training of a victim's network against a frozen adversary, who plays its policy as it did in training."""
    temperature = getattr(attack.learner, "temperature", 1.0)
    search = {"visits": 1, "temperature": {"early": temperature, "late": temperature}}
    opponent = PlayerSpec.model_validate({"kind": "policy", "name": "adversary", "net": adversary, "search": search})
    return attack.model_copy(
        update={
            "stages": (Stage(victim=opponent),),
            "start": victim,
            "updates": defence.updates,
            "stop_at": defence.stop_at,
            "window": defence.window,
        }
    )


def defence_rounds(
    attack: Attack,
    defence: Defence,
    rounds: int,
    folder: Path,
    locate: Callable[[str], str],
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    pool: Pool | None = None,
) -> list[Round]:
    """Attack, defend and attack again, ``rounds`` times after the first attack; what ``folder`` holds is not repeated.

    :raises FaultError: as :func:`~toulmin.adversary.train_adversary`.
    :raises ValueError: the victim of the attack has no network.
    """
    first = attack.victim.net
    if first is None:
        raise ValueError(f"a victim is defended by training its network, and {attack.victim.label} has none")

    def train(plan: Attack, name: str) -> TrainedAdversary:
        return train_adversary(plan, folder / name, locate, seed=seed, device=device, pool=pool)

    found: list[Round] = []
    victim, made = Path(locate(first)), None
    for number in range(rounds + 1):
        reference = first if number == 0 else f"file:{victim.resolve()}"
        attacked = train(attack_until_broken(attack, reference), f"attack-{number}")
        found.append(
            Round(
                number,
                victim,
                attacked.network,
                attacked.games,
                attacked.reached,
                0 if made is None else made.games,
                made is not None and made.reached,
            )
        )
        if number < rounds:
            adversary = f"file:{attacked.network.resolve()}"
            made = train(defence_against(attack, defence, reference, adversary), f"defence-{number + 1}")
            victim = made.network
    return found


__all__ = ["Defence", "Round", "attack_until_broken", "defence_against", "defence_rounds"]
