"""The games of an attack to replay: its clearest wins first, with the move at which the victim's estimate turns."""

from __future__ import annotations

from itertools import pairwise

from toulmin.evidence import Board, Items
from toulmin.go import GameRecord, replay_of


def turning_move(record: GameRecord, victim: str) -> int | None:
    """The last move number at which the victim's chances, by its own estimate, fall from above to below one half."""
    estimates = record.estimates.get(victim, [])
    sign = record.black == victim
    own = [(move, chance if sign else 1 - chance) for move, chance in enumerate(estimates) if chance is not None]
    turns = [after[0] for before, after in pairwise(own) if before[1] > 0.5 >= after[1]]
    return turns[-1] if turns else None


def attack_board(size: int, items: Items, shown: int, groups: list[tuple[str, str, str]]) -> Board | None:
    """The first ``shown`` games of every pairing; first those that the victim lost while it believed itself ahead."""
    found = []
    texts, pairing = items.columns["record"].tolist(), items.columns["pairing"]
    for number, (group, first, second) in enumerate(groups):
        mine = [i for i in range(len(texts)) if pairing[i] == number]
        # the clearest first: won, the victim blind to the end, then the largest capture
        mine.sort(
            key=lambda i: (-items.columns["won"][i], -items.columns["believed"][i], -items.columns["capture"][i], i)
        )
        for i in mine[:shown]:
            record = GameRecord.from_json(texts[i])
            turn = turning_move(record, second)
            note = "" if turn is None or group != "attack" else f", {second} turns at move {turn}"
            found.append(replay_of(record, f"{len(found) + 1}. {group}: {first} against {second}{note}"))
    return Board(title="Games", size=size, games=tuple(found)) if found else None
