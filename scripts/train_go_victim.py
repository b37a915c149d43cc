"""Trains the embedded victim go-5x5: self-play from random weights, then a few of its games with large captures.

    python scripts/train_go_victim.py --work FOLDER [--updates N] [--seed N]

It resumes in FOLDER. The victim is a real player of a small board, not a strong one: the card says how it does against
random moves and itself.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch

from toulmin.adversary import Attack, train_adversary
from toulmin.go import Match, PlayerSpec, scan_sgf, write_sgf
from toulmin.studies import Run
from toulmin.training import PrintProgress

KOMI = 8.5
ASSET = Path(__file__).parents[1] / "src/toulmin/assets/go-5x5"


def main() -> None:
    """Train, measure, and write the asset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--updates", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    attack = Attack.against(
        PlayerSpec(kind="random"),
        size=5,
        komi=KOMI,
        opponent="itself",
        opening_moves=1,
        shape={"blocks": 2, "channels": 24},
        learner={"lr": 2e-3, "decisions": 1024, "kl_target": 0.03},
        updates=given.updates,
        checkpoint_every=10,
    )
    trained = train_adversary(attack, given.work, str, seed=given.seed, callbacks=[PrintProgress(every=5)])
    ASSET.mkdir(exist_ok=True)
    network = ASSET / "network.bin.gz"
    shutil.copy(trained.network, network)
    raw = {"kind": "net", "name": "Victim", "net": f"file:{network}", "search": {"visits": 1}}
    warm = {
        "kind": "policy",
        "name": "Attacker",
        "net": f"file:{network}",
        "search": {"temperature": {"early": 1, "late": 1}},
    }
    card = {"description": "a network that plays Go on 5x5, from self-play: the victim of small attacks",
            "name": "go-5x5", "size": 5, "komi": KOMI, "rules": "tromp-taylor", "seed": given.seed, "licence": "MIT",
            "training": attack.model_dump(mode="json"), "games": trained.games}  # fmt: skip
    for name, other in (("random", {"kind": "random", "name": "Attacker"}), ("itself", warm)):
        folder = given.work / f"match-{name}"
        folder.mkdir(exist_ok=True)
        study = Match.model_validate({"size": 5, "komi": KOMI, "players": [raw, other], "games": 200, "parallel": 100})
        items = study.collect(Run(folder))
        rate = study.summarise(items).measures["win_rate"]
        assert rate.interval is not None
        card[f"win_rate against {name}"] = [rate.value, rate.interval.low, rate.interval.high]
    games = scan_sgf(given.work / "match-itself" / "games.sgf")[0][:40]
    (ASSET / "games.sgf").write_bytes(b"".join(write_sgf(game) for game in games))
    (ASSET / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    print(json.dumps({name: value for name, value in card.items() if name.startswith("win")}, indent=1))


if __name__ == "__main__":
    main()
