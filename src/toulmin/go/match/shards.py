"""The shards of a match: groups of games, the file that each leaves, and the items made of all files.

A shard plays ``parallel`` games in lockstep and has :data:`ROUNDS` times as many, so that the places of short games are
taken by others while a long one goes on.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toulmin.evidence import Items, content_of, sha256_of_json
from toulmin.faults import FaultError
from toulmin.go.match.game_record import GameRecord

if TYPE_CHECKING:
    from toulmin.go.match.opening import Opening
    from toulmin.go.match.study import Match
    from toulmin.studies import Run


ROUNDS = 4


@dataclass(frozen=True)
class MatchShard:
    """Games ``start`` to ``start + count`` of a pairing; it pickles, and knows the file it leaves."""

    study: Match
    nets: tuple[tuple[str, str], ...]  #: references of nets and where they are
    pairing: int
    start: int
    count: int
    openings: tuple[Opening, ...]  #: of its games, one each
    seed: int
    threads: int
    device: str
    path: Path

    def done(self) -> bool:
        """Whether its file is there and whole."""
        return len(self.load()) == self.count

    def load(self) -> list[GameRecord]:
        """The games of its file; none where it is absent or damaged, so that they are played again."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
            return [GameRecord.from_json(line) for line in lines]
        except (OSError, UnicodeDecodeError, FaultError):
            return []


def shards_of(study: Match, run: Run) -> list[MatchShard]:
    """All the shards, in the order of play; their files are in ``run.workdir`` and named by study and seed."""
    from toulmin.go.match.opening import draw_openings, read_openings

    located = {net: str(study.resolver.locate(net)) for p in study.players for net in p.nets}
    key = sha256_of_json([study.inputs_hash(), run.seed])[:12]
    rules, starts = study.parsed_rules(), []
    if study.positions is not None:
        starts = read_openings(study.resolver.locate(study.positions), study.size, rules)
    openings = draw_openings(study.games // 2, study.opening_moves, study.size, rules, run.seed, starts)
    group = study.parallel * ROUNDS
    found: list[MatchShard] = []
    for number in range(len(study.pairings())):
        for start in range(0, study.games, group):
            games = range(start, min(start + group, study.games))
            found.append(
                MatchShard(
                    study=study,
                    nets=tuple(sorted(located.items())),
                    pairing=number,
                    start=start,
                    count=len(games),
                    openings=tuple(openings[game // 2] for game in games),
                    seed=run.seed,
                    threads=run.threads,
                    device=run.device,
                    path=run.workdir / f"games-{key}-{number:03d}-{start:06d}.jsonl",
                )
            )
    return found


def play_shard(shard: MatchShard) -> Path:
    """Play the games of a shard and write its file, whole or not at all.

    :raises FaultError: a net cannot be read, or a program is not installed.
    """
    from toulmin.go.match.play import Pairing, play_games
    from toulmin.go.players.spec import make_player

    study, located = shard.study, dict(shard.nets)
    if located:
        import torch

        torch.set_num_threads(shard.threads)
    first, second = study.pairings()[shard.pairing]
    specs = (study.players[first], study.players[second])
    rules = study.parsed_rules()
    players = [make_player(spec, located.__getitem__, shard.seed, shard.device) for spec in specs]
    try:
        pairings: list[Pairing] = []
        for game in range(shard.start, shard.start + shard.count):
            black, white = (0, 1) if game % 2 == 0 else (1, 0)
            pairings.append(
                Pairing(
                    black=players[black],
                    white=players[white],
                    opening=shard.openings[game - shard.start],
                    # random numbers from the names, so that adding a player changes no game of the others
                    seed=(shard.seed, game, *(zlib.crc32(spec.label.encode()) for spec in specs)),
                    visits=(specs[black].visits, specs[white].visits),
                    passing=(specs[black].passing, specs[white].passing),
                )
            )
        games = play_games(
            pairings,
            study.size,
            rules,
            limit=study.limit or None,
            ownership_every=study.ownership_every,
            parallel=study.parallel,
        )
    finally:
        for player in players:
            player.close()
    lines: list[str] = []
    for game, record in zip(range(shard.start, shard.start + shard.count), games, strict=True):
        # ownership is large: only the games that will be shown keep it
        lines.append((record if game < study.shown else replace(record, ownership=[])).to_json())
    unfinished = shard.path.with_suffix(f".{os.getpid()}.part")
    unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")
    unfinished.replace(shard.path)
    return shard.path


def distinct_games(study: Match, shards: list[MatchShard], folder: Path) -> Items:
    """Items of the distinct games: their records, their pairing, how often they were played; and an SGF of each.

    What was asked of a game is its opening (under the board and the rules of the study): games from one opening, with
    either colour and in any pairing, are one cluster.
    """
    from toulmin.go.match.sgf import sgf_of

    units: dict[str, int] = {}
    records: list[GameRecord] = []
    pairing: list[int] = []
    opening: list[str] = []
    contents: list[str] = []
    times: list[int] = []
    for shard in shards:
        for offset, record in enumerate(shard.load()):
            if record.digest in units:
                times[units[record.digest]] += 1
                continue
            units[record.digest] = len(records)
            records.append(record)
            pairing.append(shard.pairing)
            opening.append(f"opening {(shard.start + offset) // 2}")
            contents.append(content_of(study.size, study.rules, study.komi, *_given(record)))
            times.append(1)
    sgf = folder / "games.sgf"
    sgf.write_bytes(b"".join(sgf_of(record) for record in records))
    columns = {
        "record": np.array([record.to_json() for record in records]),
        "pairing": np.array(pairing),
        "times": np.array(times),
        "score_area": np.array([record.score_area for record in records]),
        "score_rules": np.array([record.score_rules for record in records]),
        "moves": np.array([len(record.moves) for record in records]),
        "result": np.array([record.result for record in records]),
        "ending": np.array([record.ending for record in records]),
        "passing": np.array([json.dumps(record.passing) for record in records]),
    }
    return Items(units=list(units), columns=columns, clusters=opening, contents=contents, files={"games.sgf": sgf})


def _given(record: GameRecord) -> tuple[str, ...]:
    """What was given of a game: its opening, and before it the stones that were set up."""
    moves = record.moves[: record.opening]
    return (record.given,) if record.black_stones or record.white_stones or record.first != "b" else moves
