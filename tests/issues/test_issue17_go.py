"""Defects of the Go package found in its audit (issue 17, item 10)."""

from __future__ import annotations

import pytest

from toulmin.faults import FaultError
from toulmin.go import GtpServer, Rules, make_player, parse_player, read_sgf, replay

SGF = b"(;GM[1]SZ[5]KM[0.5]AB[aa][bb]AW[ee];W[ab];B[cc];W[])"


@pytest.mark.parametrize("setup", ["AB[aa][aa]", "AB[aa]AW[aa]", "AB[aa:bb][bb]", "AW[cc][cc:dd]", "AB[aa]AE[aa]"])
def test_a_point_set_up_twice_in_one_node_is_refused(setup):
    with pytest.raises(FaultError, match="more than once"):
        read_sgf(f"(;GM[1]SZ[5]{setup};B[ee])".encode())


def test_rectangles_and_stones_set_up_once_are_read():
    (game,) = read_sgf(b"(;GM[1]SZ[5]AB[aa:ab][cc]AW[ee];W[dd])")
    assert (game.black, game.white) == ((0, 5, 12), (24,))


def test_a_server_loads_an_sgf_file_with_its_setup(tmp_path):
    path = tmp_path / "game.sgf"
    path.write_bytes(SGF)
    server = GtpServer(make_player(parse_player("random"), str), Rules(), 9)
    assert server.answer(f"loadsgf {path}").strip() == "="
    assert server.game.size == 5
    assert (server.game.games.stones() == replay(read_sgf(SGF)[0]).games.stones()).all()
    assert server.game.moves == [(2, 5), (1, 12), (2, 25)]
    server.answer(f"loadsgf {path} 2")
    assert server.game.moves == [(2, 5)]
    assert server.answer(f"loadsgf {path} nine").startswith("? syntax error")
    assert server.answer(f"loadsgf {tmp_path / 'none.sgf'}").startswith("?")
    assert server.game.moves == [(2, 5)]  # what failed changed nothing
    assert server.answer("genmove b").startswith("= ")


def test_two_players_of_equal_visits_have_names_and_settings_of_their_own():
    one = parse_player("net:a,b.bin.gz@16")
    assert (one.net, one.visits, one.passing) == ("file:a,b.bin.gz", 16, "standard")
    two = parse_player("net:a.bin.gz@16,name=hardened,passing=avoid_pass_alive,temperature=0.5-0.1")
    assert (two.label, two.passing, two.search.visits) == ("hardened", "avoid_pass_alive", 16)
    assert (two.search.temperature.early, two.search.temperature.late) == (0.5, 0.1)
    warm = parse_player("policy:a.bin.gz,temperature=0.3").search.temperature
    assert (warm.early, warm.late) == (0.3, 0.3)
    with pytest.raises(FaultError, match="passing"):
        parse_player("net:a.bin.gz,passing=never")
    with pytest.raises(FaultError, match="temperature"):
        parse_player("policy:a.bin.gz,temperature=hot")
    third = parse_player("net:a.bin.gz,visits=12,device=cuda:1")
    assert (third.visits, third.device) == (12, "cuda:1")
    for text, why in (
        ("policy:a.bin.gz,visits=4", "does not search"),
        ("random,device=cuda", "players that have a net"),
        ("net:a.bin.gz,visits=0", "visits"),
    ):
        with pytest.raises(FaultError, match=why):
            parse_player(text)


def test_a_player_is_evaluated_on_its_own_device(monkeypatch):
    where = []
    monkeypatch.setattr("toulmin.go.nets.Evaluator", lambda path, *, device: where.append((path, device)))
    for text in ("net:a.bin.gz,device=meta", "policy:b.bin.gz"):
        make_player(parse_player(text), lambda reference: reference, device="cpu")
    assert where == [("file:a.bin.gz", "meta"), ("file:b.bin.gz", "cpu")]
