"""The rules by known answers: captures, kos and cycles, seki, suicide, scoring, passes, the button, handicap."""

from __future__ import annotations

import pytest

from toulmin.faults import FaultError
from toulmin.go import BLACK, WHITE, Game, Games, Rules, action_of, handicap_points, random_playouts, vertex_of
from toulmin.go.engine.rules import HandicapBonus, Ko


def position(rows, rules=None, to_move=BLACK):
    """A game set up from a diagram, top row first: X Black, O White."""
    text = "".join(rows)
    black = [i for i, c in enumerate(text) if c == "X"]
    white = [i for i, c in enumerate(text) if c == "O"]
    return Game(len(rows), rules, black=black, white=white, to_move=to_move)


def test_vertices_name_the_points():
    assert vertex_of(0, 19) == "A19"
    assert vertex_of(18 * 19 + 18, 19) == "T1"
    assert action_of("j1", 9) == 80
    assert action_of("PASS", 9) == 81
    assert all(action_of(vertex_of(a, 13), 13) == a for a in range(170))
    for bad in ("I5", "A0", "A10", "", "5", "Z3", "A١"):
        with pytest.raises(FaultError):
            action_of(bad, 9)


def test_snapback():
    game = position(["..OX.", "OOOX.", "XXX..", ".....", "....."])
    game.play("B5").play("A5")  # the stone thrown in is taken, by a chain that then has that one liberty
    assert game.games.captures[0].tolist() == [1, 0]
    assert game.is_legal("B5")  # no ko: five stones come off
    game.play("B5")
    assert game.games.captures[0].tolist() == [1, 5]
    assert game.games.stones()[0, :2, :3].tolist() == [[0, BLACK, 0], [0, 0, 0]]


@pytest.mark.parametrize("ko", ["simple", "positional", "situational", "spight"])
def test_ko_may_not_be_retaken_at_once(ko):
    game = position([".XO..", "XO.O.", ".XO..", ".....", "....."], Rules(ko=ko), to_move=BLACK)
    game.play("C4")
    assert not game.is_legal("B4")
    game.play("E1").play("D1")
    assert game.is_legal("B4")


_KO_OF_WHITE, _KO_OF_BLACK = [".XO......", "XO.O.....", ".XO......"], [".XO......", "X.XO.....", ".XO......"]
TRIPLE_KO = [*_KO_OF_WHITE, *_KO_OF_BLACK, *_KO_OF_WHITE]


def test_a_triple_ko_voids_under_simple_ko():
    game = position(TRIPLE_KO, Rules(ko="simple"))
    for move in ["C8", "B5", "C2", "B8", "C5", "B2"] * 2:
        assert not game.finished
        game.play(move)
    assert game.winner == game.result().lower() == "void"
    assert not game.games.legal().any()


@pytest.mark.parametrize("ko", ["positional", "situational"])
def test_a_triple_ko_is_broken_by_superko(ko):
    game = position(TRIPLE_KO, Rules(ko=ko))
    for move in ["C8", "B5", "C2", "B8", "C5"]:
        game.play(move)
    assert not game.is_legal("B2")
    game.play("J9").play("J1")
    assert not game.finished


def test_sending_two_and_returning_one_repeats_only_the_position():
    cases: list[tuple[Ko, bool]] = [("positional", False), ("situational", True), ("simple", True)]
    for ko, allowed in cases:
        game = position([".O.O.", "XXO..", ".....", ".....", "....."], Rules(ko=ko), to_move=WHITE)
        before = game.games.hash[0]
        game.play("A5").play("C5")
        assert game.games.captures[0].tolist() == [0, 2]
        assert game.is_legal("B5") is allowed
        if allowed:
            game.play("B5")
            assert game.games.hash[0] == before
            assert game.to_move == BLACK


def test_suicide_is_a_rule_and_a_single_stone_never_may():
    one = position([".O...", "O....", ".....", ".....", "....."], to_move=BLACK)
    assert not one.is_legal("A5")
    several = [".XO..", "OXO..", "OOO..", ".....", "....."]
    assert not position(several, Rules(suicide=False)).is_legal("A5")
    game = position(several, Rules(suicide=True))
    assert game.is_legal("A5")
    game.play("A5")
    assert game.games.captures[0].tolist() == [3, 0]
    assert game.games.stones()[0, :2, :2].tolist() == [[0, 0], [2, 0]]


@pytest.mark.parametrize(("tax", "lead"), [("none", 16), ("seki", 4), ("all", 4)])
def test_points_in_seki_count_unless_taxed(tax, lead):
    """C5 is neutral: Black's eye A5, and White's E5 and lower side, belong to areas that touch it."""
    game = position([".X.O.", "XXOOO", "OOO..", ".....", "....."], Rules(tax=tax, komi=0))
    assert game.scores().pass_alive == lead
    assert game.scores().tromp_taylor == 16
    assert game.games.area("pass_alive")[0, 0].tolist() == ([1, 1, 0, 2, 2] if tax == "none" else [0, 1, 0, 2, 0])


def test_each_living_group_is_taxed_two_points():
    clear = position([".XXO.", "XXXOO", ".XXO.", "XXXOO", ".XXO."], Rules(tax="all", komi=0))
    assert clear.scores().tromp_taylor == -15 + 10
    assert clear.scores().pass_alive == -15 + 10  # one group each: the taxes cancel
    alone = position([".X.X.", "XXXXX", ".....", ".....", "....."], Rules(tax="all", komi=0))
    assert alone.scores().pass_alive == -25 + 2


def test_two_passes_end_the_game_and_both_scores_are_told():
    game = position(["XXXX.", "....X", "XXXXX", "OOOOO", ".X..."], Rules(komi=0.5))
    game.play("pass").play("pass")
    assert game.finished
    # the black stone at B1 stands, so that White's side is nobody's
    assert game.scores() == (0.5 - 15 - 1 + 5, 0.5 - 15 - 1 + 5)
    assert game.result() == "B+10.5"


def test_a_dead_stone_inside_pass_alive_territory_counts_for_its_captor():
    game = position(["O.X.X", "XXXXX", "OOOOO", "O.O.O", "OOOOO"], Rules(komi=0))
    assert game.games.pass_alive()[0].tolist() == [[1] * 5] * 2 + [[2] * 5] * 3
    assert game.scores() == (16 - 8, 15 - 10)


def test_area_and_territory_agree_up_to_the_moves_played():
    area = Game(5, Rules(scoring="area", komi=0.5))
    territory = Game(5, Rules(ko="simple", suicide=False, scoring="territory", tax="seki", komi=0.5))
    moves = ["C1", "D1", "C2", "D2", "C3", "D3", "C4", "D4", "C5", "D5"]
    for move in moves:
        area.play(move)
        territory.play(move)
    for _ in range(2):
        area.play("pass")
    for _ in range(6):
        territory.play("pass")
    assert area.finished
    assert territory.finished
    assert int(territory.games.phase[0]) == 2
    assert area.scores().pass_alive == territory.scores().pass_alive == 0.5 - 15 + 10


def test_the_first_pass_takes_the_button():
    game = Game(5, Rules(button=True, komi=7.0))
    assert game.scores().pass_alive == 7.0 - 0.5  # nobody took it yet: the side to move would
    game.play("pass").play("pass")
    assert not game.finished
    game.play("pass")
    assert game.finished
    assert game.scores().pass_alive == 6.5


def test_spight_ends_on_a_repeated_pass():
    game = Game(3, Rules(ko="spight"))
    game.play("pass").play("pass")
    assert not game.finished
    game.play("pass")
    assert game.finished


def test_handicap_stones_and_their_compensation():
    points = handicap_points(19, 9)
    assert sorted(vertex_of(p, 19) for p in points) == sorted(
        ["D4", "Q16", "D16", "Q4", "D10", "Q10", "K4", "K16", "K10"]
    )
    assert [vertex_of(p, 9) for p in handicap_points(9, 3)] == ["C3", "G7", "C7"]
    with pytest.raises(FaultError):
        handicap_points(9, 1)
    with pytest.raises(FaultError):
        handicap_points(6, 2)
    bonuses: list[tuple[HandicapBonus, int]] = [("0", 0), ("N-1", 3), ("N", 4)]
    for bonus, points_for_white in bonuses:
        game = Game(19, Rules(handicap_bonus=bonus, komi=0.5), black=handicap_points(19, 4), to_move=WHITE)
        assert game.scores().tromp_taylor == 0.5 - 361 + points_for_white


def test_set_up_faults_are_named():
    games = Games(1, 5)
    with pytest.raises(FaultError) as raised:
        games.place(0, black=[0, 0, 99])
    assert len(raised.value.faults) == 2
    with pytest.raises(FaultError):
        games.place(0, black=[0], white=[1, 5])  # the black stone has no liberty
    games.play([12])
    with pytest.raises(FaultError):
        games.place(0, black=[3])


def test_rules_are_read_from_every_form():
    assert Rules.parse("tromp-taylor") == Rules()
    assert Rules.parse("Japanese", komi=0.5).komi == 0.5
    assert Rules.parse("koPOSITIONALscoreAREAtaxNONEsui1") == Rules()
    assert Rules.parse('{"ko":"SIMPLE","scoring":"TERRITORY","tax":"SEKI","suicide":false}').scoring == "territory"
    for rules in (Rules(), Rules.chinese(), Rules.japanese(), Rules(button=True, tax="all")):
        assert Rules.parse(rules.compact(), komi=rules.komi) == rules
    for bad in ("kings", "koX", '{"ko":"SIMPLE","kom":3}', "{", '{"ko":"sometimes"}', "koSIMPLEscoreAREAkomi7.25"):
        with pytest.raises(FaultError):
            Rules.parse(bad)
    with pytest.raises(FaultError) as raised:
        Rules(ko="never", scoring="both", komi=float("nan"))  # pyright: ignore[reportArgumentType]
    assert len(raised.value.faults) == 3


def test_random_playouts_are_seeded_and_end():
    games = Games(16, 7)
    scores = random_playouts(games, 5)
    again = Games(16, 7)
    assert (random_playouts(again, 5) == scores).all()
    assert (again.hash == games.hash).all()
    assert (games.move_count > 20).all()
    assert len(set(games.hash.tolist())) == 16
    part = Games(4, 7)
    random_playouts(part, 5)
    assert (part.hash == games.hash[:4]).all()
    assert (random_playouts(Games(2, 5), 1, max_moves=3) == random_playouts(Games(2, 5), 1, max_moves=3)).all()


def test_boards_outside_two_to_nineteen_are_refused():
    for size in (1, 20, -3):
        with pytest.raises(FaultError):
            Games(1, size)
