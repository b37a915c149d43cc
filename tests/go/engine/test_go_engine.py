"""The compiled engine against Go by definition, on random games under every ko and suicide rule.

The definition: sets of points and flood fill, nothing kept between moves; slow, and easy to believe.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from toulmin.faults import FaultError
from toulmin.go import Games, Rules
from toulmin.go import action_of as act
from toulmin.go.engine import board
from toulmin.go.engine.compiled import user_cache_directory

PASS = None


def neighbours(p, size):
    y, x = p
    return [(a, b) for a, b in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)) if 0 <= a < size and 0 <= b < size]


def chain(board, p, size):
    color, seen, todo = board.get(p), {p}, [p]
    while todo:
        for q in neighbours(todo.pop(), size):
            if q not in seen and board.get(q) == color:
                seen.add(q)
                todo.append(q)
    return seen


def free(board, stones, size):
    return {q for p in stones for q in neighbours(p, size) if q not in board}


def play(board, p, color, size):
    """The board after a stone, by Tromp and Taylor: remove the opponent's chains without liberty, then one's own."""
    after = dict(board)
    after[p] = color
    captured = set()
    for q in neighbours(p, size):
        if after.get(q) == 3 - color and not free(after, chain(after, q, size), size):
            captured |= chain(after, q, size)
    after = {q: c for q, c in after.items() if q not in captured}
    own = chain(after, p, size)
    died = not free(after, own, size)
    if died:
        after = {q: c for q, c in after.items() if q not in own}
    return after, captured, len(own) if died else 0


@dataclass
class NaiveGame:
    size: int
    ko: str = "positional"
    suicide: bool = True
    board: dict = field(default_factory=dict)
    to_move: int = 1
    passes: int = 0
    ko_point: tuple | None = None
    seen: list = field(default_factory=list)

    def __post_init__(self):
        self.seen = [self._key(self.board, self.to_move)]

    def _key(self, board, mover):
        return (frozenset(board.items()), mover if self.ko != "positional" else 0)

    def legal(self, p):
        if p is PASS:
            return True
        if p in self.board or p == self.ko_point:
            return False
        after, _, lost = play(self.board, p, self.to_move, self.size)
        if lost == 1 or (lost and not self.suicide):
            return False
        return self.ko == "simple" or self._key(after, 3 - self.to_move) not in self.seen

    def move(self, p):
        if p is PASS:
            self.passes += 1
            self.ko_point = None
        else:
            self.passes = 0
            self.board, captured, lost = play(self.board, p, self.to_move, self.size)
            self.ko_point = None
            if len(captured) == 1 and not lost:
                own = chain(self.board, p, self.size)
                if len(own) == 1 and free(self.board, own, self.size) == captured:
                    self.ko_point = next(iter(captured))
        self.to_move = 3 - self.to_move
        self.seen.append(self._key(self.board, self.to_move))

    @property
    def finished(self):
        return self.passes >= 2

    def tromp_taylor(self):
        """White's points minus Black's."""
        total, done = 0, set()
        for p in ((y, x) for y in range(self.size) for x in range(self.size)):
            if p in self.board:
                total += 1 if self.board[p] == 2 else -1
            elif p not in done:
                region = chain(self.board, p, self.size)
                done |= region
                colors = {self.board[q] for r in region for q in neighbours(r, self.size) if q in self.board}
                if len(colors) == 1:
                    total += len(region) * (1 if colors == {2} else -1)
        return total


def check_chains(cells, size):
    """Heads, rings, stone counts and liberties of a board agree with a recount."""
    w = size + 1
    color, head = cells[board.COLOR], cells[board.HEAD]
    for p in range(len(color)):
        if color[p] not in (1, 2):
            continue
        ring, q = [], p
        while True:
            ring.append(q)
            assert head[q] == head[p]
            assert color[q] == color[p]
            q = cells[board.NEXT, q]
            if q == p:
                break
            assert len(ring) <= size * size
        near = {r for s in ring for r in (s - 1, s + 1, s - w, s + w)}
        assert not {r for r in near if color[r] == color[p]} - set(ring)
        assert cells[board.COUNT, head[p]] == len(ring)
        assert cells[board.LIBERTIES, head[p]] == sum(color[r] == 0 for r in near)


@pytest.mark.parametrize("ko", ["simple", "positional", "situational"])
@pytest.mark.parametrize("suicide", [True, False])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_random_games_agree_with_the_definition(ko, suicide, size):
    rng = np.random.default_rng([size, suicide, len(ko)])
    batch = 6
    games = Games(batch, size, Rules(ko=ko, suicide=suicide, komi=0), capacity=2)
    naive = [NaiveGame(size, ko, suicide) for _ in range(batch)]
    points = [(a // size, a % size) for a in range(size * size)] + [None]
    turn = 0
    for turn in range(60):
        legal = games.legal()
        actions = np.full(batch, -1)
        for b, game in enumerate(naive):
            if games.finished[b]:
                assert game.finished or ko == "simple"
                assert not legal[b].any()
                continue
            assert legal[b].tolist() == [game.legal(p) for p in points]
            choices = np.flatnonzero(legal[b][:-1])
            actions[b] = rng.choice(choices) if len(choices) and rng.random() < 0.97 else size * size
        if (actions < 0).all():
            break
        games.play(actions)
        for b, game in enumerate(naive):
            if actions[b] < 0:
                continue
            game.move(points[actions[b]])
            stones = {(y, x): int(c) for (y, x), c in np.ndenumerate(games.stones()[b]) if c}
            assert stones == game.board
            assert games.hash[b] == board.hash_of(games.cells[b, board.COLOR])
            assert games.scores()[b, 0] == game.tromp_taylor()
            if turn % 7 == 0:
                check_chains(games.cells[b], size)
    assert turn > 5


def test_long_game_keeps_exact_liberties_on_nineteen():
    rng = np.random.default_rng(4)
    games = Games(3, 19)
    for turn in range(600):
        legal = games.legal()
        legal[:, -1] &= ~legal[:, :-1].any(axis=1)
        live = ~games.finished
        games.play(np.where(live, [rng.choice(np.flatnonzero(row)) if row.any() else 0 for row in legal], -1))
        if turn % 97 == 0:
            for b in range(3):
                check_chains(games.cells[b], 19)
    for b in range(3):
        fresh = games.cells[b].copy()
        board.rebuild(fresh, 20)
        on = np.flatnonzero((fresh[board.COLOR] == 1) | (fresh[board.COLOR] == 2))
        for plane in (board.LIBERTIES, board.COUNT):
            assert (fresh[plane][fresh[board.HEAD][on]] == games.cells[b, plane][games.cells[b, board.HEAD][on]]).all()


def test_a_copied_game_is_a_value():
    games = Games(2, 5)
    games.play([0, 12])
    kept = games.take([0, 0, 1])
    games.play([1, 1])
    assert kept.move_count.tolist() == [1, 1, 1]
    assert kept.history(1) == [(1, 0)]
    other = Games(1, 5, Rules(komi=0.5))
    other.assign([0], games, [1])
    assert other.history(0) == [(1, 12), (2, 1)]
    assert other.komi[0] == 7.5
    assert other.situation[0] == games.situation[1]
    other.play([5])
    assert games.move_count.tolist() == [2, 2]


def test_an_illegal_move_plays_nothing_and_is_named():
    games = Games(2, 9)
    games.play([act("E5", 9), act("E5", 9)])
    with pytest.raises(FaultError) as raised:
        games.play([act("E5", 9), act("D4", 9)])
    assert raised.value.faults[0].code == "go.illegal"
    assert raised.value.faults[0].name == "E5"
    assert games.move_count.tolist() == [1, 1]


def test_lockstep_equals_one_by_one():
    rng = np.random.default_rng(9)
    many = Games(8, 7)
    alone = [Games(1, 7) for _ in range(8)]
    for _ in range(40):
        legal = many.legal()
        actions = np.array([rng.choice(np.flatnonzero(row)) if row.any() else -1 for row in legal])
        many.play(actions)
        for b, one in enumerate(alone):
            one.play(actions[b : b + 1])
    for b, one in enumerate(alone):
        assert one.situation[0] == many.situation[b]
        assert (one.scores()[0] == many.scores()[b]).all()


def test_without_numba_one_line_says_what_to_install():
    code = "import sys; sys.modules['numba'] = None; import toulmin.go; toulmin.go.Rules(); toulmin.go.Games"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "extra.missing: numba is not installed (pip install 'toulmin[go]')" in done.stderr.splitlines()[-1]


def test_machine_code_is_kept_outside_the_package(monkeypatch, tmp_path):
    package = Path(board.__file__).parent
    assert not list(package.rglob("*.nbi"))
    assert package not in user_cache_directory().parents
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert user_cache_directory() == tmp_path
