"""Random playouts: uniform over what the ordinary engine finds legal, and the state left is the one it leaves."""

from __future__ import annotations

import numpy as np
import pytest

from toulmin.go import Games, Rules, random_playouts
from toulmin.go.engine.board import COLOR, COUNT, HEAD, LIBERTIES, NEXT, TOUCHED
from toulmin.go.engine.playouts import play_rows

WORD = 2**64 - 1


def actions_drawn(state: int, actions: int):
    """Actions from splitmix64 (Steele, Lea and Flood 2014), the upper half of each word scaled to the range."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) & WORD
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
        yield ((z ^ (z >> 31)) >> 32) * actions >> 32


def openings(size: int, rules: Rules, count: int, moves: int, seed: int = 0) -> Games:
    rng = np.random.default_rng(seed)
    games = Games(count, size, rules)
    for _ in range(moves):
        games.play([rng.choice(np.flatnonzero(row)) if row.any() else -1 for row in games.legal()])
    return games


RULES = [
    Rules(ko=ko, suicide=suicide, komi=7.5)
    for ko in ("positional", "situational", "simple", "spight")
    for suicide in (True, False)
]


@pytest.mark.parametrize("rules", RULES, ids=lambda r: f"{r.ko}-{'suicide' if r.suicide else 'no suicide'}")
@pytest.mark.parametrize("size", [2, 3, 5, 9])
def test_moves_are_the_first_drawn_that_games_finds_legal(size, rules):
    """Rejection from all actions by :meth:`Games.legal`: uniform over the legal ones, and here move for move."""
    count, most = (12, 2 * size * size) if size < 9 else (2, 120)
    games = openings(size, rules, count, size)
    states = np.random.default_rng(size).integers(0, 2**63, count).astype(np.uint64)
    played = games.take(np.arange(count))
    play_rows(played, states, most)
    streams = [actions_drawn(int(state), games.actions) for state in states]
    for _ in range(most):
        chosen = [
            next(a for a in stream if row[a]) if row.any() else -1
            for stream, row in zip(streams, games.legal(), strict=True)
        ]
        if max(chosen) < 0:
            break
        games.play(chosen)
    for b in range(count):
        assert played.history(b) == games.history(b)
    assert (played.stones() == games.stones()).all()
    assert (played.hash == games.hash).all()
    assert (played.scores() == games.scores()).all()
    assert (played.legal() == games.legal()).all()
    assert (played.finished == games.finished).all()


@pytest.mark.parametrize("rules", RULES[:4], ids=lambda r: f"{r.ko}-{'suicide' if r.suicide else 'no suicide'}")
@pytest.mark.parametrize("size", [2, 4, 9, 19])
def test_the_quick_board_leaves_what_the_book_leaves(size, rules):
    """In two goes, the second from where the first stopped: records, books, stones, chains, liberties."""
    count = 40 if size < 19 else 6
    quick = openings(size, rules, count, size)
    book = quick.take(np.arange(count))
    states = np.arange(count).astype(np.uint64)
    for most in (size * size // 2, 2 * size * size):
        play_rows(quick, states, most)
        play_rows(book, states, most, ordinary=True)
        assert (quick.past == book.past).all()
        assert (quick.meta == book.meta).all()
        assert (quick.cells[:, [COLOR, TOUCHED]] == book.cells[:, [COLOR, TOUCHED]]).all()
        for one, other in zip(quick.cells, book.cells, strict=True):
            on = np.flatnonzero((one[COLOR] == 1) | (one[COLOR] == 2))
            for plane in (LIBERTIES, COUNT):
                assert (one[plane, one[HEAD, on]] == other[plane, other[HEAD, on]]).all()
            # the same stones lie in one chain, and each chain is one circle
            assert len(set(one[HEAD, on])) == len(set(zip(one[HEAD, on], other[HEAD, on], strict=True)))
            assert (one[HEAD, one[NEXT, on]] == one[HEAD, on]).all()
            assert len(set(one[NEXT, on])) == len(on)
        states = states + np.uint64(99)
    assert quick.captures.sum() > 0
    assert (quick.legal() == book.legal()).all()


def test_first_moves_are_uniform():
    """10,000 first moves on 3x3 against the uniform law: chi squared with nine degrees of freedom below 35 (p 5e-5)."""
    games = Games(10_000, 3)
    random_playouts(games, 7, max_moves=1)
    counts = np.bincount([games.history(b)[0][1] for b in range(games.batch)], minlength=10)
    assert ((counts - 1000) ** 2 / 1000).sum() < 35


def test_finished_games_and_the_button_are_left_to_the_book():
    games = Games(3, 3, Rules(button=True))
    games.play([9, 0, 4])
    before = games.take([0, 1, 2])
    random_playouts(games, 1)
    play_rows(before, np.random.SeedSequence(1).generate_state(3, np.uint64).astype(np.uint64), 18, ordinary=True)
    assert (games.meta == before.meta).all()
    over = Games(1, 3)
    for _ in range(2):
        over.play([9])
    random_playouts(over, 1)
    assert over.move_count[0] == 2
