"""Where a network misjudges a group that is lost: positions of recorded games in which the loss is proved.

A group that was captured late may have been alive earlier, so "captured in the end" says too much. A group counts as
*doomed* from the last moves before its capture backwards, for as long as a solver proves that its owner could not have
saved it: at each such position the opponent captures it whatever its owner plays.

The solver (:func:`proves_capture`) is an AND/OR search. The opponent plays on liberties of the group only, and wins
when it takes it. The owner may play anything that can matter while the group has few liberties: a liberty of the group,
a liberty of an opposing chain that touches it and has few liberties itself, a point next to one of these, or elsewhere
(a pass stands for all of that: nothing elsewhere changes a liberty of the group or of the chains around it). It gives
up (not proved) where the group has more than ``most_liberties`` or the search more than ``most_nodes``. Superko holds,
and threats elsewhere to win a ko are not tried: a loss by ko is proved for a player that has no such threat.

Where the first proved position comes from a move of the group's owner, the position before that move is its *last
chance*: a network that plays another move into a proved loss there does not see the danger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toulmin.go import BLACK, WHITE, Evaluator, Games, SgfGame

Stones = NDArray[np.int8]


@dataclass(frozen=True)
class DoomedPosition:
    """A position before move ``move`` in which the group of ``owner`` at ``stones`` (actions) is proved to be lost."""

    move: int
    owner: int
    stones: tuple[int, ...]
    first: bool = False  #: the earliest of its run


def neighbours(point: int, size: int) -> list[int]:
    """The points next to a point."""
    row, column = divmod(point, size)
    steps = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return [r * size + c for r, c in steps if 0 <= r < size and 0 <= c < size]


def chain_of(board: Stones, point: int) -> tuple[set[int], set[int]]:
    """The stones of the chain at a point of a flat board, and its liberties."""
    size, colour = round(len(board) ** 0.5), board[point]
    stones, liberties, walk = {point}, set[int](), [point]
    while walk:
        for other in neighbours(walk.pop(), size):
            if board[other] == 0:
                liberties.add(other)
            elif board[other] == colour and other not in stones:
                stones.add(other)
                walk.append(other)
    return stones, liberties


def proves_capture(games: Games, point: int, *, most_liberties: int = 3, most_nodes: int = 3000) -> bool:
    """Whether the chain at ``point`` of the only game in ``games`` is lost, whoever is to move.

    False where it is not, and where that was not proved.
    """
    owner = int(games.stones()[0].ravel()[point])
    if owner == 0:
        return False
    left = [most_nodes]
    return _lost(games, point, owner, most_liberties, left, 4 * most_liberties)


def _lost(games: Games, point: int, owner: int, most: int, left: list[int], depth: int) -> bool:
    board = games.stones()[0].ravel()
    if board[point] != owner:
        return True
    if games.finished[0] or left[0] <= 0 or depth == 0:
        return False
    left[0] -= 1
    stones, liberties = chain_of(board, point)
    if len(liberties) > most:
        return False
    legal = games.legal()[0]
    owners_turn = int(games.to_move[0]) == owner
    moves = _defences(board, stones, liberties, owner, most) if owners_turn else sorted(liberties)
    for move in moves:
        if not legal[move]:
            continue
        after = games.take([0])
        after.play([move])
        if _lost(after, point, owner, most, left, depth - 1) != owners_turn:
            return not owners_turn
    return owners_turn


def _defences(board: Stones, stones: set[int], liberties: set[int], owner: int, most: int) -> list[int]:
    """What the owner may play to save a chain: first the moves that most often do, and last the pass."""
    size = round(len(board) ** 0.5)
    around: set[int] = set()
    seen: set[int] = set()
    for stone in stones:
        for other in neighbours(stone, size):
            if board[other] not in (0, owner) and other not in seen:
                chain, theirs = chain_of(board, other)
                seen |= chain
                if len(theirs) <= most + 1:
                    around |= theirs
    first = [*sorted(liberties), *sorted(around - liberties)]
    near = {p for move in first for p in neighbours(move, size) if board[p] == 0} - set(first)
    return [*first, *sorted(near), size * size]


def doomed_positions(
    record: SgfGame, *, least_stones: int = 8, most_back: int = 30, most_liberties: int = 3, most_nodes: int = 3000
) -> list[DoomedPosition]:
    """The positions before each large capture of a game in which the loss is proved, from the capture backwards.

    A capture counts where one move takes ``least_stones`` or more. At most ``most_back`` positions before each are
    looked at; the run ends at the first that is not proved.
    """
    positions, captured = _positions(record)
    boards = positions.stones()
    found: list[DoomedPosition] = []
    for move, owner, points in captured:
        if len(points) < least_stones:
            continue
        run: list[DoomedPosition] = []
        for at in range(move, max(-1, move - most_back), -1):
            board = boards[at].ravel()
            there = [point for point in points if board[point] == owner]
            if len(there) < least_stones:
                break
            # the largest chain among the stones that will be taken
            chains = {tuple(sorted(chain_of(board, point)[0])) for point in there}
            chain = max(chains, key=len)
            one = positions.take([at])
            if len(chain) < least_stones or not proves_capture(
                one, chain[0], most_liberties=most_liberties, most_nodes=most_nodes
            ):
                break
            run.append(DoomedPosition(at, owner, chain))
        if run:
            run[-1] = replace(run[-1], first=True)
        found += run
    return found


def falls_into_loss(
    record: SgfGame, doomed: DoomedPosition, evaluator: Evaluator, *, most_liberties: int = 3, most_nodes: int = 3000
) -> bool | None:
    """Whether the network's likeliest move at the group's last chance loses it provably; None: it had none.

    ``doomed`` is the first position of a run; its owner made the move before it.
    """
    if not doomed.first or doomed.move == 0 or record.moves[doomed.move - 1][0] != doomed.owner:
        return None
    before = _positions(record)[0].take([doomed.move - 1])
    board = before.stones()[0].ravel()
    anchor = next((point for point in doomed.stones if board[point] == doomed.owner), None)
    if anchor is None:
        return None
    before.play([int(evaluator.evaluate(before).policy[0].argmax())])
    return proves_capture(before, anchor, most_liberties=most_liberties, most_nodes=most_nodes)


def _positions(record: SgfGame) -> tuple[Games, list[tuple[int, int, tuple[int, ...]]]]:
    """The position before every move, and of every move that captures: (its number, whose stones, their points)."""
    count = len(record.moves)
    games = Games(count + 1, record.size, record.rules, capacity=count + 2)
    if record.black or record.white:
        games.place(0, record.black, record.white)
    captured: list[tuple[int, int, tuple[int, ...]]] = []
    for number, (colour, action) in enumerate(record.moves):
        games.set_to_move(number, colour)
        games.assign([number + 1], games, [number])
        games.play([action], [number + 1])
        before, after = (games.take([row]).stones()[0].ravel() for row in (number, number + 1))
        other = WHITE if colour == BLACK else BLACK
        gone = np.flatnonzero((before == other) & (after == 0))
        if len(gone):
            captured.append((number, other, tuple(gone.tolist())))
    return games, captured


@dataclass(frozen=True)
class Judgement:
    """What a network says of a doomed position: mean ownership of the group and win probability, both its owner's."""

    position: DoomedPosition
    ownership: float
    win: float

    @property
    def misjudged(self) -> bool:
        """Whether the network gives the lost group to its owner."""
        return self.ownership > 0


def judge(record: SgfGame, doomed: Sequence[DoomedPosition], evaluator: Evaluator, batch: int = 16) -> list[Judgement]:
    """The network's view of each doomed position."""
    if not doomed:
        return []
    positions, _ = _positions(record)
    return list(_judged(positions, doomed, evaluator, batch))


def _judged(
    positions: Games, doomed: Sequence[DoomedPosition], evaluator: Evaluator, batch: int
) -> Iterator[Judgement]:
    for start in range(0, len(doomed), batch):
        part = doomed[start : start + batch]
        asked = positions.take([one.move for one in part])
        view = evaluator.evaluate(asked)
        for row, one in enumerate(part):
            sign = 1.0 if int(asked.to_move[row]) == one.owner else -1.0
            owned = sign * float(view.ownership[row].ravel()[list(one.stones)].mean())
            win = float(view.win[row] if sign > 0 else view.loss[row])
            yield Judgement(one, owned, win)
