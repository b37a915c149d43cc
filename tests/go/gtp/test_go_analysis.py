"""KataGo's JSON analysis protocol and ``kata-analyze``: what they say is what a search says."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toulmin.go import (
    AnalysisServer,
    Games,
    GtpServer,
    Rollouts,
    Rules,
    SearchPlayer,
    SearchSettings,
    action_of,
    make_player,
    parse_player,
)
from toulmin.go.search.mcts import search

SERVER = AnalysisServer(Rollouts(4, 1), SearchSettings(visits=30), seed=7)
QUERY = {
    "id": "q", "moves": [["B", "C3"], ["W", "B2"]], "rules": "tromp-taylor", "komi": 2.5, "boardXSize": 5,
    "boardYSize": 5,
}  # fmt: skip


def answers(**more) -> list[dict]:
    return list(SERVER.answers(json.dumps({**QUERY, **more})))


def test_an_answer_holds_the_search_of_the_position():
    (answer,) = answers(includePolicy=True, includeOwnership=True)
    games = Games(1, 5, Rules(komi=2.5))
    for vertex in ("C3", "B2"):
        games.play([action_of(vertex, 5)])
    found = search(games, np.array([0]), Rollouts(4, 1), SearchSettings(visits=30), [np.random.default_rng((7, 2))])
    assert (answer["id"], answer["turnNumber"], answer["isDuringSearch"]) == ("q", 2, False)
    assert answer["rootInfo"]["currentPlayer"] == "B"
    assert answer["rootInfo"]["visits"] == 30
    assert answer["rootInfo"]["winrate"] == pytest.approx(found.black_wins[0], abs=1e-6)
    infos = answer["moveInfos"]
    assert {action_of(info["move"], 5): info["visits"] for info in infos} == {
        action: visits for action, visits in enumerate(found.visits[0].tolist()) if visits
    }
    assert [info["order"] for info in infos] == list(range(len(infos)))
    assert [info["visits"] for info in infos] == sorted((info["visits"] for info in infos), reverse=True)
    for info in infos:
        assert info["pv"][0] == info["move"]
        assert info["utility"] == pytest.approx(found.means[0, action_of(info["move"], 5)], abs=1e-6)
        assert info["lcb"] <= info["winrate"]
    assert sum(info["visits"] for info in infos) == 29
    assert len(answer["policy"]) == 26
    assert answer["policy"][action_of("C3", 5)] == -1
    assert len(answer["ownership"]) == 25


def test_turns_set_up_stones_and_the_length_of_variations():
    found = answers(analyzeTurns=[0, 2], initialStones=[["W", "A1"]], initialPlayer="W", analysisPVLen=0, maxVisits=9)
    assert [one["turnNumber"] for one in found] == [0, 2]
    assert [one["rootInfo"]["currentPlayer"] for one in found] == ["W", "B"]
    assert all(len(info["pv"]) == 1 for one in found for info in one["moveInfos"])
    assert all(one["rootInfo"]["visits"] == 9 for one in found)
    assert "A1" not in {info["move"] for info in found[0]["moveInfos"]}
    for info in found[0]["moveInfos"]:  # White moves: its bound is above, seen by Black
        assert info["utilityLcb"] > info["utility"]
    (over,) = answers(moves=[["B", "pass"], ["W", "pass"]])
    assert over["noResults"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"id": 3}, "id"),
        ({"komi": "six"}, "komi"),
        ({"komi": 0.3}, "rules"),
        ({"rules": "house"}, "rules"),
        ({"rules": {"ko": "SOMETIMES"}}, "rules"),
        ({"boardYSize": 6}, "boardYSize"),
        ({"boardXSize": 25, "boardYSize": 25}, "boardXSize"),
        ({"moves": [["B", "C3"], ["W", "C3"]]}, "moves"),
        ({"moves": [["B", "Z9"]]}, "moves"),
        ({"moves": "B C3"}, "moves"),
        ({"initialStones": [["B", "A1"], ["W", "A1"]]}, "initialStones"),
        ({"initialPlayer": "red"}, "initialPlayer"),
        ({"analyzeTurns": [3]}, "analyzeTurns"),
        ({"maxVisits": 0}, "maxVisits"),
        ({"maxVisits": True}, "maxVisits"),
        ({"analysisPVLen": -1}, "analysisPVLen"),
        ({"avoidMoves": []}, "avoidMoves"),
        ({"action": "dance"}, "action"),
    ],
)
def test_what_is_wrong_or_not_supported_is_an_error_with_its_field(more, field):
    *_, answer = answers(**more)
    assert answer["field"] == field
    assert answer["error"]
    assert answer["id"] == more.get("id", "q")


def test_actions_and_lines_that_are_no_queries():
    assert list(SERVER.answers("\n")) == []
    assert "not JSON" in next(SERVER.answers("{"))["error"]
    assert "object" in next(SERVER.answers("[]"))["error"]
    (version,) = SERVER.answers('{"id": "v", "action": "query_version"}')
    assert version["version"].startswith("Toulmin ")
    server, out = AnalysisServer(Rollouts(2, 1), SearchSettings(visits=4)), io.StringIO()
    server.serve(io.StringIO('{"id": "t", "action": "terminate_all"}\n' + json.dumps(QUERY) + "\n"), out)
    assert json.loads(out.getvalue()) == {"id": "t", "action": "terminate_all"}


@given(st.one_of(st.text(max_size=40), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)))
@settings(max_examples=60, deadline=None)
def test_any_line_at_all(line):
    for answer in SERVER.answers(line):
        json.dumps(answer)


def test_the_command_line_answers_a_query():
    command = [sys.executable, "-m", "toulmin", "go", "analysis", "rollouts@6"]
    told = {"capture_output": True, "text": True, "timeout": 120}
    ran = subprocess.run(command, input=json.dumps(QUERY) + "\n", check=False, **told)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["rootInfo"]["visits"] == 6
    refused = subprocess.run([*command[:-1], "random"], input="", check=False, **told)
    assert refused.returncode != 0
    assert "searches" in refused.stdout + refused.stderr


def served(*lines: str, player: str = "rollouts@20") -> str:
    out = io.StringIO()
    made = make_player(parse_player(player), str)
    GtpServer(made, Rules(komi=2.5), 5).serve(io.StringIO("\n".join(lines) + "\n"), out)
    return out.getvalue()


def test_kata_analyze_reports_the_moves_for_the_side_to_move():
    text = served("play b C3", "3 kata-analyze w interval 50", "name")
    answer = text.split("\n\n")[1]
    head, line = answer.split("\n")
    assert head == "=3"
    moves = [one.split() for one in line.split("info ")[1:]]
    assert sum(int(one[one.index("visits") + 1]) for one in moves) == 19
    assert [int(one[one.index("order") + 1]) for one in moves] == list(range(len(moves)))
    for one in moves:
        assert one[one.index("pv") + 1] == one[1]
        numbers = {name: float(one[one.index(name) + 1]) for name in ("winrate", "lcb", "utility", "utilityLcb")}
        assert numbers["lcb"] <= numbers["winrate"]
        assert numbers["utilityLcb"] < numbers["utility"]
    assert text.endswith("= Toulmin rollouts@20\n\n")


def test_an_analysis_stays_open_until_the_next_command():
    class Watched(io.StringIO):
        seen = ""

        def readline(self, *size):
            Watched.seen = out.getvalue()
            return super().readline(*size)

    out = io.StringIO()
    player = make_player(parse_player("rollouts@5"), str)
    assert isinstance(player, SearchPlayer)
    GtpServer(player, Rules(), 5).serve(Watched("kata-analyze 10\n"), out)
    assert Watched.seen.endswith("\n")
    assert not Watched.seen.endswith("\n\n")
    assert out.getvalue().endswith("\n\n")


def test_kata_analyze_refuses_players_that_do_not_search():
    assert served("kata-analyze", player="random").startswith("? this player does not search")
    assert served("kata-analyze", player="rollouts@1").startswith("? this player does not search")
    assert served("kata-analyze red").startswith("?")
