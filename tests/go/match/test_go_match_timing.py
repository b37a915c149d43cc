"""The time that a match will take: programs are timed too, and one that cannot be is named."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from toulmin.adversary import AdversaryMatch
from toulmin.go import Match, PlayerSpec, Rules
from toulmin.go.match.timing import seconds_of_move
from toulmin.studies import Progress, Run

ENGINE = """
import sys, time
for line in sys.stdin:
    number, *words = line.split()
    if words[0] == "genmove":
        time.sleep(0.05)
    print(f"={number} {'pass' if words[0] == 'genmove' else ''}", end="\\n\\n", flush=True)
"""


@pytest.fixture
def engine(tmp_path: Path) -> PlayerSpec:
    """A program that takes 50 ms for a move, which is always a pass."""
    path = tmp_path / "engine.py"
    path.write_text(ENGINE)
    return PlayerSpec(kind="gtp", name="slow", command=(sys.executable, "-S", "-E", "-u", str(path)))


class Notes(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_moves_of_programs_are_timed_without_their_start(engine):
    assert 0.05 <= (seconds_of_move(engine, 3, Rules(), str) or 0) < 1
    assert 0 < (seconds_of_move(PlayerSpec(kind="edge"), 3, Rules(), str) or 0) < 0.05
    missing = PlayerSpec(kind="gtp", command=("no-such-program-anywhere",))
    assert seconds_of_move(missing, 3, Rules(), str) is None


def test_a_match_with_a_program_says_what_it_will_take(engine, tmp_path):
    study = Match(size=3, players=(engine, PlayerSpec(kind="edge")), games=40, opening_moves=0)
    assert study.cost() is None
    assert Match(size=3, players=(PlayerSpec(kind="random"), PlayerSpec(kind="edge"))).cost() is not None
    notes = Notes()
    short = study.model_copy(update={"games": 2})
    short.collect(Run(tmp_path, progress=notes))
    # 2 games of 9 moves, half of them the program's at 50 ms: half a second, said as a whole number
    assert re.fullmatch(
        r"go.match: about \d s of one process for the games, from timed moves of each player", notes.said[0]
    )


def test_an_attack_names_who_could_not_be_timed_and_counts_all_pairings(engine, tmp_path, monkeypatch):
    players = {"adversary": PlayerSpec(kind="random"), "victims": (PlayerSpec(kind="pass"),), "independents": (engine,)}
    study = AdversaryMatch.model_validate({"size": 3, "komi": 0.5, "games": 200, **players})
    assert study.cost() is None
    notes = Notes()
    run = Run(tmp_path, progress=notes)
    monkeypatch.setattr(Match, "play", lambda self, run: pytest.fail("only the estimate is wanted"))
    with pytest.raises(pytest.fail.Exception):
        study.play(run, study.adversary)
    # the program plays the adversary and the victim: 2 pairings of 200 games with 4.5 moves of 50 ms are 90 s
    minutes = re.match(r"adversary.match: about (\d+) (s|min) of one process", notes.said[0])
    assert minutes is not None
    assert 90 <= int(minutes[1]) * (60 if minutes[2] == "min" else 1) < 400
    gone = study.model_copy(update={"independents": (PlayerSpec(kind="gtp", name="gone", command=("no-such-thing",)),)})
    with pytest.raises(pytest.fail.Exception):
        gone.play(run, gone.adversary)
    assert notes.said[1].endswith("; unknown: the moves of gone, which come on top")
