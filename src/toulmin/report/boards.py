"""Games of Go to replay: the games as compact data in the page, drawn and stepped through by the page's script.

The sortable table of games is plain HTML. The script applies captures itself (a move removes opposing chains without
liberties, then its own if the rules allow suicide); legality, ko and scores are the record's business, not the page's.
"""

from __future__ import annotations

from typing import Any

from toulmin.evidence import Board
from toulmin.evidence.figures import Game, Move
from toulmin.report.pages import Fragment, render


def _point(move: Move, size: int) -> int:
    """Row by row from the top, or -1 for a pass."""
    return -1 if move.x is None or move.y is None else move.y * size + move.x


def _played(moves: tuple[Move, ...], size: int) -> dict[str, Any]:
    return {"points": [_point(move, size) for move in moves], "colours": "".join(move.colour for move in moves)}


def _game(game: Game, size: int) -> dict[str, Any]:
    return {
        "name": game.name,
        "moves": _played(game.moves, size),
        "setup": _played(game.setup, size),
        "suicide": game.suicide,
        "estimates": [
            {"name": name, "values": [None if value is None else round(value, 4) for value in curve]}
            for name, curve in game.win_estimates.items()
        ],
        "ownership": [
            {"move": owned.move, "values": [round(value * 100) for value in owned.values]}
            for owned in sorted(game.ownership, key=lambda owned: owned.move)
        ],
    }


def render_board(board: Board) -> Fragment:
    """The board, its controls, the win estimates, and the table of games."""
    extra = list(dict.fromkeys(name for game in board.games for name in game.facts))
    data = {"size": board.size, "games": [_game(game, board.size) for game in board.games]}
    html = render("board.html", board=board, data=data, extra=extra)
    return Fragment(html, frozenset({"board"}))
