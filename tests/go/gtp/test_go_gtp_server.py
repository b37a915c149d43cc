"""Our side of GTP: a session by hand, any input at all, and whole games against GNU Go and against ourselves."""

from __future__ import annotations

import io
import os
import random
import shutil
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toulmin.go import Games, Rules
from toulmin.go.engine.points import action_of
from toulmin.go.gtp.client import Engine
from toulmin.go.gtp.player import EnginePlayer
from toulmin.go.gtp.protocol import parse_answer
from toulmin.go.gtp.server import GtpServer
from toulmin.go.match.opening import Opening
from toulmin.go.match.play import Pairing, play_games
from toulmin.go.players.hardcoded import HardCoded

GNUGO = shutil.which("gnugo") or "/usr/games/gnugo"
needs_gnugo = pytest.mark.skipif(not os.access(GNUGO, os.X_OK), reason="GNU Go is not installed")
OURS = [sys.executable, "-c", "from toulmin.cli import main; main()", "go", "gtp"]


def ask(server: GtpServer, line: str) -> str:
    answer = parse_answer(server.answer(line))
    return answer.text if answer.ok else f"? {answer.text}"


def test_a_session():
    server = GtpServer(HardCoded("spiral"), Rules(komi=6.5), 9)
    assert server.answer("") == ""
    assert server.answer("5 protocol_version") == "=5 2\n\n"
    assert ask(server, "known_command genmove") == "true"
    assert ask(server, "known_command tea") == "false"
    assert "showboard" in ask(server, "list_commands").split("\n")
    assert ask(server, "tea") == "? unknown command"
    assert ask(server, "boardsize 25") == "? unacceptable size"
    assert ask(server, "boardsize 5") == ""
    assert ask(server, "komi 0.5") == ""
    assert ask(server, "komi many").startswith("? syntax error")
    assert ask(server, "komi nan").startswith("? syntax error")
    assert ask(server, "komi 0.3").startswith("? ")
    assert ask(server, "play black C3") == ""
    assert ask(server, "play w c3") == "? illegal move"
    assert ask(server, "play red C3").startswith("? ")
    assert ask(server, "play w Z9").startswith("? ")
    assert ask(server, "play w") == "? syntax error: 2 arguments expected, 1 given"
    assert ask(server, "play b D3") == ""  # the same colour twice, as the protocol allows
    first = ask(server, "reg_genmove w")
    assert first == ask(server, "genmove w")
    board = ask(server, "showboard")
    assert board.count("X") == 2
    assert board.count("O") == 1
    assert ask(server, "undo") == ""
    assert ask(server, "showboard").count("O") == 0
    assert ask(server, "final_score") == "B+24.5"
    assert ask(server, "final_status_list alive") == "C3 D3"
    assert ask(server, "final_status_list dead") == ""
    assert ask(server, "final_status_list lost") == "? invalid status"
    assert ask(server, "clear_board") == ""
    assert ask(server, "undo") == "? cannot undo"
    assert ask(server, "toulmin-estimate b") == "? this player does not evaluate positions"
    assert ask(server, "play b pass") == ""
    assert ask(server, "play w pass") == ""
    assert ask(server, "genmove b") == "pass"
    assert ask(server, "play b C3") == "? illegal move"
    assert not server.closed
    assert server.answer("9 quit") == "=9\n\n"
    assert server.closed


def test_handicaps():
    server = GtpServer(HardCoded("random"), Rules(), 9)
    assert ask(server, "fixed_handicap 2") == "C3 G7"
    assert server.game.to_move == 2
    assert ask(server, "fixed_handicap 2") == "? board not empty"
    ask(server, "clear_board")
    assert ask(server, "fixed_handicap 1").startswith("? ")
    assert ask(server, "set_free_handicap A1 A1") == "? bad vertex list"
    assert ask(server, "set_free_handicap A1 pass") == "? bad vertex list"
    assert ask(server, "set_free_handicap A1 B2 C3") == "A1 B2 C3"
    assert ask(server, "kata-set-rules chinese") == ""
    assert ask(server, "kata-get-rules").startswith("koSIMPLEscoreAREA")
    assert ask(server, "kata-set-rules whatever").startswith("? ")
    assert ask(server, "showboard").count("X") == 3


WORDS = ["b", "w", "black", "pass", "resign", "A1", "E5", "T19", "Z0", "I3", "0", "-1", "9", "19", "1e9", "nan", "0.5"]
WORDS += [
    "alive",
    "dead",
    "japanese",
    "play",
    "#",
    "\x00",
    "é",
    "{}",
    '{"ko":1}',
    '{"komi":"x"}',
    "{",
    "9" * 30,
    "x" * 5000,
]


def drive(server: GtpServer, seed: int, lines: int) -> None:
    rng = random.Random(seed)
    names = [*(name for name in server._commands if name != "quit"), "nonsense", "=", "12"]
    for _ in range(lines):
        line = " ".join([rng.choice(names), *(rng.choice(WORDS) for _ in range(rng.randrange(4)))])
        answer = server.answer(line)
        if answer:
            assert answer[0] in "=?"
            assert answer.endswith("\n\n")
            assert "Traceback" not in answer
            parse_answer(answer)


def test_random_commands_are_always_answered():
    server = GtpServer(HardCoded("random"), Rules(), 5)
    drive(server, 11, 2500)


@pytest.mark.fuzz
@pytest.mark.slow
def test_many_random_commands_are_always_answered():
    for seed in range(30):
        drive(GtpServer(HardCoded("random"), Rules(), 7, seed), seed, 4000)


@given(st.lists(st.text(max_size=60), max_size=20))
@settings(max_examples=150, deadline=None)
def test_any_text_at_all(lines):
    server = GtpServer(HardCoded("pass"), Rules(), 5)
    out = io.StringIO()
    server.serve(io.StringIO("\n".join(lines)), out)
    for answer in out.getvalue().split("\n\n")[:-1]:
        assert answer[0] in "=?"


@needs_gnugo
def test_a_full_game_against_gnugo():
    command = [GNUGO, "--mode", "gtp", "--level", "1", "--seed", "3", "--chinese-rules"]
    command += ["--capture-all-dead", "--play-out-aftermath"]
    rules = Rules(suicide=False, komi=7.5)
    gnugo = EnginePlayer("gnugo", command, timeout=60.0)
    try:
        pairings = [
            Pairing(gnugo, HardCoded("random"), seed=(1,)),
            Pairing(HardCoded("edge"), gnugo, opening=Opening((40,)), seed=(2,)),
        ]
        records = play_games(pairings, 9, rules)
    finally:
        gnugo.close()
    for record in records:
        assert record.ending == "passes", record.reason
        assert record.moves[-2:] == ("pass", "pass")
        assert len(record.moves) > 40
        # both sides agree with our engine on every move: replaying the record gives the recorded scores
        games = Games(1, 9, rules)
        for vertex in record.moves:
            games.play([action_of(vertex, 9)])
        assert games.finished[0]
        assert (-games.scores()[0]).tolist() == [record.score_area, record.score_rules]
    assert records[0].result.startswith("B+")
    assert records[1].result.startswith("W+")


@needs_gnugo
def test_gnugo_agrees_on_the_score_of_a_filled_board():
    """GNU Go counts area under Chinese rules; where all dead stones were captured it must count as we do."""
    command = [GNUGO, "--mode", "gtp", "--level", "1", "--seed", "5", "--chinese-rules"]
    command += ["--capture-all-dead", "--play-out-aftermath"]
    with Engine(command, timeout=60.0) as engine:
        engine.start_game(7, 0.5)
        games = Games(1, 7, Rules(suicide=False, komi=0.5))
        while not games.finished[0] and games.move_count[0] < 300:
            action = engine.genmove(int(games.to_move[0]), 7)
            games.play([action])
        assert games.finished[0]
        lead = games.scores()[0, 0]
        assert engine.send("final_score") == f"{'W' if lead > 0 else 'B'}+{abs(lead):.1f}"


@pytest.mark.slow
def test_our_program_plays_through_the_client():
    """``toulmin go gtp`` as an external engine of our own match: two processes, real pipes."""
    ours = EnginePlayer("ours", [*OURS, "random", "--seed", "4"], timeout=120.0)
    try:
        records = play_games([Pairing(ours, HardCoded("edge"), seed=(3,))], 5, Rules(komi=0.5))
    finally:
        ours.close()
    assert records[0].ending == "passes", records[0].reason


def test_an_engine_that_fails_forfeits_and_the_match_goes_on(tmp_path):
    script = tmp_path / "engine.py"
    script.write_text(
        "import sys\n"
        "for count, line in enumerate(sys.stdin):\n"
        "    number, name, *_ = line.split()\n"
        "    if name == 'genmove' and count > 6: sys.exit(1)\n"
        "    print(f'={number} {\"ABCDEFGH\"[count % 8]}{count % 7 + 1}' if name == 'genmove' else f'={number}')\n"
        "    print(flush=True)\n"
    )
    player = EnginePlayer("broken", [sys.executable, "-S", str(script)], timeout=20.0)
    try:
        pairings = [Pairing(player, HardCoded("random"), seed=(0,)), Pairing(HardCoded("random"), player, seed=(1,))]
        records = play_games(pairings, 9, Rules())
    finally:
        player.close()
    assert [record.ending for record in records] == ["forfeit", "forfeit"]
    assert [record.decided for record in records] == ["w", "b"]
    assert all(record.result in ("W+F", "B+F") for record in records)
    assert all("ended" in record.reason or "illegal" in record.reason for record in records)
    assert np.isfinite([record.score_area for record in records]).all()


def test_an_illegal_move_of_an_engine_is_a_forfeit(tmp_path):
    script = tmp_path / "engine.py"
    script.write_text(
        "import sys\n"
        "for line in sys.stdin:\n"
        "    number, name, *_ = line.split()\n"
        '    print(f\'={number} {"A1" if name == "genmove" else ""}\\n\', flush=True)\n'
    )
    player = EnginePlayer("stubborn", [sys.executable, "-S", str(script)], timeout=20.0)
    try:
        record = play_games([Pairing(player, HardCoded("pass"))], 5, Rules(komi=30.5))[0]
    finally:
        player.close()
    assert (record.ending, record.reason, record.result) == ("forfeit", "illegal move A1", "W+F")
