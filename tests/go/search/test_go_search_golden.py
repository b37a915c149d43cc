"""The genuine net: our search against KataGo's own visit counts, and symmetries, passing and players on top of it.

``katago_visits.json`` was written by ``benchmarks/go_search.py --golden``: KataGo 1.17 with its later additions
switched off, 100 visits from a fresh tree, on positions drawn from the net's policy.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from toulmin.go import Games, Rules
from toulmin.go.engine.points import action_of, vertex_of
from toulmin.go.match.play import Pairing, play_games
from toulmin.go.nets import Evaluator
from toulmin.go.players.hardcoded import HardCoded
from toulmin.go.players.spec import PlayerSpec, make_player
from toulmin.go.search.mcts import search
from toulmin.go.search.settings import SearchSettings

GOLDEN = json.loads((Path(__file__).parent / "katago_visits.json").read_text())


@pytest.fixture(scope="module")
def net(shared):
    return shared / "data/katago_nets/g170-b6c96-s175395328-d26788732.bin.gz"


@pytest.fixture(scope="module")
def evaluator(net):
    return Evaluator(net)


def games_of(cases: list[dict]) -> Games:
    size = cases[0]["size"]
    games = Games(len(cases), size, Rules(komi=cases[0]["komi"]))
    for row, case in enumerate(cases):
        for move in case["moves"]:
            games.play([action_of(move, size)], [row])
    return games


@pytest.mark.parametrize(("size", "which"), [(9, slice(None)), (19, slice(None)), (9, slice(4, 5)), (9, slice(12, 13))])
def test_visits_are_katagos(evaluator, size, which):
    """All together; and one game alone, whose batches are filled with positions ahead."""
    cases = [case for case in GOLDEN if case["size"] == size][which]
    games = games_of(cases)
    generators = [np.random.default_rng(0) for _ in cases]
    found = search(games, np.arange(len(cases)), evaluator, SearchSettings(visits=100), generators)
    for row, case in enumerate(cases):
        visits = {vertex_of(int(a), size): int(found.visits[row, a]) for a in np.flatnonzero(found.visits[row])}
        assert visits == case["visits"], case["moves"]


def test_several_leaves_at_a_time_find_the_same_move_where_it_is_clear(evaluator):
    # virtual losses widen the search: with 8 leaves a move of 85 of 99 visits was seen to lose its place
    cases = [case for case in GOLDEN if case["size"] == 9 and max(case["visits"].values()) > 85]
    assert cases
    games = games_of(cases)
    generators = [np.random.default_rng(0) for _ in cases]
    found = search(games, np.arange(len(cases)), evaluator, SearchSettings(visits=100, leaves=8), generators)
    assert (found.visits.sum(axis=1) == 99).all()
    for row, case in enumerate(cases):
        assert vertex_of(int(found.visits[row].argmax()), 9) == max(case["visits"], key=case["visits"].get)


def test_the_mean_over_all_symmetries_has_them(evaluator):
    """On the empty board all eight images of a point get the same prior once the root is the mean over all eight."""
    games = Games(1, 9, Rules(komi=7.5))
    settings = SearchSettings(visits=1, root_symmetries=8)
    prior = search(games, np.array([0]), evaluator, settings, [np.random.default_rng(0)]).prior[0, :81].reshape(9, 9)
    for image in (prior.T, prior[::-1], prior[:, ::-1]):
        np.testing.assert_allclose(prior, image, atol=1e-5)


@pytest.mark.slow
def test_the_net_beats_the_hard_coded_players(net):
    player = make_player(PlayerSpec(kind="net", net="x", search=SearchSettings(visits=8)), lambda _: str(net))
    pairings = [
        Pairing(*((player, HardCoded(kind)) if colour else (HardCoded(kind), player)), seed=(colour,))
        for kind in ("random", "edge", "mirror")
        for colour in (0, 1)
    ]
    records = play_games(pairings, 9, Rules(suicide=False, komi=7.5))
    for record in records:
        won = "b" if record.black == player.name else "w"
        assert record.winner(record.score_rules) == won, record.result
