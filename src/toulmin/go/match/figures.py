"""What a match shows: the table of pairings, the table of games, win rate against visits, and games to replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from toulmin.evidence import Board, Chart, Interval, Table, mean_interval
from toulmin.evidence.figures import Game, Move, Ownership
from toulmin.go.engine.points import action_of
from toulmin.go.engine.rules import Rules
from toulmin.go.match.game_record import GameRecord

if TYPE_CHECKING:
    from toulmin.go.match.study import Match


def _interval(games: Sequence[GameRecord], won: Sequence[bool]) -> Interval:
    """Of the rate of wins, over the openings of the games."""
    interval, reason = mean_interval(np.array(won, dtype=float), clusters=[game.given for game in games])
    assert interval is not None, reason  # of wins and losses there always is one
    return interval


def pairings_table(
    study: Match, by_pairing: Sequence[Sequence[GameRecord]], pairing: NDArray[np.int64], times: NDArray[np.int64]
) -> Table:
    """One row a pairing: games, distinct games, wins, and the first named's win rate with its interval."""
    rows: list[tuple[str | int | float | None, ...]] = []
    for number, ((first, second), games) in enumerate(zip(study.pairings(), by_pairing, strict=True)):
        a, b = study.players[first], study.players[second]
        wins = sum(game.won_by(a.label) for game in games)
        losses = sum(game.won_by(b.label) for game in games)
        area = sum(game.won_by(a.label, game.score_area) for game in games)
        interval = _interval(games, [game.won_by(a.label) for game in games])
        rows.append(
            (
                a.label,
                a.visits,
                b.label,
                b.visits,
                int(times[pairing == number].sum()),
                len(games),
                wins,
                losses,
                round(wins / len(games), 4),
                round(interval.low, 4),
                round(interval.high, 4),
                round(area / len(games), 4),
                sum(game.ending == "forfeit" for game in games),
                sum(game.ending == "limit" for game in games),
            )
        )
    columns = (
        *("player", "visits", "opponent", "opponent's visits", "games", "distinct", "wins", "losses"),
        *("win rate", "low", "high", "win rate, Tromp-Taylor", "forfeits", "stopped"),
    )
    caption = "Wins on the score under the rules, by resignation or forfeit, over distinct games; 95% over openings."
    return Table(title="Pairings", columns=columns, rows=tuple(rows), caption=caption)


def games_table(games: Sequence[GameRecord], times: NDArray[np.int64]) -> Table:
    """One row a distinct game: who, result, both scores, length, ending, passing behaviour."""
    rows = tuple(
        (
            number + 1,
            game.black,
            game.white,
            game.result,
            game.score_area,
            game.score_rules,
            len(game.moves),
            f"{game.ending}: {game.reason}" if game.reason else game.ending,
            game.passing[0],
            game.passing[1],
            game.komi,
            Rules(**game.rules).compact(),
            int(count),
        )
        for number, (game, count) in enumerate(zip(games, times.tolist(), strict=True))
    )
    columns = (
        *("game", "Black", "White", "result", "Tromp-Taylor", "pass-alive", "moves", "ended by"),
        *("Black's passing", "White's passing", "komi", "rules", "times"),
    )
    return Table(title="Games", columns=columns, rows=rows, caption="Scores are Black minus White, komi included.")


def visits_chart(study: Match, by_pairing: Sequence[Sequence[GameRecord]]) -> Chart | None:
    """Win rate against visits, one line an opponent, where a player comes with more than one number of visits."""
    points: list[tuple[str, int, float, float, float]] = []
    for (first, second), games in zip(study.pairings(), by_pairing, strict=True):
        for mine, other in ((first, second), (second, first)):
            player, opponent = study.players[mine], study.players[other]
            siblings = {p.visits for p in study.players if (p.kind, p.net) == (player.kind, player.net)}
            if player.visits and len(siblings) > 1 and (opponent.kind, opponent.net) != (player.kind, player.net):
                won = [game.won_by(player.label) for game in games]
                interval = _interval(games, won)
                series = f"against {opponent.label}"
                points.append((series, player.visits, sum(won) / len(games), interval.low, interval.high))
    if not points:
        return None
    lines: dict[str, tuple[list[int], list[float], list[float], list[float]]] = {}
    for name in sorted({point[0] for point in points}):
        mine = sorted(point[1:] for point in points if point[0] == name)
        lines[name] = ([p[0] for p in mine], [p[1] for p in mine], [p[2] for p in mine], [p[3] for p in mine])
    caption = "Wins over distinct games against each opponent; the band is the 95% interval over openings."
    return Chart.curves(
        lines, title="Win rate per visits", x="visits a move", y="win rate", log_x=True, caption=caption
    )


def _move(colour: Literal["b", "w"], vertex: str, size: int) -> Move:
    action = action_of(vertex, size)
    if action == size * size:
        return Move(colour=colour)
    row, column = divmod(action, size)
    return Move(colour=colour, x=column, y=row)


def replay_of(record: GameRecord, name: str) -> Game:
    """A game as the figure ``Board`` holds it."""
    rules = Rules(**record.rules, komi=record.komi)
    return Game(
        name=name,
        black=record.black,
        white=record.white,
        komi=record.komi,
        rules=rules.compact(),
        result=record.result,
        moves=tuple(_move(record.mover(at), vertex, record.size) for at, vertex in enumerate(record.moves)),
        setup=(
            *(_move("b", vertex, record.size) for vertex in record.black_stones),
            *(_move("w", vertex, record.size) for vertex in record.white_stones),
        ),
        score_area=record.score_area,
        score_pass_alive=record.score_rules,
        suicide=rules.suicide,
        win_estimates={player: tuple(curve) for player, curve in record.estimates.items()},
        ownership=tuple(Ownership(move=move, values=tuple(values)) for move, values in record.ownership),
        facts={
            "ended by": f"{record.ending}: {record.reason}" if record.reason else record.ending,
            "Black's passing": record.passing[0],
            "White's passing": record.passing[1],
            "Black's visits": record.visits[0],
            "White's visits": record.visits[1],
            "given moves": record.opening,
        },
    )


def board_of(study: Match, by_pairing: Sequence[Sequence[GameRecord]]) -> Board | None:
    """The first ``shown`` games of every pairing, to be replayed."""
    games = [
        replay_of(record, f"{number + 1}. {record.black} – {record.white}")
        for games in by_pairing
        for number, record in enumerate(games[: study.shown])
    ]
    if not games:
        return None
    return Board(title="Games", size=study.size, games=tuple(games))
