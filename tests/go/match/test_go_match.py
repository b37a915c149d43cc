"""Matches: balanced colours, distinct games, both scores, resuming to the same bytes, and the study's evidence."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sgfmill import sgf as reference_sgf

from toulmin.evidence import Board, Store, clopper_pearson
from toulmin.faults import FaultError
from toulmin.go import Games, Rules
from toulmin.go.engine.points import action_of
from toulmin.go.match.game_record import GameRecord
from toulmin.go.match.opening import Opening, draw_openings
from toulmin.go.match.play import Pairing, play_games
from toulmin.go.match.sgf import sgf_of
from toulmin.go.match.shards import play_shard, shards_of
from toulmin.go.match.study import Match, win_rate
from toulmin.go.players.hardcoded import HardCoded
from toulmin.studies import Run, execute, find_study, re_derive, reproduce

SMALL = {"size": 5, "komi": 0.5, "games": 8, "parallel": 4, "opening_moves": 2}


def study_of(*kinds: str, **fields: object) -> Match:
    return Match.model_validate({**SMALL, "players": [{"kind": kind} for kind in kinds], **fields})


def test_importing_the_study_needs_neither_tensors_nor_a_compiler():
    code = (
        "import sys, toulmin.go.match.study; print([m for m in ('torch', 'numba', 'scipy.stats') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert find_study("go.match") is Match


def test_openings_are_legal_distinct_and_of_the_seed():
    openings = draw_openings(40, 4, 9, Rules(), 3)
    assert len(set(openings)) == 40
    assert openings == draw_openings(40, 4, 9, Rules(), 3)
    assert openings[:10] == draw_openings(10, 4, 9, Rules(), 3)
    assert openings != draw_openings(40, 4, 9, Rules(), 4)
    for opening in openings:
        games = Games(1, 9)
        for action in opening.moves:
            games.play([action])
            assert 1 <= action // 9 <= 7
            assert 1 <= action % 9 <= 7
    assert draw_openings(3, 0, 9, Rules(), 0) == [Opening()] * 3
    assert len(draw_openings(3, 4, 2, Rules(), 0)) == 3


def test_games_are_recorded_whole():
    rules = Rules(ko="simple", suicide=False, komi=4.5)
    pairings = [
        Pairing(HardCoded("random"), HardCoded("edge"), Opening((12, 7)), (5, 1), (0, 0), ("standard", "standard")),
        Pairing(HardCoded("pass"), HardCoded("pass"), seed=(5, 2)),
    ]
    first, second = play_games(pairings, 5, rules)
    assert first.moves[:2] == ("C3", "C4")
    assert (first.opening, first.size, first.komi) == (2, 5, 4.5)
    assert first.rules["ko"] == "simple"
    assert "komi" not in first.rules
    assert Rules(**first.rules, komi=first.komi) == rules
    assert second.moves == ("pass", "pass")
    assert (second.score_area, second.score_rules, second.result, second.ending) == (-4.5, -4.5, "W+4.5", "passes")
    assert GameRecord.from_json(first.to_json()) == first
    games = Games(1, 5, rules)
    for vertex in first.moves:
        games.play([action_of(vertex, 5)])
    assert games.finished[0]
    assert (-games.scores()[0]).tolist() == [first.score_area, first.score_rules]
    # a player's random numbers are the game's own: playing it alone gives the same game
    assert play_games(pairings[:1], 5, rules) == [first]


def test_a_limit_ends_a_game_as_it_stands():
    record = play_games([Pairing(HardCoded("random"), HardCoded("random"))], 5, Rules(), limit=6)[0]
    assert (record.ending, len(record.moves)) == ("limit", 6)


def test_a_record_that_is_none_is_a_fault():
    for text in ("", "{}", "[1]", "null", '{"black": 1}', "nonsense"):
        with pytest.raises(FaultError, match=r"go\.record"):
            GameRecord.from_json(text)


def test_sgf_is_read_by_another_reader():
    record = play_games([Pairing(HardCoded("corner"), HardCoded("edge"), Opening((12, 7)))], 5, Rules(komi=0.5))[0]
    game = reference_sgf.Sgf_game.from_bytes(sgf_of(record))
    root = game.get_root()
    assert (game.get_size(), game.get_komi(), root.get("PB"), root.get("PW")) == (5, 0.5, "corner", "edge")
    assert root.get("RE") == record.result
    assert f"{record.score_area:+g} Tromp-Taylor" in root.get("C")
    moves = [node.get_move() for node in game.get_main_sequence()[1:]]
    want = []
    for number, vertex in enumerate(record.moves):
        action = action_of(vertex, 5)
        want.append(("bw"[number % 2], None if action == 25 else (4 - action // 5, action % 5)))
    assert moves == want


def test_a_repeated_game_counts_once(tmp_path):
    """Without openings two deterministic players have two games, one a colour, however often they play."""
    study = study_of("spiral", "pass", games=20, opening_moves=0)
    evidence = execute(study, Store(tmp_path / "store"), Run(tmp_path / "work"))
    assert evidence.n == 1  # both games begin with the same (empty) opening
    assert evidence.measures["win_rate"].n == 1
    assert evidence.measures["win_rate"].interval == clopper_pearson(1, 1)
    assert evidence.measures["distinct"].value == pytest.approx(2 / 20)
    table = evidence.tables[0]
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["games"], row["distinct"], row["wins"]) == (20, 2, 2)


def test_evidence_of_a_match(tmp_path):
    store = Store(tmp_path / "store")
    study = study_of("random", "pass", "edge", schedule="round_robin", shown=1)
    evidence = execute(study, store, Run(tmp_path / "work", seed=5))
    assert re_derive(evidence, store) == []
    assert reproduce(evidence, store, Run(tmp_path / "again")) == []
    assert set(evidence.measures) == set(study.measure_specs())
    games = [GameRecord.from_json(text) for text in store.items(evidence)["record"].tolist()]
    assert {measure.n for name, measure in evidence.measures.items() if name != "distinct"} == {evidence.n} == {4}
    mine = [game for game in games if {game.black, game.white} == {"random", "pass"}]
    assert evidence.measures["win_rate:random:pass"] == win_rate(
        mine, "random", ["-".join(game.moves[:2]) for game in mine]
    ).model_copy(update={"better": "neither"})
    for first, second in (("random", "pass"), ("random", "edge"), ("pass", "edge")):
        blacks = [game.black for game in games if {game.black, game.white} == {first, second}]
        assert blacks.count(first) == blacks.count(second)
    openings: dict[tuple[str, ...], set[str]] = {}
    for game in games:
        openings.setdefault(game.moves[:2], set()).add(game.black)
    assert len(openings) == 4
    assert all(len(colours) == 3 for colours in openings.values())
    table = evidence.tables[1]
    assert {"Tromp-Taylor", "pass-alive", "komi", "rules", "Black's passing"} <= set(table.columns)
    board = evidence.figures[-1]
    assert isinstance(board, Board)
    assert board.kind == "board"
    assert len(board.games) == 3
    assert {artefact.name for artefact in evidence.artefacts} >= {"games.sgf"}


def test_a_killed_match_resumes_to_the_same_bytes(tmp_path):
    study = study_of("random", "edge", "corner", games=12, parallel=1)
    whole = study.collect(Run(_folder(tmp_path, "whole"), seed=2))
    run = Run(_folder(tmp_path, "part"), seed=2)
    pieces = shards_of(study, run)
    assert len(pieces) == 6
    for piece in (pieces[4], pieces[1], pieces[2]):
        play_shard(piece)
    kept = pieces[1].path.stat().st_mtime_ns
    # one file was cut off by the kill, one is of another run
    pieces[2].path.write_text(pieces[2].path.read_text()[:-200])
    (run.workdir / "games-000000000000-000-000000.jsonl").write_text("{}\n")
    resumed = study.collect(run)
    assert pieces[1].path.stat().st_mtime_ns == kept
    assert resumed["record"].tolist() == whole["record"].tolist()
    assert list(resumed.units) == list(whole.units)
    assert (run.workdir / "games.sgf").read_bytes() == (tmp_path / "whole" / "games.sgf").read_bytes()


def _folder(parent, name):
    folder = parent / name
    folder.mkdir()
    return folder


def test_adding_a_player_changes_nobody_elses_games(tmp_path):
    few = study_of("random", "edge").collect(Run(_folder(tmp_path, "few"), seed=1))
    many = study_of("random", "edge", "pass").collect(Run(_folder(tmp_path, "many"), seed=1))
    mine = [text for text, number in zip(many["record"].tolist(), many["pairing"].tolist(), strict=True) if number == 0]
    assert mine == few["record"].tolist()


def test_a_configuration_that_cannot_be_played_is_refused():
    for fields, message in (
        ({"games": 7}, "even"),
        ({"rules": "house"}, "no rules are called"),
        ({"komi": 0.3}, "komi"),
        ({"players": [{"kind": "random"}]}, "at least 2"),
        ({"players": [{"kind": "random"}, {"kind": "random"}]}, "two players are called random"),
        ({"speed": 1}, "Extra inputs"),
        ({"size": 20}, "less than or equal to 19"),
    ):
        with pytest.raises(ValidationError, match=message):
            Match.model_validate({**SMALL, "players": [{"kind": "random"}, {"kind": "pass"}], **fields})


def test_a_program_that_is_not_installed_stops_the_match(tmp_path):
    study = study_of("random", "pass", players=[{"kind": "random"}, {"kind": "gtp", "command": ["no-such-engine"]}])
    with pytest.raises(FaultError, match=r"gtp\.program"):
        study.collect(Run(tmp_path))


def test_the_tiny_setting(tmp_path):
    evidence = execute(Match.preset("tiny"), Store(tmp_path / "store"), Run(tmp_path / "work"))
    assert evidence.measures["win_rate"].value == 1.0
    assert json.loads(evidence.model_dump_json())["kind"] == "go.match"


def test_a_decided_game_overrules_the_score():
    fields: dict[str, Any] = dict(black="a", white="b", size=5, rules={}, komi=0.5, moves=(), opening=0, reason="")
    fields |= dict(score_area=3.5, score_rules=-2.0, visits=(0, 0), passing=("standard", "standard"))
    by_score = GameRecord(**fields, ending="passes", decided="")
    assert by_score.winner(by_score.score_area) == "b"
    assert by_score.winner(by_score.score_rules) == "w"
    assert by_score.result == "W+2"
    resigned = GameRecord(**fields, ending="resignation", decided="b")
    assert (resigned.winner(-2.0), resigned.result) == ("b", "B+R")
    void = GameRecord(**fields, ending="void", decided="")
    assert (void.winner(-2.0), void.result) == ("void", "Void")
    assert win_rate([by_score, resigned, void], "a", list("xyz")).value == pytest.approx(1 / 3)
    assert win_rate([by_score, resigned, void], "a", list("xyz"), area=True).value == pytest.approx(2 / 3)
    assert np.isclose(win_rate([by_score], "b", ["x"]).value, 1.0)


@pytest.mark.slow
def test_the_demo_setting(tmp_path):
    evidence = execute(Match.preset("demo"), Store(tmp_path / "store"), Run(tmp_path / "work"))
    assert evidence.measures["win_rate"].n == evidence.n == 12
    interval = evidence.measures["win_rate"].interval
    assert interval is not None
    assert interval.low >= 0.5  # which the demo's case asks for
    board = evidence.figures[-1]
    assert isinstance(board, Board)
    assert any(game.win_estimates for game in board.games)
    assert any(game.ownership for game in board.games)
