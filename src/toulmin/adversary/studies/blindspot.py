"""The study ``adversary.blindspot``: do recorded attacks show a blind spot of a network that did not play in them?

The recorded games are replayed. Positions in which a large group is proved to be lost
(:mod:`toulmin.adversary.blind_spots`) are shown to the network: it misjudges one where it gives the group to its owner.
The victim's lost groups are the attack; those of the attacker, in the same games, are the control of ordinary lost
groups. No training: minutes on a processor.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toulmin.adversary.recorded import bytes_of, members_of
from toulmin.evidence import Items, Measure, Table, mean_interval
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies import Cost, Doubt, Input, MeasureSpec, Run, Study, Summary

_SHARE = "mean over games with such a position of the share of proved positions in which"
_COUNTS = ("positions", "misjudged", "ahead", "chances", "falls")


@dataclass(frozen=True)
class _Piece:
    """The games of one file, to be judged in one go; it pickles, and knows the file it leaves."""

    source: Path
    member: str
    net: Path
    victim: str
    settings: dict[str, int]
    device: str
    threads: int
    path: Path


class BlindSpot(Study):
    """Whether a network misjudges groups that recorded attacks took, beside ordinary lost groups.

    ``games`` is a folder or a ``.tar.gz`` of SGF files, of which ``select`` (patterns of their paths) are read; ``net``
    the network. The victim's colour is the one whose player name contains ``victim``; games without it are left out.
    ``least_stones``, ``most_back``, ``most_liberties`` and ``most_nodes`` are the solver's.
    """

    kind: ClassVar = "adversary.blindspot"
    version: ClassVar = 1
    measures: ClassVar = {
        "misjudged": MeasureSpec("proportion", "lower", f"{_SHARE} the net gives the victim's group to it", 0.0, 1.0),
        "misjudged_control": MeasureSpec("proportion", "neither", "the same of the attacker's lost groups", 0.0, 1.0),
        "ahead": MeasureSpec("proportion", "lower", f"{_SHARE} the net thinks the victim ahead", 0.0, 1.0),
        "falls": MeasureSpec(
            "proportion",
            "lower",
            "over games, last chances at which the net's own move loses the victim's group",
            0.0,
            1.0,
        ),
        "falls_control": MeasureSpec("proportion", "neither", "the same of the attacker's groups", 0.0, 1.0),
    }
    presets: ClassVar = {
        "tiny": {"games": "embedded:go-5x5", "net": "embedded:go-5x5", "least_stones": 3, "most_nodes": 50},
        "demo": {"games": "embedded:go-5x5", "net": "embedded:go-5x5", "least_stones": 3},
        "full": {"games": "embedded:go-5x5", "net": "embedded:go-5x5", "least_stones": 2, "most_liberties": 4},
    }
    doubts: ClassVar = (
        Doubt(
            "transfer",
            "Positions taken from attacks on other networks need not be those that an attack on this one would reach.",
            "an attack trained against this network",
        ),
        Doubt(
            "solver",
            "Only losses that a local search proves count; positions lost by means it cannot read are left out.",
            "a stronger solver, or the judgement of a strong player on the positions before",
        ),
    )

    games: str
    net: str
    select: tuple[str, ...] = ("*",)
    victim: str = "Victim"
    least_stones: Annotated[int, Field(ge=1, le=361)] = 8
    most_back: Annotated[int, Field(ge=1, le=400)] = 30
    most_liberties: Annotated[int, Field(ge=1, le=6)] = 3
    most_nodes: Annotated[int, Field(ge=1, le=1_000_000)] = 3000
    most_files: Annotated[int, Field(ge=1)] = 10_000

    def inputs(self) -> tuple[Input, ...]:
        """The network and the games."""
        return (self.input("net", self.net), self.input("games", self.games))

    def seed_changes_data(self) -> bool:
        """The games are what they are."""
        return False

    def cost(self) -> Cost:
        """Two seconds a file of one 19x19 game."""
        return Cost(seconds=2.0 * min(self.most_files, 800), bytes=512 << 20)

    def collect(self, run: Run) -> Items:
        """Judge every game; one file of results for each file of games."""
        source, net = self.resolver.locate(self.games), self.resolver.locate(self.net)
        members = members_of(source, self.select)[: self.most_files]
        if not members:
            fault = Fault("adversary.games", f"no SGF file fits {', '.join(self.select)}", file=str(source))
            raise FaultError(fault, ExitCode.SUBJECT)
        names = ("least_stones", "most_back", "most_liberties", "most_nodes")
        settings = {name: int(getattr(self, name)) for name in names}
        pieces = [
            _Piece(source, member, net, self.victim, settings, run.device, run.threads, run.workdir / f"{i:05d}.json")
            for i, member in enumerate(members)
        ]
        missing = [piece for piece in pieces if not piece.path.exists()]
        for _ in run.track(run.pool.map(_judge_file, missing), "files", total=len(missing)):
            pass
        rows = [row for piece in pieces for row in json.loads(piece.path.read_text())]
        seen: dict[str, dict[str, Any]] = {}
        for row in rows:  # the archive holds some games twice
            seen.setdefault(row["game"], row)
        rows = list(seen.values())
        if not rows:
            fault = Fault("adversary.games", f"no game names a player {self.victim!r}", file=str(source))
            raise FaultError(fault, ExitCode.SUBJECT)
        columns: dict[str, NDArray[Any]] = {
            f"{side}_{name}": np.array([row[side][name] for row in rows], np.int64)
            for side in ("victim", "control")
            for name in _COUNTS
        }
        columns |= {name: np.array([row[name] for row in rows]) for name in ("source", "file", "details")}
        return Items(units=[row["game"] for row in rows], columns=columns)

    def summarise(self, items: Items) -> Summary:
        """Shares over games, by source of the games."""
        columns = items.columns
        every = np.ones(len(items.units), np.bool_)
        measures = {
            "misjudged": _share(columns, "victim", "misjudged", "positions", every, "lower"),
            "misjudged_control": _share(columns, "control", "misjudged", "positions", every, "neither"),
            "ahead": _share(columns, "victim", "ahead", "positions", every, "lower"),
            "falls": _share(columns, "victim", "falls", "chances", every, "lower"),
            "falls_control": _share(columns, "control", "falls", "chances", every, "neither"),
        }
        rows: list[tuple[str | int | float | None, ...]] = []
        for source in sorted(set(columns["source"].tolist())):
            mine = columns["source"] == source
            cells: list[str | int | float | None] = [source, int(mine.sum())]
            for side in ("victim", "control"):
                for part, whole in (("misjudged", "positions"), ("falls", "chances")):
                    counted = int(columns[f"{side}_{whole}"][mine].sum())
                    cells += [counted, int(columns[f"{side}_{part}"][mine].sum())]
            rows.append(tuple(cells))
        names = ("lost positions", "misjudged", "last chances", "falls")
        heads = ("source", "games", *(f"{who}'s {name}" for who in ("victim", "attacker") for name in names))
        caption = (
            f"Groups of {self.least_stones} stones or more proved to be lost ({self.most_liberties} liberties at most, "
            f"{self.most_nodes} nodes). A last chance: before the owner's move into the proved loss."
        )
        return Summary(
            measures=measures, tables=(Table(title="Games", columns=heads, rows=tuple(rows), caption=caption),)
        )


def _share(columns: Any, side: str, part: str, whole: str, among: NDArray[np.bool_], better: Any) -> Measure:
    total = columns[f"{side}_{whole}"]
    some = among & (total > 0)
    fields: dict[str, Any] = {"unit": "proportion", "better": better, "n_of": "games"}
    if not some.any():
        return Measure(value=0.0, n=len(total), no_interval="no such group is proved to be lost in any game", **fields)
    values = columns[f"{side}_{part}"][some] / total[some]
    interval, reason = mean_interval(values)
    return Measure(value=float(values.mean()), n=int(some.sum()), interval=interval, no_interval=reason, **fields)


def _judge_file(piece: _Piece) -> Path:
    """Judge the games of a file and write what was found, whole or not at all."""
    import torch

    from toulmin.go import Evaluator

    torch.set_num_threads(piece.threads)
    rows = list(_rows(piece, Evaluator(piece.net, device=piece.device)))
    unfinished = piece.path.with_suffix(f".{os.getpid()}.part")
    unfinished.write_text(json.dumps(rows))
    unfinished.replace(piece.path)
    return piece.path


def _rows(piece: _Piece, evaluator: Any) -> Iterator[dict[str, Any]]:
    from toulmin.adversary.blind_spots import doomed_positions, falls_into_loss, judge
    from toulmin.evidence import sha256_of_json
    from toulmin.go import BLACK, WHITE, scan_sgf

    games, _ = scan_sgf(bytes_of(piece.source, piece.member))
    limits = {name: piece.settings[name] for name in ("most_liberties", "most_nodes")}
    for game in games:
        colours = [c for c, name in ((BLACK, "PB"), (WHITE, "PW")) if piece.victim in game.headers.get(name, "")]
        if len(colours) != 1:
            continue
        try:
            found = judge(game, doomed_positions(game, **piece.settings), evaluator)
        except FaultError:  # an illegal move under the rules that the file names
            continue
        row: dict[str, Any] = {
            "game": sha256_of_json([game.size, game.moves, game.black, game.white])[:16],
            "source": Path(piece.member).parent.name,
            "file": piece.member,
            "details": json.dumps([{**asdict(one.position), "ownership": round(one.ownership, 3)} for one in found]),
        }
        for side in ("victim", "control"):
            mine = [one for one in found if (one.position.owner == colours[0]) == (side == "victim")]
            falls = [falls_into_loss(game, one.position, evaluator, **limits) for one in mine]
            row[side] = {
                "positions": len(mine),
                "misjudged": sum(one.misjudged for one in mine),
                "ahead": sum(one.win > 0.5 for one in mine),
                "chances": sum(fall is not None for fall in falls),
                "falls": sum(fall is True for fall in falls),
            }
        yield row
