"""Games against a victim: advantages in closed form, rewards, limits, curricula, and going on bit for bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from small_nets import make_network

from toulmin.adversary import Attack, PpoSettings, Stage, VictimGames
from toulmin.adversary.episodes import advantages
from toulmin.go import BLACK, WHITE, Games, Opening, PlayerSpec, make_player
from toulmin.go.nets import Evaluator, TrainableNetwork, input_features

RANDOM = PlayerSpec(kind="random")


def stream(attack: Attack, seed: int = 0, network=None, **more) -> VictimGames:
    module = network or TrainableNetwork(make_network(8, seed=5))
    victims = [make_player(stage.victim, str, seed) for stage in attack.stages]
    return VictimGames(attack, lambda: Evaluator(module.export()), victims, seed=seed, **more)


def small_attack(**more) -> Attack:
    learner = {"decisions": 60, **more.pop("learner", {})}
    return Attack.against(RANDOM, size=3, komi=0.5, slots=6, learner=learner, **more)


def test_advantages_are_sums_of_weighted_temporal_differences():
    values, outcome, weight = [0.1, -0.2, 0.4], 1.0, 0.9
    differences = [-0.3, 0.6, 0.6]
    expected = [sum(weight**k * d for k, d in enumerate(differences[t:])) for t in range(3)]
    found, targets = advantages(values, outcome, weight)
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(targets, np.add(expected, values))
    # lambda 1: the outcome itself is the target of every move; lambda 0: the next estimate
    np.testing.assert_allclose(advantages(values, outcome, 1.0)[1], [1, 1, 1])
    np.testing.assert_allclose(advantages(values, outcome, 0.0)[1], [-0.2, 0.4, 1])


def test_moves_are_drawn_at_the_temperature_and_so_are_their_log_chances():
    games = stream(small_attack(learner={"temperature": 0.25}))
    batch = next(games)
    empty = np.flatnonzero(batch.legal.all(axis=1) & ~batch.planes[..., 1:3].any(axis=(1, 2, 3)))
    logits = games.evaluator().evaluate(Games(1, 3, games.rules)).logits[0].astype(float)
    chances = np.exp(logits / 0.25) / np.exp(logits / 0.25).sum()
    first = empty[batch.planes[empty, ..., 9:14].sum(axis=(1, 2, 3)) + batch.numbers[empty, :5].sum(axis=1) == 0]
    assert len(first) > 2
    np.testing.assert_allclose(batch.log_chance[first], np.log(chances[batch.action[first]]), atol=1e-4)


def test_a_batch_is_whole_games_of_the_adversarys_moves_and_what_the_network_said_of_them():
    ended = []
    attack = small_attack()
    games = stream(attack, on_game=lambda outcome, ended_games, row: ended.append((outcome, ended_games.take([row]))))
    batch = next(games)
    assert len(batch.action) >= 60
    assert [one for one, _ in ended] == games.last
    evaluator, at = games.evaluator(), 0
    for outcome, final in ended:
        assert outcome.colour == (BLACK if outcome.game % 2 == 0 else 3 - BLACK)
        lead = -final.scores()[0, 1] * (1 if outcome.colour == BLACK else -1)
        assert outcome.result == (np.sign(lead) if final.finished[0] else -1)
        again = final.take([0])
        again.restart()
        for colour, action in final.history(0):
            if colour == outcome.colour:
                view = evaluator.evaluate(again)
                planes, _ = input_features(again)
                assert batch.action[at] == action
                np.testing.assert_array_equal(batch.planes[at], planes[0])
                np.testing.assert_array_equal(batch.legal[at], again.legal()[0])
                assert batch.log_chance[at] == pytest.approx(np.log(view.policy[0, action]), abs=1e-4)
                at += 1
            again.play([action])
    assert at == len(batch.action)


def test_a_game_at_the_limit_is_lost_by_the_adversary():
    """With komi -500 every score is Black's, and yet a game of two moves that nobody ended is lost as Black too."""
    seen = set()
    attack = Attack.against(RANDOM, size=3, komi=-500, slots=4, limit=0.3, learner={"decisions": 30})
    next(stream(attack, on_game=lambda outcome, ended, row: seen.add((bool(ended.finished[row]), *outcome[1:3]))))
    assert {(finished, colour, result) for finished, colour, result in seen if not finished} == {
        (False, 1, -1.0),
        (False, 2, -1.0),
    }


def test_the_next_victim_comes_when_the_last_games_are_won_often_enough():
    passing = PlayerSpec(kind="pass")
    stages = (Stage(victim=passing, threshold=0.4, window=10), Stage(victim=RANDOM))
    attack = Attack(size=3, komi=0.5, slots=4, stages=stages, window=7, learner=PpoSettings(decisions=40))
    games = stream(attack)
    seen = []
    for _ in range(12):
        next(games)
        seen += [(game.stage, game.result) for game in games.last]
    first = [stage for stage, _ in seen].index(1)
    before = [result for stage, result in seen[:first] if stage == 0][-14:]
    assert len(before) >= 10
    assert np.mean(np.array(before) > 0) >= 0.3  # about the threshold: four more games may have run
    assert games.stage == 1
    assert games.recent.maxlen == 7


STARTS = (Opening((), (0,), (8,), WHITE), Opening((4, 1), (2,), (), BLACK))


@pytest.mark.parametrize("starts", [(), STARTS])
def test_a_stream_goes_on_bit_for_bit_from_its_position(starts):
    attack = small_attack(opening_moves=2)
    one = stream(attack, seed=3, starts=starts)
    next(one)
    kept = json.loads(json.dumps(one.position()))
    expected = [next(one) for _ in range(2)]
    other = stream(attack, seed=3, starts=starts)
    other.seek(kept)
    for batch in expected:
        for a, b in zip(batch, next(other), strict=True):
            np.testing.assert_array_equal(a, b)
    assert other.position() == one.position()


def test_games_begin_with_the_positions_given_and_random_moves_after_them():
    games = stream(small_attack(opening_moves=1), seed=1, starts=STARTS)
    begun = [(slot.start, len(slot.moves), games.games.setup(row)) for row, slot in enumerate(games.slots)]
    assert {number for number, _, _ in begun} == {0, 1}
    for number, moves, setup in begun:
        assert setup == (STARTS[number].black, STARTS[number].white, STARTS[number].to_move)
        assert moves == len(STARTS[number].moves) + 1
    ended = []
    games.on_game = lambda outcome, batch, row: ended.append((batch.setup(row), batch.history(row)[0][0]))
    next(games)
    for (black, white, first), colour in ended:
        assert (black, white) in [(one.black, one.white) for one in STARTS]
        assert colour == first  # White moves first where the position says so
    assert len({setup for setup, _ in ended}) == 2
