"""SGF: round trips, faults with their place, the published attack games, and bytes that are no SGF."""

from __future__ import annotations

import tarfile
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toulmin.faults import FaultError
from toulmin.go import Game, Rules, SgfGame, read_sgf, replay, replay_many, scan_sgf, write_sgf

GAME = b"(;GM[1]FF[4]SZ[9]KM[6.5]RU[Chinese]PB[a\\]b]RE[W+3.5]AB[cc][gg]PL[W];W[ee]C[hi];B[];W[gc](;B[cg])(;B[aa]))"


def test_the_main_line_is_read():
    (game,) = read_sgf(GAME)
    assert (game.size, game.komi, game.rules.ko, game.result, game.to_move) == (9, 6.5, "simple", "W+3.5", 2)
    assert game.black == (20, 60)
    assert game.moves == ((2, 40), (1, 81), (2, 24), (1, 56))
    assert game.comments[0] == "hi"
    assert game.headers["PB"] == "a\\]b"
    assert game.recorded_lead == 3.5
    assert replay(game).moves == list(game.moves)


def test_what_is_written_reads_the_same():
    rng = np.random.default_rng(0)
    game = Game(7, Rules(ko="situational", komi=3), black=(3, 5), to_move=2)
    for _ in range(30):
        game.play(int(rng.choice(np.flatnonzero(game.games.legal()[0]))))
        if game.finished:
            break
    data = write_sgf(game, headers={"PW": "x]\\y"}, comments=["a]"])
    (again,) = read_sgf(data)
    assert again.moves == tuple(game.moves)
    assert again.rules == game.rules
    assert (again.black, again.to_move) == ((3, 5), 2)
    assert write_sgf(again, comments=["a]"])[:20] == data[:20]
    assert replay(again).games.situation[0] == game.games.situation[0]


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"", 1, "no SGF game"),
        (b"hello\n(no game", 1, "no SGF game"),
        (b"(;SZ[9]\n;B[aa]\n;W[bb", 3, "unexpected end"),
        (b"\n\n(;SZ[9];B[aa][", 3, "unexpected end"),
        (b"(;GM[2])", 1, "not a game of Go"),
        (b"(;SZ[25])", 1, "between 2 and 19"),
        (b"(;SZ[x])", 1, "SZ"),
        (b"(;SZ[9]KM[six])", 1, "komi"),
        (b"(;SZ[9]RU[Kings])", 1, "no rules are called"),
        (b"(;SZ[9];B[zz])", 1, "a move cannot be read"),
        (b"(;SZ[9];B[aa];AB[bb])", 1, "after the first move"),
        (b"(;SZ[9]AB[zz])", 1, "set-up"),
    ],
)
def test_faults_have_a_line(data, line, words):
    games, faults = scan_sgf(data)
    assert games == []
    assert faults[0].line == line
    assert words in faults[0].message
    with pytest.raises(FaultError):
        read_sgf(data)


def test_a_collection_gives_its_good_games_and_every_fault():
    games, faults = scan_sgf(b"(;SZ[9];B[aa])\n(;SZ[30])\n(;SZ[9]KM[x]RU[y])\n(;SZ[5];B[bb])")
    assert [g.size for g in games] == [9, 5]
    assert [(f.line, f.name) for f in faults] == [(2, "game 2"), (3, "game 3"), (3, "game 3")]


def test_an_illegal_move_is_named_with_its_number():
    record = SgfGame(5, Rules(), ((1, 12), (2, 12)), file="x.sgf", line=4)
    with pytest.raises(FaultError) as raised:
        replay(record)
    fault = raised.value.faults[0]
    assert (fault.file, fault.line, fault.name) == ("x.sgf", 4, "C3")
    assert "move 2" in fault.message
    games, faults = replay_many([record, SgfGame(5, Rules(), ((1, 12), (2, 13), (2, 14)))])
    assert list(faults) == [0]
    assert games.move_count.tolist() == [1, 3]


def test_an_unreadable_file_is_a_fault(tmp_path):
    with pytest.raises(FaultError) as raised:
        read_sgf(tmp_path / "none.sgf")
    assert str(raised.value.faults[0].file).endswith("none.sgf")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.integers(0, len(GAME)), st.binary(max_size=6))
def test_damaged_bytes_are_read_or_refused(seed, at, put):
    rng = np.random.default_rng(seed)
    data = bytearray(GAME)
    for _ in range(int(rng.integers(0, 5))):
        data[rng.integers(len(data))] = rng.integers(256)
    data[at:at] = put
    games, faults = scan_sgf(bytes(data[: rng.integers(len(data) + 1)] if rng.random() < 0.5 else data))
    assert games or faults
    for game in games:
        replay_many([game])


def test_every_published_game_replays_with_its_recorded_score(shared):
    """785 games on 19x19: no move is illegal, and each that was counted has the score it records under its rules."""
    skipped: Counter[str] = Counter()
    by_size = defaultdict(list)
    with tarfile.open(shared / "data/go_adversarial.tar.gz") as archive:
        for member in archive.getmembers():
            if member.isfile() and ".sgf" in member.name:
                file = archive.extractfile(member)
                assert file is not None
                games, faults = scan_sgf(file.read())
                skipped.update(f.message for f in faults)
                for game in games:
                    by_size[game.size].append(game)
    assert {size: len(games) for size, games in by_size.items()} == {19: 785, 13: 1, 9: 1}
    assert skipped == {"stones are set up after the first move": 18}
    counted = moves = ended = 0
    for records in by_size.values():
        games, faults = replay_many(records)
        assert faults == {}
        scores = games.scores()
        for b, record in enumerate(records):
            if record.has_rules and record.rules.ko == "positional" and record.recorded_lead is not None:
                assert scores[b, 1] == record.recorded_lead, record.headers
                counted += 1
                moves += len(record.moves)
                ended += bool(games.finished[b])
    assert (counted, moves) == (564, 214_719)
    assert ended > 300
