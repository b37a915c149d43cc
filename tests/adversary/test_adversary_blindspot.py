"""Lost groups: the solver on positions by hand and against exhaustive search, and the study on a planted blind spot."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from small_nets import make_network

from toulmin.adversary import BlindSpot, doomed_positions, judge, proves_capture
from toulmin.adversary.blind_spots import _lost, falls_into_loss
from toulmin.evidence import Store
from toulmin.go import Evaluator, Games, Rules, read_sgf, write_network
from toulmin.studies import Run, execute, re_derive

SIZE = 5


def position(picture: str, to_move: int) -> Games:
    """``X`` black, ``O`` white, rows from the top."""
    rows = "".join(picture.split())
    games = Games(1, round(len(rows) ** 0.5), Rules())
    games.place(0, [i for i, c in enumerate(rows) if c == "X"], [i for i, c in enumerate(rows) if c == "O"], to_move)
    return games


BY_HAND = {
    "one liberty, the opponent's turn": ("OX... ..... ..... ..... .....", 1, 0, True),
    "two in the corner, shut in, owner to move": ("OOX.. .X... X.... ..... .....", 2, 0, True),
    "two eyes": (".O.OX OOOOX XXXXX ..... .....", 1, 1, False),
    "it takes what shuts it in": ("OOXO. X.XO. OXOO. ...O. .....", 2, 0, False),
    "an open group": ("..... .OO.. .O... ..... .....", 1, 6, False),
    "a ladder over the board, five times as long as it has liberties": (".X... XOX.. X.... ..... .....", 2, 6, True),
    "three liberties, none of which makes a second eye": (".O.X. X.X.. .X... ..... .....", 1, 1, True),
    "a ladder into the edge": ("..X.. .XOX. ..... ..... .....", 1, 7, True),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_positions_by_hand(name):
    picture, to_move, point, lost = BY_HAND[name]
    assert proves_capture(position(picture, to_move), point) is lost


def exhaustive(games: Games, point: int, owner: int, depth: int) -> bool:
    """Whether the opponent can take the chain within ``depth`` moves, all moves of both tried."""

    @cache
    def lost(history: tuple[int, ...]) -> bool:
        now = games.take([0])
        for action in history:
            now.play([action])
        if now.stones()[0].ravel()[point] != owner:
            return True
        if now.finished[0] or len(history) >= depth:
            return False
        results = (lost((*history, action)) for action in np.flatnonzero(now.legal()[0]).tolist())
        return all(results) if now.to_move[0] == owner else any(results)

    return lost(())


def test_what_is_proved_is_true_by_exhaustive_search():
    """Random positions of 3x3: a loss proved within three moves is one when all moves of both are tried."""
    random = np.random.default_rng(3)
    agreed = {True: 0, False: 0}
    for _ in range(60):
        games = Games(1, 3, Rules())
        for _ in range(int(random.integers(4, 7))):
            games.play([random.choice(np.flatnonzero(games.legal()[0])[:-1])])
        stones = np.flatnonzero(games.stones()[0])
        if games.finished[0] or not len(stones):
            continue
        point = int(random.choice(stones))
        owner = int(games.stones()[0].ravel()[point])
        truth = exhaustive(games, point, owner, 3)
        claimed = _lost(games, point, owner, 3, [10_000], 3)
        assert truth or not claimed
        if claimed:
            assert proves_capture(games, point)
        agreed[claimed] += truth == claimed
    assert min(agreed.values()) >= 10


SGF = b"""(;GM[1]SZ[5]KM[0.5]PB[Attacker]PW[Victim]
;B[bb];W[aa];B[cc];W[ba];B[ca];W[ee];B[ab];W[de];B[dd])"""


def test_a_game_whose_corner_is_lost_from_a_known_move():
    """White's two stones in the corner are shut in and taken by move 6 (B A4); before it they can be taken, too."""
    (game,) = read_sgf(SGF)
    found = doomed_positions(game, least_stones=2)
    assert [one.owner for one in found] == [2] * len(found)
    assert max(one.move for one in found) == 6
    assert all(set(one.stones) == {0, 1} for one in found)
    assert sum(one.first for one in found) == 1
    assert doomed_positions(game, least_stones=3) == []
    evaluator = Evaluator(make_network(8, seed=1))
    judged = judge(game, found, evaluator)
    for one in judged:
        games = Games(1, 5, game.rules)
        for _, action in game.moves[: one.position.move]:
            games.play([action])
        view = evaluator.evaluate(games).white(games.to_move)
        assert one.ownership == pytest.approx(float(view.ownership[0].ravel()[[0, 1]].mean()), abs=1e-5)
        assert one.win == pytest.approx(float(view.win[0]), abs=1e-5)
    last = next(one for one in found if one.first)
    assert falls_into_loss(game, last, evaluator) in {True, False, None}


def test_the_study_keeps_games_apart_and_is_derived_again(tmp_path):
    folder = tmp_path / "games"
    (folder / "corner").mkdir(parents=True)
    (folder / "corner" / "a.sgf").write_bytes(SGF)
    (folder / "corner" / "twice.sgf").write_bytes(SGF)
    (folder / "nobody.sgf").write_bytes(SGF.replace(b"Victim", b"Somebody"))
    net = tmp_path / "net.bin.gz"
    net.write_bytes(write_network(make_network(8, seed=1)))
    store = Store(tmp_path / "store")
    study = BlindSpot(games=f"dir:{folder}", net=f"file:{net}", least_stones=2)
    evidence = execute(study, store, Run(tmp_path / "work"))
    assert evidence.measures["misjudged"].n == 1
    table = evidence.tables[0]
    assert table.rows[0][:2] == ("corner", 1)
    (game,) = read_sgf(SGF)
    judged = judge(game, doomed_positions(game, least_stones=2), Evaluator(net))
    assert evidence.measures["misjudged"].value == pytest.approx(np.mean([one.misjudged for one in judged]))
    assert evidence.measures["misjudged_control"].no_interval
    assert re_derive(evidence, store) == []
