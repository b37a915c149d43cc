"""The studies of attacks: games whose outcome is known, traits by hand, the record and its reproduction."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from pydantic import ValidationError

from toulmin.adversary import AdversaryMatch, AdversaryTraining
from toulmin.adversary.studies.boards import turning_move
from toulmin.adversary.traits import game_traits, lines
from toulmin.evidence import Store
from toulmin.go import GameRecord, PlayerSpec, Rules, read_network
from toulmin.studies import Progress, Resolver, Run, execute, re_derive, read_study, reproduce

RULES = {name: value for name, value in Rules().as_dict().items() if name != "komi"}


class Notes(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def record(moves: str, **more) -> GameRecord:
    """A game on 3x3 without komi, by its vertices."""
    fields = {
        "black": "a", "white": "v", "size": 3, "rules": RULES, "komi": 0.5, "moves": tuple(moves.split()), "opening": 0,
        "ending": "passes", "reason": "", "decided": "", "score_area": 1.0, "score_rules": 1.0, "visits": (0, 1),
        "passing": ("standard", "standard"),
    }  # fmt: skip
    return GameRecord(**{**fields, **more})


def test_traits_of_a_game_by_hand():
    """Black takes two white stones in the corner; White passes first, sure to win, and never changes its mind."""
    moves = "B3 A3 B2 A2 A1 pass pass"
    estimates = {"v": [None, 0.4, None, 0.3, None, 0.2, None, None]}
    found = game_traits(record(moves, estimates=estimates), "a")
    assert (found.won, found.lost, found.black) == (True, False, True)
    assert (found.believed, found.first_pass, found.capture, found.opponent_passed_ahead) == (1, -1, 2, True)
    # from the other side: it lost, passed first itself, took nothing, and its opponent estimates nothing
    other = game_traits(record(moves, estimates=estimates), "v")
    assert (other.won, other.lost, other.believed, other.first_pass, other.capture) == (False, True, -1, 1, 0)
    doubting = game_traits(record(moves, estimates={"v": [None, 0.4, None, 0.6, None, 0.7, None, None]}), "a")
    assert (doubting.believed, doubting.opponent_passed_ahead) == (0, False)
    assert not any(
        (game_traits(record(moves, score_rules=0.0), "a").won, game_traits(record(moves, score_rules=0.0), "a").lost)
    )


def test_traits_of_a_game_from_set_up_stones():
    """White moves first, and with its first move takes the two black stones that were set up in the corner."""
    played = record(
        "B1 pass pass", black_stones=("A1", "A2"), white_stones=("A3", "B2"), first="w", score_rules=-1.0, opening=0
    )
    found = game_traits(played, "v")
    assert (found.won, found.black, found.capture, found.first_pass) == (True, False, 2, -1)
    assert game_traits(played, "a").first_pass == 1


def test_the_move_at_which_the_victims_estimate_turns():
    assert turning_move(record("B3 A3", estimates={"v": [None, 0.2, None, 0.3, None, 0.8, None, 0.9]}), "v") == 5
    assert turning_move(record("B3 A3", estimates={"v": [None, 0.2, None, 0.3]}), "v") is None
    assert turning_move(record("B3 A3", white="w", black="v", estimates={"v": [0.9, None, 0.1]}), "v") == 2


def test_games_that_differ_after_a_third_of_the_boards_points_are_one_line():
    games = [record(moves) for moves in ("B2 A1 A2 A3", "B2 A1 A2 C3", "B2 A1 C2 A3", "B2 pass pass")]
    assert lines(games) == {("B2", "A1", "A2"), ("B2", "A1", "C2"), ("B2", "pass", "pass")}


def test_a_match_whose_results_are_known(tmp_path):
    """Who always passes loses to whoever plays a stone, and as Black with komi 0.5 even to itself."""
    study = AdversaryMatch(
        size=3,
        komi=0.5,
        adversary=PlayerSpec(kind="random"),
        victims=(PlayerSpec(kind="pass"),),
        independents=(PlayerSpec(kind="edge"),),
        games=8,
    )
    evidence = execute(study, Store(tmp_path / "store"), Run(tmp_path / "work"))
    assert evidence.measures["win_rate_white"].value == 1.0
    assert evidence.measures["mirror_black"].value < 1  # openings of two stones decide
    assert evidence.measures["blind_spot"].value == 0  # nobody here estimates anything
    assert evidence.measures["win_rate"].better == "lower"
    won = evidence.measures["win_rate"]
    assert 2 < evidence.measures["lines"].value <= won.n  # a random adversary of either colour has no line
    table = evidence.tables[0]
    assert [row[0] for row in table.rows] == [
        *("attack", "attack, random openings", "independent", "mirror", "victim's strength")
    ]
    assert "frozen victim" in table.caption
    assert re_derive(evidence, Store(tmp_path / "store")) == []
    assert reproduce(evidence, Store(tmp_path / "store"), Run(tmp_path / "again"), Resolver()) == []


def test_a_trained_adversary_is_an_artefact_and_its_budget_is_recorded(tmp_path):
    store = Store(tmp_path / "store")
    study = AdversaryTraining.preset("tiny")
    notes = Notes()
    evidence = execute(study, store, Run(tmp_path / "work", progress=notes))
    assert evidence.measures["win_rate"].value > 0.5
    # the curve is told while it trains: two updates of each network, each drawn as a bar
    curves = [text.split(",")[0] for text in notes.said if "update" in text]
    assert curves == ["adversary: update 2 of 2", "null: update 2 of 2"]
    assert re.fullmatch(r".* \d+ games, won \d\.\d\d \(\d\.\d\d of the last 200\)  [▁-█]{2}", notes.said[0])
    assert evidence.measures["training_games"].value > 20
    assert evidence.measures["null_win_rate"].interval is not None
    budget = next(table for table in evidence.tables if table.title == "Budget")
    assert [row[0] for row in budget.rows] == ["adversary", "null"]
    assert budget.rows[0][3] == 2
    row = dict(zip(budget.columns, budget.rows[0], strict=True))
    # two epochs, each position forwards and backwards
    each = read_network(store.artefact(evidence, "adversary.bin.gz")).operations(3)
    evaluations, decisions = (float(row[name] or 0) for name in ("own evaluations", "decisions"))
    assert row["FLOPs"] == pytest.approx(each * (evaluations + 3 * 2 * decisions), rel=0.01)
    names = {one.name for one in evidence.artefacts}
    assert {"adversary.bin.gz", "null.bin.gz", "games.sgf"} <= names
    net = f"evidence:{evidence.id}/adversary.bin.gz"
    assert read_network(Resolver(store=store).locate(net)).name == "adversary"
    assert re_derive(evidence, store) == []
    trained = {"kind": "net", "net": net, "search": {"visits": 1}}
    match = {"size": 3, "komi": 0.5, "adversary": trained, "victims": [{"kind": "pass"}], "games": 4}
    again = AdversaryMatch.model_validate(match)
    played = execute(again.at(Resolver(store=store)), store, Run(tmp_path / "work"))
    assert played.measures["win_rate"].value > 0.5


def test_mistaken_configurations_are_refused():
    tiny = dict(AdversaryTraining.presets["tiny"])
    with pytest.raises(ValidationError, match="komi are not those of the attack"):
        AdversaryTraining.model_validate({**tiny, "komi": 7.5})
    with pytest.raises(ValidationError, match="first of the victims"):
        AdversaryTraining.model_validate({**tiny, "victims": [{"kind": "random"}]})
    with pytest.raises(ValidationError, match="two players are called pass"):
        AdversaryMatch.model_validate({**AdversaryMatch.presets["tiny"], "adversary": {"kind": "pass"}})
    with pytest.raises(ValidationError, match="even number"):
        AdversaryMatch.model_validate({**AdversaryMatch.presets["tiny"], "games": 7})


def test_the_page_shows_a_configuration_that_is_valid(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "adversary.md").read_text()
    shown = re.search(r"<<'TOML'\n(.*?)\n    TOML\n", page, re.S)
    assert shown is not None
    file = tmp_path / "attack.toml"
    file.write_text(textwrap.dedent(shown[1]))
    (tmp_path / "NET.bin.gz").write_bytes(b"a network")
    study = read_study(file)
    assert isinstance(study, AdversaryTraining)
    assert study.attack.stages[0].victim == study.victims[0]
    assert [one.label for one in study.victims] == ["raw", "hardened"]
    assert {one.role for one in study.inputs()} == {"start", "net of raw", "net of hardened"}
