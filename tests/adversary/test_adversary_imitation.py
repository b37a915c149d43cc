"""Imitation of recorded adversaries: targets by hand, a planted rule that is learnt, and published games."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_nets import make_network

from toulmin.adversary import AdversaryImitation, Imitation, imitate, recorded_games
from toulmin.adversary.imitation import moves_of, split_games, top_moves, unseen_turns
from toulmin.adversary.recorded import members_of, read_all
from toulmin.evidence import Store
from toulmin.go import WHITE, Games, Rules, fresh_network, input_features, write_network
from toulmin.studies import Run, execute, re_derive

RULES = "KM[0.5]RU[koPOSITIONALscoreAREAtaxNONEsui1]"


def sgf(moves: str, result: str = "W+9.5", size: int = 3, black: str = "Victim", white: str = "Adversary") -> bytes:
    """A game whose moves are SGF points, Black first; "--" is a pass."""
    played = "".join(
        f";{'BW'[at % 2]}[{'' if one == '--' else one}]" for at, one in enumerate(moves.split() if moves else [])
    )
    return f"(;GM[1]SZ[{size}]{RULES}RE[{result}]PB[{black}]PW[{white}]{played})".encode()


def planted(count: int, seed: int = 0) -> list[tuple[str, bytes]]:
    """Games on 3x3 of somebody who plays at random, as Black, against a rule: White takes the first free point."""
    random, found = np.random.default_rng(seed), []
    for number in range(count):
        games, moves = Games(1, 3, Rules(komi=0.5)), list[str]()
        while len(moves) < 8:
            points = np.flatnonzero(games.legal()[0])[:-1]
            if not len(points):
                break
            move = int(random.choice(points)) if len(moves) % 2 == 0 else int(points[0])
            games.play([move])
            moves.append("abc"[move % 3] + "abc"[move // 3])
        found.append((f"planted/{number}.sgf", sgf(" ".join(moves))))
    return found


def test_what_a_network_is_to_say_of_a_game_by_hand():
    """White takes the black stone in the corner: all nine points are White's, who leads by 9.5."""
    (game,) = recorded_games([("cyclic/a.sgf", sgf("aa ab -- ba -- --"))], "Adversary")
    assert (game.source, game.colour, game.lead, game.turns) == ("cyclic", WHITE, 9.5, (1, 3, 5))
    moves = moves_of(game, [3, 1])
    assert moves.policy.argmax(axis=1).tolist() == [3, 1]  # a1 below the corner, then b1 beside it: in order of play
    assert moves.policy.sum(axis=1).tolist() == [1, 1]
    assert moves.result.tolist() == [1, 1]
    assert moves.score.tolist() == [9.5, 9.5]
    assert (moves.ownership == 1).all()
    begun = Games(1, 3, Rules(komi=0.5))
    begun.play([0])
    planes, numbers = input_features(begun)
    np.testing.assert_array_equal(moves.planes[0], planes[0])
    np.testing.assert_array_equal(moves.numbers[0], numbers[0])
    np.testing.assert_array_equal(moves.legal[0], begun.legal()[0])


def test_which_games_count():
    files = [
        ("a/won.sgf", sgf("aa ab")),
        ("b/twice.sgf", sgf("aa ab")),
        ("a/lost.sgf", sgf("aa bb", "B+0.5")),
        ("a/resigned.sgf", sgf("aa bc", "W+R")),
        ("a/illegal.sgf", sgf("aa aa")),
        ("a/nobody.sgf", sgf("aa cc", white="Somebody")),
        ("a/both.sgf", sgf("aa ca", black="Adversary")),
        ("a/broken.sgf", b"(;SZ[3"),
    ]
    assert [game.source for game in recorded_games(files, "Adversary")] == ["a"]
    assert len(recorded_games(files, "Adversary", won_only=False)) == 2
    assert recorded_games(list(reversed(files)), "Adversary", False)[0].digest == (
        recorded_games(files, "Adversary", False)[0].digest
    )


def test_positions_of_training_games_are_not_held_out():
    files = [("x/1.sgf", sgf("aa bb cc ca")), ("x/2.sgf", sgf("aa bb cc ac")), ("x/3.sgf", sgf("ab bb cc ca"))]
    by_moves = {game.record.moves: game for game in recorded_games(files, "Adversary")}
    one, two, three = (next(game for moves, game in by_moves.items() if moves[0][1] == first and moves[3][1] == last)
                       for first, last in ((0, 2), (0, 6), (3, 2)))  # fmt: skip
    assert unseen_turns([two], [one]) == [()]
    assert unseen_turns([three], [one]) == [(1, 3)]
    training, held_out = split_games([one, two, three], 0.1, seed=0)
    assert (len(training), len(held_out)) == (2, 1)
    assert {game.digest for game in training}.isdisjoint(game.digest for game in held_out)


def test_a_planted_rule_is_learnt_and_a_run_that_stops_goes_on(tmp_path):
    games = recorded_games(planted(60), "Adversary")
    training, held_out = split_games(games, 0.25, seed=1)
    start = fresh_network(1, 16, seed=0, name="start")

    def share(network) -> float:
        right = [
            top_moves(network, moves_of(game, turns)) == moves_of(game, turns).policy.argmax(axis=1)
            for game, turns in zip(held_out, unseen_turns(held_out, training), strict=True)
            if turns
        ]
        return float(np.concatenate(right).mean())

    settings = Imitation(updates=60, minibatch=32, games=8, lr=1e-2)
    trained = imitate(start, training, settings, tmp_path / "whole")
    assert share(start) < 0.4
    assert share(trained) > 0.8
    short = Imitation(updates=4, minibatch=8, games=4, lr=5e-3)
    whole = imitate(start, training, short, tmp_path / "short", seed=3)

    class Stop:
        every = 1

        def on_start(self, state, steps) -> None: ...

        def on_step(self, state, metrics) -> None:
            if state.step == 3:
                raise KeyboardInterrupt

        def on_end(self, state) -> None: ...

    with pytest.raises(KeyboardInterrupt):
        imitate(start, training, short, tmp_path / "broken", seed=3, callbacks=[Stop()])
    again = imitate(start, training, short, tmp_path / "broken", seed=3)
    assert write_network(again) == write_network(whole)


def test_the_record_compares_with_the_victim_over_games(tmp_path):
    folder, net = tmp_path / "games", tmp_path / "net.bin.gz"
    for name, data in planted(20):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    net.write_bytes(write_network(make_network(8, seed=1)))
    study = AdversaryImitation(
        games=f"dir:{folder}",
        victim=f"file:{net}",
        start=f"file:{net}",
        training=Imitation(updates=2, minibatch=8, games=4),
        held_out=0.5,
    )
    store = Store(tmp_path / "store")
    evidence = execute(study, store, Run(tmp_path / "work"))
    assert evidence.measures["top1"].n_of == "games"
    values = {name: measure.value for name, measure in evidence.measures.items()}
    assert values["gain"] == pytest.approx(values["top1"] - values["top1_victim"])
    assert evidence.tables[0].rows[0][0] == "planted"
    assert re_derive(evidence, store) == []


def test_published_games_are_read_and_asked_about(shared: Path, tmp_path: Path):
    archive = shared / "data" / "go_adversarial.tar.gz"
    select = ("*/no_search/*",)
    assert len(members_of(archive, select)) == 6
    games = recorded_games(list(read_all(archive, select)), "Adversary")
    assert len(games) == 6
    assert {game.source for game in games} == {"no_search"}
    assert {game.record.size for game in games} == {19}
    for game in games:  # the recorded score is that of the finished board under the rules of the file
        moves = moves_of(game, game.turns[-1:])
        assert moves.policy.sum() == 1
        assert moves.legal[0, moves.policy[0].argmax()]
        komi = game.record.komi if game.colour == WHITE else -game.record.komi
        assert float(moves.ownership[0].sum()) + komi == pytest.approx(game.lead)
    net = next((shared / "data" / "katago_nets").glob("*b6c96*"))
    study = AdversaryImitation(
        games=f"file:{archive}",
        victim=f"file:{net}",
        start=f"file:{net}",
        select=select,
        tested=2,
        training=Imitation(updates=1, minibatch=4, games=2),
    )
    evidence = execute(study, Store(tmp_path / "store"), Run(tmp_path / "work"))
    assert evidence.tables[0].rows[0][:3] == ("no_search", 1, 2)
    assert "imitation.bin.gz" in {one.name for one in evidence.artefacts}
