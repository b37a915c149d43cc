"""KataGo's JSON analysis protocol: one query a line, one line of JSON for every position analysed.

A query names moves and, optionally, set-up stones, rules, komi, the turns to analyse and the visits; the answers hold
the searched moves and the root's values. Chances, points and utilities are Black's. What is not supported is refused
with the protocol's error object, which names the field; a line that is refused ends nothing.

Reference: ``docs/Analysis_Engine.md`` of KataGo.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

import numpy as np

from toulmin import __version__
from toulmin.faults import Fault, FaultError
from toulmin.go.engine.game import LETTERS, Game
from toulmin.go.engine.points import action_of, vertex_of
from toulmin.go.engine.rules import BLACK, Rules
from toulmin.go.gtp.protocol import colour_of
from toulmin.go.search.analysis import Analysis, analyse
from toulmin.go.search.mcts import Evaluates
from toulmin.go.search.settings import SearchSettings

FIELDS = (
    *("id", "moves", "initialStones", "initialPlayer", "rules", "komi", "boardXSize", "boardYSize", "analyzeTurns"),
    *("maxVisits", "analysisPVLen", "includeOwnership", "includePolicy", "priority"),
)
LONGEST_LINE = 1 << 22


class AnalysisServer:
    """Answers queries with searches of one evaluator; the same query gives the same answer, whatever came before."""

    def __init__(self, evaluator: Evaluates, settings: SearchSettings, seed: int = 0) -> None:
        self.evaluator, self.settings, self.seed = evaluator, settings, seed
        self.closed = False

    def serve(self, lines: TextIO, out: TextIO) -> None:
        """Answer every line until the end of the input or the action ``terminate_all``."""
        while not self.closed:
            line = lines.readline(LONGEST_LINE)
            if not line:
                break
            for answer in self.answers(line):
                out.write(json.dumps(answer) + "\n")
                out.flush()

    def answers(self, line: str) -> Iterator[dict[str, Any]]:
        """The answers to one line, one a turn; none to a blank one."""
        if not line.strip():
            return
        query: Any = None
        try:
            try:
                query = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise FaultError(Fault("analysis.query", f"not JSON: {error}")) from None
            if not isinstance(query, dict):
                raise FaultError(Fault("analysis.query", "a query is a JSON object"))
            if "action" in query:
                yield self._action(query)
                return
            yield from self._analyses(query)
        except FaultError as error:
            fault = error.faults[0]
            answer = {"error": fault.message} | ({"field": fault.name} if fault.name else {})
            yield answer | ({"id": query["id"]} if isinstance(query, dict) and "id" in query else {})

    def _action(self, query: dict[str, Any]) -> dict[str, Any]:
        name = query["action"]
        if name == "query_version":
            return {**query, "version": f"Toulmin {__version__}", "git_hash": ""}
        if name in ("terminate", "terminate_all", "clear_cache"):  # nothing is running while a line is read
            self.closed = name == "terminate_all"
            return query
        raise _refused("action", f"there is no action {str(name)[:40]!r}")

    def _analyses(self, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if not isinstance(query.get("id"), str):
            raise _refused("id", "a query has an id, a text")
        if unknown := sorted(set(query) - set(FIELDS)):
            raise _refused(unknown[0], "this field is not supported")
        game, moves = _game(query), _moves(query)
        visits = query.get("maxVisits", self.settings.visits)
        if not _is_count(visits) or not 1 <= visits <= 1_000_000:
            raise _refused("maxVisits", "visits are 1 to 1000000")
        length = query.get("analysisPVLen", 11)
        if not _is_count(length):
            raise _refused("analysisPVLen", "a length is a whole number")
        turns = query.get("analyzeTurns", [len(moves)])
        if not isinstance(turns, list) or not all(_is_count(turn) and turn <= len(moves) for turn in turns):
            raise _refused("analyzeTurns", f"turns are numbers from 0 to {len(moves)}")
        settings = self.settings.model_copy(update={"visits": visits})
        for turn in range(max(turns, default=-1) + 1):
            if turn in turns:
                yield self._turn(query, game, turn, settings, length)
            if turn < len(moves):
                colour, action = moves[turn]
                try:
                    game.play(action, colour)
                except FaultError as error:
                    raise _refused("moves", f"move {turn + 1}: {error.faults[0].message}") from None

    def _turn(
        self, query: dict[str, Any], game: Game, turn: int, settings: SearchSettings, length: int
    ) -> dict[str, Any]:
        answer: dict[str, Any] = {"id": query["id"], "turnNumber": turn, "isDuringSearch": False}
        if game.finished:
            return answer | {"noResults": True}
        found = analyse(game.games, 0, self.evaluator, settings, np.random.default_rng((self.seed, turn)))
        searched = found.searched
        answer["moveInfos"] = [info | {"pv": info["pv"][: length + 1]} for info in move_infos(found, game.size)]
        answer["rootInfo"] = {
            "currentPlayer": LETTERS[game.to_move],
            "visits": found.visits,
            "winrate": _rounded(searched.black_wins[0]),
            "scoreLead": _rounded(searched.black_leads[0]),
            "utility": _rounded(searched.utility[0]),
        }
        if query.get("includeOwnership", False):
            answer["ownership"] = [_rounded(value) for value in searched.ownership[0].ravel().tolist()]
        if query.get("includePolicy", False):
            answer["policy"] = [_rounded(value) for value in found.policy.tolist()]
        return answer


def move_infos(found: Analysis, size: int) -> list[dict[str, Any]]:
    """The visited moves in the order of choice, in the protocol's words; Black's view."""
    return [
        {
            "move": vertex_of(move.action, size),
            "order": order,
            "visits": move.visits,
            "winrate": _rounded(move.wins),
            "scoreLead": _rounded(move.leads),
            "prior": _rounded(move.prior),
            "utility": _rounded(move.utility),
            "lcb": _rounded(bound_of_wins(move.wins, move.utility, move.lcb)),
            "utilityLcb": _rounded(move.lcb),
            "pv": [vertex_of(action, size) for action in move.variation],
        }
        for order, move in enumerate(found.moves)
    ]


def bound_of_wins(wins: float, utility: float, lcb: float) -> float:
    """The lower bound as a chance: half the distance of the utilities, as KataGo reports it; within 0 and 1."""
    return min(max(wins + 0.5 * (lcb - utility), 0.0), 1.0)


def _rounded(value: float) -> float:
    return round(float(value), 6)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _refused(field: str, message: str) -> FaultError:
    return FaultError(Fault("analysis.query", message, name=field))


def _game(query: Mapping[str, Any]) -> Game:
    """The position before the first move."""
    size: Any = query.get("boardXSize")
    if size != query.get("boardYSize"):
        raise _refused("boardYSize", "boards are square")
    if not _is_count(size) or not 2 <= size <= 19:
        raise _refused("boardXSize", "the size of the board is 2 to 19")
    if "rules" not in query:
        raise _refused("rules", "a query names its rules")
    given, komi = query["rules"], query.get("komi")
    if not isinstance(given, str | dict):
        raise _refused("rules", "rules are a name or an object")
    if komi is not None and (isinstance(komi, bool) or not isinstance(komi, int | float) or not math.isfinite(komi)):
        raise _refused("komi", "komi is a number")
    try:
        rules = Rules.parse(given if isinstance(given, str) else json.dumps(given), komi=komi)
    except FaultError as error:
        raise _refused("rules", error.faults[0].message) from None
    stones = _pairs(query, "initialStones", size)
    first = query.get("initialPlayer")
    moves = _pairs(query, "moves", size)
    to_move = moves[0][0] if first is None and moves else BLACK if first is None else _colour("initialPlayer", first)
    black = [action for colour, action in stones if colour == BLACK]
    white = [action for colour, action in stones if colour != BLACK]
    try:
        return Game(size, rules, black=black, white=white, to_move=to_move)
    except FaultError as error:
        raise _refused("initialStones", error.faults[0].message) from None


def _moves(query: Mapping[str, Any]) -> list[tuple[int, int]]:
    if "moves" not in query:
        raise _refused("moves", "a query names its moves, be it an empty list")
    return _pairs(query, "moves", query["boardXSize"])


def _pairs(query: Mapping[str, Any], field: str, size: int) -> list[tuple[int, int]]:
    """The colours and points of a list of pairs."""
    given = query.get(field, [])
    if not isinstance(given, list):
        raise _refused(field, "moves and stones are lists of pairs of colour and point")
    found: list[tuple[int, int]] = []
    for pair in given:
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(one, str) for one in pair):
            raise _refused(field, "moves and stones are lists of pairs of colour and point")
        try:
            found.append((_colour(field, pair[0]), action_of(pair[1], size)))
        except FaultError as error:
            raise _refused(field, error.faults[0].message) from None
    return found


def _colour(field: str, text: Any) -> int:
    try:
        return colour_of(str(text))
    except FaultError as error:
        raise _refused(field, error.faults[0].message) from None


__all__ = ["AnalysisServer", "bound_of_wins", "move_infos"]
