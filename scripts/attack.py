"""Attacks a network in pieces that resume: on a lent GPU in pieces of minutes, on a CPU over several sittings.

    python scripts/attack.py --net NET.bin.gz --work FOLDER --size 9 --komi 6.5 --seconds 420 --device cuda
    python scripts/attack.py --net NET.bin.gz --work FOLDER --learner amcts --visits 32
    python scripts/attack.py --net NET.bin.gz --work FOLDER --scratch --temperatures 8 4 2 1 --blocks 4 --channels 64
    python scripts/attack.py --net NET.bin.gz --work FOLDER --start ADVERSARY.bin.gz --victim-visits 4 16 64

Each call goes on where FOLDER stands, prints the last row of the curve, and leaves FOLDER/adversary.bin.gz. FOLDER
holds checkpoints, curve and network (about 30 MB for a b6c96): all that a machine has to be given back.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from toulmin.adversary import Attack, train_adversary
from toulmin.studies import ProcessPool
from toulmin.training import PrintProgress


def main() -> None:
    """Train for a while."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", required=True, help="the victim's network")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--size", type=int, default=7)
    parser.add_argument("--komi", type=float, default=8.5)
    parser.add_argument("--opening-moves", type=int, default=0, help="random moves before each game")
    parser.add_argument("--positions", help="an SGF file whose games are the starting positions")
    parser.add_argument("--victim-visits", type=int, nargs="+", default=[1], help="several are a curriculum")
    parser.add_argument("--hardened", action="store_true", help="the victim avoids passing (avoid_pass_alive)")
    parser.add_argument("--scratch", action="store_true", help="start from random weights, not the victim's")
    parser.add_argument("--itself", action="store_true", help="ordinary self-play: the null attacker")
    parser.add_argument("--start", help="a network to start from, in place of the victim's")
    parser.add_argument("--blocks", type=int, default=6, help="of a network that starts from random weights")
    parser.add_argument("--channels", type=int, default=96)
    parser.add_argument(
        "--temperatures",
        type=float,
        nargs="*",
        default=(),
        help="a curriculum: the victim's raw policy drawn at each of these first, then the victim itself",
    )
    parser.add_argument("--threshold", type=float, default=0.6, help="of the last 100 games, for the next stage")
    parser.add_argument("--learner", choices=("ppo", "amcts"), default="ppo")
    parser.add_argument("--visits", type=int, default=32, help="the adversary's, of A-MCTS")
    parser.add_argument("--lr", type=float, default=None, help="the learner's default where it is not given")
    parser.add_argument("--temperature", type=float, default=None, help="at which PPO draws the adversary's moves")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default=None, help="of PPO's updates")
    parser.add_argument("--updates", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--lanes", type=int, default=1, help="streams of games that processes share")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--stop-at", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    passing = "avoid_pass_alive" if given.hardened else "standard"
    victims = [
        {"kind": "net", "name": "victim", "net": f"file:{given.net}", "search": {"visits": one}, "passing": passing}
        for one in given.victim_visits
    ]
    learner: dict[str, object] = {"method": given.learner}
    if given.learner == "amcts":
        learner["search"] = {"visits": given.visits}
    chosen = {name: getattr(given, name) for name in ("lr", "temperature", "precision")}
    learner |= {name: value for name, value in chosen.items() if value is not None}
    weaker = [
        {"kind": "policy", "net": f"file:{given.net}", "search": {"temperature": {"early": one, "late": one}}}
        for one in given.temperatures
    ]
    stages = [{"victim": one, "threshold": given.threshold, "window": 100} for one in (*weaker, *victims[:-1])]
    attack = Attack.model_validate(
        {
            "stages": [*stages, {"victim": victims[-1]}],
            "size": given.size,
            "komi": given.komi,
            "opening_moves": given.opening_moves,
            "positions": given.positions and f"file:{given.positions}",
            "start": None if given.scratch else f"file:{given.start or given.net}",
            "shape": {"blocks": given.blocks, "channels": given.channels},
            "learner": learner,
            "opponent": "itself" if given.itself else "victim",
            "slots": given.slots,
            "lanes": given.lanes,
            "updates": given.updates,
            "stop_at": given.stop_at,
        }
    )
    trained = train_adversary(
        attack,
        given.work,
        lambda reference: reference.removeprefix("file:"),
        seed=given.seed,
        device=given.device,
        callbacks=[PrintProgress(every=5)],
        seconds=given.seconds,
        pool=ProcessPool(given.processes) if given.processes > 1 else None,
    )
    print(json.dumps({"games": trained.games, "reached": trained.reached, **trained.curve[-1]}))


if __name__ == "__main__":
    main()
