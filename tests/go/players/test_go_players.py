"""Hard-coded players move by move, passing behaviours on small boards, raw policies, specs and their grammar."""

from __future__ import annotations

import numpy as np
import pytest

from toulmin.faults import FaultError
from toulmin.go import Game, Games, Rules
from toulmin.go.engine.passing import allowed_actions, without_suicide
from toulmin.go.engine.points import action_of, vertex_of
from toulmin.go.players.hardcoded import POLICIES, HardCoded
from toulmin.go.players.kinds import HARD_CODED
from toulmin.go.players.searching import PolicyPlayer, SearchPlayer
from toulmin.go.players.spec import PlayerSpec, make_player, parse_player, player_kinds
from toulmin.go.search.choice import add_noise, sample
from toulmin.go.search.mcts import Evaluates, search
from toulmin.go.search.rollouts import Guess
from toulmin.go.search.settings import SearchSettings, Temperature


class Preferring:
    """An evaluator that likes actions in proportion to given weights, and values Black's win at ``black``."""

    def __init__(self, weights: dict[int, float], black: float = 0.5) -> None:
        self.weights, self.black = weights, black
        self.symmetries: list[int] = []

    def evaluate(self, games: Games, rows: np.ndarray | None = None, *, symmetry: object = 0, **_: object) -> Guess:
        chosen = games.take(np.arange(games.batch) if rows is None else rows)
        self.symmetries += np.broadcast_to(np.asarray(symmetry), chosen.batch).tolist()
        policy = np.zeros((chosen.batch, games.actions), np.float32)
        for action, weight in self.weights.items():
            policy[:, action] = weight
        policy = (policy + 1e-4) * chosen.legal()
        policy /= policy.sum(axis=1, keepdims=True)
        win = np.where(chosen.to_move == 1, self.black, 1 - self.black).astype(np.float32)
        zero = np.zeros(chosen.batch, np.float32)
        owned = np.zeros((chosen.batch, games.size, games.size), np.float32)
        return Guess(policy, win, 1 - win, zero, zero, zero, zero + 1, owned)


def position(size: int, moves: str, rules: Rules | None = None) -> Games:
    game = Game(size, rules)
    for move in moves.split():
        game.play(move)
    return game.games


def chosen_by(kind: str, games: Games, seed: int = 0) -> str:
    choice = HardCoded(kind).choose(games, np.array([0]), [np.random.default_rng(seed)])[0]
    return vertex_of(choice.action, games.size)


def test_every_hard_coded_player_finishes_legal_games():
    for kind in HARD_CODED:
        games = Games(4, 5, Rules(komi=0.5))
        generators = [np.random.default_rng(i) for i in range(4)]
        opponent = HardCoded("random")
        for step in range(400):
            rows = np.flatnonzero(~games.finished)
            if not len(rows):
                break
            player = HardCoded(kind) if step % 2 else opponent
            choices = player.choose(games, rows, [generators[row] for row in rows])
            games.play([choice.action for choice in choices], rows)
        assert games.finished.all(), kind


def test_edge_and_spiral_keep_to_the_outermost_ring():
    seen = {chosen_by("edge", position(5, ""), seed) for seed in range(200)}
    ring = {v for v in (vertex_of(a, 5) for a in range(25)) if v[0] in "AE" or v[1] in "15"}
    assert seen == ring
    free, visited = list(range(9)), []
    while free:
        visited.append(POLICIES["spiral"](3, np.array(free), None, np.random.default_rng(0)))
        free.remove(visited[-1])
    # the angle is measured with rows growing downwards; the ring is left before the centre is entered
    assert visited[-1] == 4
    rows, columns = np.divmod(visited[:-1], 3)
    assert (np.diff(np.arctan2(rows - 1, columns - 1)) < 0).all()
    assert chosen_by("spiral", position(3, "")) == vertex_of(visited[0], 3)


def test_mirror_reflects_in_the_diagonal_and_in_the_other_on_it():
    assert chosen_by("mirror", position(9, "")) == "E5"
    assert chosen_by("mirror", position(9, "B9")) == "A8"
    assert chosen_by("mirror", position(9, "C2")) == vertex_of(2 * 9 + 7, 9)
    assert chosen_by("mirror", position(9, "A9")) == "J1"
    # the image of E5 is itself, which is taken: the nearest point by L1 distance, the first of equals
    assert chosen_by("mirror", position(9, "E5")) == "E6"


def test_corner_fills_its_quarter_and_then_passes():
    inside = {vertex_of(a, 5) for a in range(25) if a // 5 >= 2 and a % 5 < 3}
    game = Game(5)
    for seed in range(9):
        move = chosen_by("corner", game.games, seed)
        if move == "pass":
            break
        assert move in inside
        game.play(move)
        game.play("pass") if not game.finished else None
        if game.finished:
            break
    assert chosen_by("corner", position(2, "")) in {"A1"}


def test_passing_players_end_a_won_game_and_only_that():
    assert chosen_by("pass", position(9, "")) == "pass"
    # White passes after Black's only stone: Black leads by 80.5 and ends the game; White would not
    assert chosen_by("random", position(9, "E5 pass", Rules(komi=0.5))) == "pass"
    assert chosen_by("random", position(9, "pass", Rules(komi=0.5))) == "pass"  # White leads by the komi
    assert chosen_by("random", position(9, "E5 A1 pass", Rules(komi=7.5))) == "pass"
    assert chosen_by("random", position(9, "E5 pass A1 pass", Rules(komi=100.5))) != "pass"


def test_suicide_is_known_and_avoided():
    # Black at A2, B1 and B2 makes A1 a suicide of one white stone... and C-row keeps the game going
    games = position(5, "A2 E5 B1 E4", Rules(suicide=True))
    games.play([action_of("C3", 5)])
    legal = games.legal()[0]
    kept = without_suicide(games, 0, legal)
    assert not (kept & ~legal).any()
    for action in np.flatnonzero(legal[:25] & ~kept[:25]):
        before = games.captures[0, 1]
        trial = games.take([0])
        trial.play([int(action)])
        assert trial.captures[0, 1] > before
    # two white stones that fill their own last liberties
    games = position(4, "A2 A1 B2 pass C1 pass D4", Rules(suicide=True))
    point = action_of("B1", 4)
    assert games.legal()[0, point]
    assert not without_suicide(games, 0, games.legal()[0])[point]


@pytest.fixture
def settled() -> Games:
    """4x4: Black owns everything by two eyes at A4 and A2; Black to move."""
    game = Game(4, Rules(komi=0.5))
    for move in ["B4", "pass", "B3", "pass", "A3", "pass", "B2", "pass", "B1", "pass", "A1", "C3", "D1", "pass"]:
        game.play(move)
    return game.games


def test_passing_behaviours(settled):
    rows = np.array([0])
    mover = int(settled.to_move[0])
    assert mover == 1
    assert (settled.pass_alive()[0] == 1).sum() >= 8
    standard = allowed_actions(settled, rows)[0]
    assert standard[16]
    assert (standard == settled.legal()[0]).all()
    last = allowed_actions(settled, rows, "last_resort")[0]
    assert not last[16]
    assert last[:16].any()
    hardened = allowed_actions(settled, rows, "avoid_pass_alive")[0]
    inside = (settled.pass_alive()[0].ravel() == 1) & settled.legal()[0, :16]
    assert inside.any()
    assert not hardened[:16][inside].any()
    assert not hardened[16]
    ahead = allowed_actions(settled, rows, "only_when_ahead")[0]
    behind = allowed_actions(settled, rows, "only_when_behind")[0]
    assert ahead[16] == (settled.scores()[0, 0] < 0)
    assert ahead[16] != behind[16]


def test_a_hardened_player_passes_when_only_its_own_territory_is_left():
    game = Game(3, Rules(komi=0.5))
    for move in ["B3", "pass", "B2", "pass", "B1", "pass", "C2", "pass", "A2", "pass"]:
        game.play(move)
    assert (game.games.pass_alive()[0] == 1).all()
    allowed = allowed_actions(game.games, np.array([0]), "avoid_pass_alive")[0]
    assert allowed.nonzero()[0].tolist() == [9]
    last = allowed_actions(game.games, np.array([0]), "last_resort")[0]
    assert not last[9]


def test_raw_policy_follows_its_temperature():
    weights = {0: 0.6, 1: 0.3, 2: 0.1}
    evaluator: Evaluates = Preferring(weights)
    games = Games(3000, 3)
    generators = [np.random.default_rng(i) for i in range(3000)]
    for temperature in (0.0, 0.5, 1.0):
        player = PolicyPlayer("p", evaluator, Temperature(early=temperature, late=temperature))
        actions = [c.action for c in player.choose(games, np.arange(3000), generators)]
        share = np.bincount(actions, minlength=10)[:3] / 3000
        if temperature == 0:
            assert share.tolist() == [1.0, 0.0, 0.0]
            continue
        want = np.array([0.6, 0.3, 0.1]) ** (1 / temperature)
        np.testing.assert_allclose(share, want / want.sum(), atol=0.035)
    schedule = PolicyPlayer("p", evaluator, Temperature(early=1.0, late=0.0, halflife=0.01))
    later = games.take([0])
    later.play([4])
    assert schedule.choose(later, np.array([0]), generators[:1])[0].action == 0


def test_search_finds_the_capture_that_decides():
    """White at A1 in atari: with uniform policy only the value after the end of the game tells moves apart."""
    games = position(3, "B2 A1 B1 pass", Rules(komi=0.5))
    settings = SearchSettings(visits=400, static_score=0.3)
    from toulmin.go.search.rollouts import Rollouts

    player = SearchPlayer("s", Rollouts(4), settings)
    choices = player.choose(games, np.array([0]), [np.random.default_rng(0)])
    assert choices[0].black_wins is not None
    assert choices[0].black_wins > 0.8


def test_search_is_deterministic_and_independent_of_the_batch():
    rng = np.random.default_rng(3)
    games = Games(5, 5, Rules(komi=0.5))
    for _ in range(6):
        legal = games.legal()
        games.play([int(rng.choice(np.flatnonzero(row[:25]))) for row in legal])
    evaluator = Preferring({a: 0.01 * (a + 1) for a in range(26)}, black=0.55)
    settings = SearchSettings(visits=60, noise=True, symmetry="random", root_symmetries=2, root_temperature=1.2)

    def run(rows: list[int]) -> np.ndarray:
        return search(games, np.array(rows), evaluator, settings, [np.random.default_rng(r) for r in rows]).visits

    together = run([0, 1, 2, 3, 4])
    assert (together.sum(axis=1) == 59).all()
    assert (run([0, 1, 2, 3, 4]) == together).all()
    for row in range(5):
        assert (run([row])[0] == together[row]).all()
    assert set(evaluator.symmetries) == set(range(8))
    assert not together[~games.legal()].any()


def test_the_root_keeps_to_what_is_allowed():
    games = Games(1, 3)
    allowed = np.zeros((1, 10), bool)
    allowed[0, [4, 7]] = True
    found = search(
        games, np.array([0]), Preferring({0: 1.0}), SearchSettings(visits=50), [np.random.default_rng(0)], allowed
    )
    assert found.visits[0, [4, 7]].sum() == 49
    assert found.visits[0].sum() == 49


def test_root_noise_is_a_shaped_dirichlet():
    policy = np.array([0.7, 0.2, 0.09, 0.005, 0.004, 0.001])
    draws = np.stack([add_noise(policy, np.random.default_rng(i), 10.83, 1.0) for i in range(6000)])
    np.testing.assert_allclose(draws.sum(axis=1), 1.0)
    logs = np.log(np.minimum(policy, 0.01))
    excess = np.maximum(logs - logs.mean(), 0)
    shape = 0.5 * (excess / excess.sum() + 1 / 6)
    np.testing.assert_allclose(draws.mean(axis=0), shape, atol=0.01)
    np.testing.assert_allclose(draws.var(axis=0), shape * (1 - shape) / (10.83 + 1), rtol=0.15)
    mixed = add_noise(policy, np.random.default_rng(0), 10.83, 0.25)
    np.testing.assert_allclose(mixed, 0.75 * policy + 0.25 * draws[0])


def test_sampling_takes_the_first_of_equals_at_zero():
    rng = np.random.default_rng(0)
    assert sample(np.array([0.0, 2.0, 2.0]), 0.0, rng) == 1
    assert {sample(np.array([0.0, 2.0, 2.0, 0.0]), 1.0, rng) for _ in range(100)} == {1, 2}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("random", PlayerSpec(kind="random")),
        ("rollouts", PlayerSpec(kind="rollouts")),
        ("rollouts@9", PlayerSpec(kind="rollouts", search=SearchSettings(visits=9))),
        ("net:a/b.bin.gz@16", PlayerSpec(kind="net", net="file:a/b.bin.gz", search=SearchSettings(visits=16))),
        ("net:file:x", PlayerSpec(kind="net", net="file:x")),
        ("policy:hf:who/net@main", PlayerSpec(kind="policy", net="hf:who/net@main")),
        ("gtp:gnugo --mode gtp", PlayerSpec(kind="gtp", command=("gnugo", "--mode", "gtp"))),
    ],
)
def test_players_are_written_in_one_word(text, want):
    assert parse_player(text) == want


@pytest.mark.parametrize("text", ["", "nobody", "random:x", "net", "net:", "gtp:", "gtp:'", "rollouts@x", "rollouts@0"])
def test_what_is_no_player_is_a_fault(text):
    with pytest.raises(FaultError, match=r"go\.player"):
        parse_player(text)


def test_specs_refuse_what_does_not_belong():
    for fields in (
        {"kind": "net"},
        {"kind": "random", "net": "file:x"},
        {"kind": "gtp"},
        {"kind": "random", "command": ["x"]},
        {"kind": "mirror", "passing": "last_resort"},
        {"kind": "random", "speed": 3},
    ):
        with pytest.raises(ValueError, match="validation error"):
            PlayerSpec.model_validate(fields)
    hardened = PlayerSpec(kind="rollouts", passing="avoid_pass_alive", search=SearchSettings(visits=3))
    assert hardened.label == "rollouts@3/avoid_pass_alive"
    assert [make_player(PlayerSpec(kind=kind), str).name for kind in HARD_CODED] == list(HARD_CODED)
    assert set(POLICIES) | {"pass"} == set(HARD_CODED)


def test_another_package_adds_a_kind_of_player(tmp_path, monkeypatch):
    """Installed the way packages are: a module, and metadata that name its entry point."""
    (tmp_path / "toulmin_first.py").write_text(
        "import numpy as np\n"
        "from toulmin.go import Choice, PlayerKind\n"
        "class First:\n"
        "    def __init__(self, name, skip):\n"
        "        self.name, self.skip = name, skip\n"
        "    def choose(self, games, rows, generators):\n"
        "        return [Choice(int(np.flatnonzero(legal)[self.skip])) for legal in games.legal(rows)]\n"
        "    def close(self):\n"
        "        pass\n"
        "def make(spec, setting):\n"
        "    return First(spec.label, spec.options.get('skip', 0))\n"
        "FIRST = PlayerKind('first', make, options=('skip',))\n"
    )
    metadata = tmp_path / "toulmin_first-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toulmin-first\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[toulmin.players]\nfirst = toulmin_first:FIRST\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "first" in player_kinds()
    assert parse_player("first").label == "first"
    games = Games(1, 5)
    player = make_player(PlayerSpec(kind="first", options={"skip": 3}), str)
    assert player.choose(games, np.array([0]), [])[0].action == 3
    with pytest.raises(ValueError, match="has no option jump; it has skip"):
        PlayerSpec(kind="first", options={"jump": 3})
    with pytest.raises(ValueError, match="takes no net"):
        PlayerSpec(kind="first", net="file:x")


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(FaultError, match="rollouts"):
        parse_player("rollout@3")
