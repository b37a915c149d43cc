"""Defects of the Go package found in its audit (issue 17, item 10)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_nets import make_network, some_games

from toulmin.faults import FaultError
from toulmin.go import (
    Evaluator,
    GtpServer,
    Rules,
    input_features,
    make_player,
    parse_player,
    read_sgf,
    write_network,
)
from toulmin.go import replay as replay_game

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
    assert (server.game.games.stones() == replay_game(read_sgf(SGF)[0]).games.stones()).all()
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
    monkeypatch.setattr("toulmin.go.nets.Evaluator", lambda path, *, device, **_: where.append((path, device)))
    for text in ("net:a.bin.gz,device=meta", "policy:b.bin.gz"):
        make_player(parse_player(text), lambda reference: reference, device="cpu")
    assert where == [("file:a.bin.gz", "meta"), ("file:b.bin.gz", "cpu")]


def test_features_of_large_batches_are_shared_by_threads_and_do_not_depend_on_them():
    games, again = (some_games(7, 150, 20, rules=Rules.japanese()) for _ in range(2))
    rows = np.arange(150)[::-1].copy()
    for one, other in zip(input_features(games, rows), input_features(again, rows, threads=3), strict=True):
        assert (one == other).all()
    assert (games.cells == again.cells).all()  # the ladders that were found
    assert (input_features(again, [3] * 130, threads=2)[0] == input_features(games, [3])[0]).all()
    assert (games.white_bonus([5, 2]) == games.white_bonus()[[5, 2]]).all()


def test_optimism_mixes_the_heads_of_later_networks():
    games = some_games(5, 3, 8)
    late, early = make_network(12, seed=4), make_network(11, seed=4)
    plain, half, full = (Evaluator(late, optimism=share).evaluate(games).logits for share in (0.0, 0.5, 1.0))
    legal = games.legal()
    np.testing.assert_allclose(half[legal], (plain[legal] + full[legal]) / 2, atol=1e-5)
    assert np.abs(full[legal] - plain[legal]).max() > 0.1
    second = replace(
        late.policy,
        out=replace(late.policy.out, weights=late.policy.out.weights[::-1]),
        to_pass=replace(late.policy.to_pass, weights=late.policy.to_pass.weights[:, ::-1]),
    )
    exchanged = Evaluator(replace(late, policy=second)).evaluate(games).logits
    np.testing.assert_allclose(full[legal], exchanged[legal], atol=1e-5)
    assert (Evaluator(early, optimism=1.0).evaluate(games).policy == Evaluator(early).evaluate(games).policy).all()


def test_optimism_is_a_setting_of_a_player(tmp_path):
    file = tmp_path / "net.bin.gz"
    file.write_bytes(write_network(make_network(12, seed=4)))
    player = make_player(parse_player(f"net:{file}@2,optimism=0.5"), lambda reference: reference.removeprefix("file:"))
    assert player.evaluator.optimism == 0.5  # type: ignore[attr-defined]
    with pytest.raises(FaultError, match="share from 0 to 1"):
        make_player(parse_player(f"net:{file}@2,optimism=2"), str)


def test_batches_are_as_large_as_the_device_likes_and_guesses_are_few():
    network = make_network(8)
    assert Evaluator(network).max_batch == 256
    elsewhere = Evaluator(network, device="meta")
    assert (elsewhere.max_batch, elsewhere.good_batch) == (4096, Evaluator(network).good_batch)
    assert Evaluator(network, device="meta", max_batch=7).max_batch == 7
