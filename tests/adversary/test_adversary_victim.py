"""The embedded victim: a real player of 5x5, as its card says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import toulmin
from toulmin.adversary import AdversaryMatch, AdversaryTraining, BlindSpot
from toulmin.evidence import Store
from toulmin.go import Match, read_network, read_sgf
from toulmin.studies import Resolver, Run, execute

FOLDER = Path(toulmin.__file__).parent / "assets" / "go-5x5"
RAW = {"kind": "net", "name": "Victim", "net": "embedded:go-5x5", "search": {"visits": 1}}


def test_it_beats_random_moves(tmp_path):
    card = json.loads((FOLDER / "card.json").read_text())
    assert card["win_rate against random"][0] >= 0.95
    players = [RAW, {"kind": "random"}]
    study = Match.model_validate({"size": 5, "komi": card["komi"], "players": players, "games": 40, "parallel": 40})
    rate = study.summarise(study.collect(Run(tmp_path, seed=3))).measures["win_rate"]
    assert rate.value >= 0.9
    assert rate.n == 20  # openings, each played with both colours


def test_the_folder_holds_a_network_and_games_of_it():
    network = read_network(Resolver().locate("embedded:go-5x5"))
    assert network.parameters < 60_000
    games = read_sgf(FOLDER / "games.sgf")
    assert len(games) >= 20
    assert all("Victim" in (game.headers["PB"], game.headers["PW"]) for game in games)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 300_000


@pytest.mark.parametrize("study", [AdversaryMatch, AdversaryTraining, BlindSpot])
def test_every_setting_is_valid_and_its_inputs_are_here(study):
    for name in ("tiny", "demo", "full"):
        assert all(len(one.sha256) == 64 for one in study.preset(name).inputs())


def test_the_smallest_setting_of_the_blind_spot_study_runs(tmp_path):
    evidence = execute(BlindSpot.preset("tiny"), Store(tmp_path / "store"), Run(tmp_path / "work"))
    found = evidence.tables[0].rows[0][1]
    assert isinstance(found, int)
    assert found >= 20
