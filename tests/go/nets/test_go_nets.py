"""KataGo networks: the genuine one against KataGo's own outputs, small ones of every form against plain NumPy."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_nets import make_network, some_games

from toulmin.faults import ExitCode, FaultError
from toulmin.go import Game, Games, Rules, action_of
from toulmin.go.nets import (
    Attention,
    Bottleneck,
    Evaluation,
    Evaluator,
    FeedForward,
    Pooling,
    RmsNorm,
    read_network,
    write_network,
)
from toulmin.go.nets.evaluator import symmetry_order
from toulmin.go.nets.features import input_features
from toulmin.go.nets.network import _Convolve, can_pack

NET = "data/katago_nets/g170-b6c96-s175395328-d26788732.bin.gz"


def convolve(x, layer):
    outs, _, ky, kx = layer.weights.shape
    _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (ky // 2, ky // 2), (kx // 2, kx // 2)))
    out = np.zeros((outs, height, width))
    for y in range(height):
        for z in range(width):
            out[:, y, z] = (layer.weights * padded[None, :, y : y + ky, z : z + kx]).sum((1, 2, 3))
    return out


def normalise(x, layer):
    shape = (-1, 1, 1)
    if isinstance(layer, RmsNorm):
        square = (x**2).mean() if layer.spatial else (x**2).mean(0)
        y = x / np.sqrt(square + layer.epsilon) * layer.scale.reshape(shape)
        return y if layer.bias is None else y + layer.bias.reshape(shape)
    scale = 1 if layer.scale is None else layer.scale.reshape(shape)
    bias = 0 if layer.bias is None else layer.bias.reshape(shape)
    deviation = np.sqrt(layer.variance.reshape(shape).astype(float) + layer.epsilon)
    return (x - layer.mean.reshape(shape)) / deviation * scale + bias


def activate(x, layer):
    if layer.kind == "relu":
        return np.maximum(x, 0)
    return x * np.tanh(np.logaddexp(0, x)) if layer.kind == "mish" else x / (1 + np.exp(-x))


def pools(x, value=False):
    d = np.sqrt(x[0].size) - 14
    mean = x.mean((1, 2))
    last = mean * (d * d / 100 - 0.1) if value else x.max((1, 2))
    return np.concatenate([mean, mean * d / 10, last])


def matrix(x, layer):
    return x @ layer.weights + (0 if layer.bias is None else layer.bias)


def attend(x, block):
    """One head and one pair of points after the other, straight from the definition."""
    width = x.shape[2]
    points = normalise(x, block.norm).reshape(len(x), -1).T
    out = np.zeros((len(points), block.heads * block.v_dim))
    for head in range(block.heads):
        group = head // (block.heads // block.groups)

        def turned(layer, which, group=group):
            rows = matrix(points, layer)[:, which * block.q_dim : (which + 1) * block.q_dim].copy()
            for place, row in enumerate(rows):
                y, x = divmod(place, width)
                for pair in range(block.q_dim // 2 if block.rotation else 0):
                    if block.rotation.frequencies is not None:
                        angle = [x, y] @ block.rotation.frequencies[group, pair].astype(float)
                    else:  # pair 0 turns with y, pair 1 with x, each at theta^0
                        angle = (y, x)[pair]
                    a, b = row[2 * pair], row[2 * pair + 1]
                    row[2 * pair] = a * np.cos(angle) - b * np.sin(angle)
                    row[2 * pair + 1] = a * np.sin(angle) + b * np.cos(angle)
            return rows

        query, key = turned(block.query, head), turned(block.key, group)
        value = matrix(points, block.value)[:, group * block.v_dim : (group + 1) * block.v_dim]
        for place in range(len(points)):
            weights = np.exp(query[place] @ key.T / np.sqrt(block.q_dim))
            out[place, head * block.v_dim : (head + 1) * block.v_dim] = weights @ value / weights.sum()
    return x + matrix(out, block.out).T.reshape(x.shape)


def run_block(x, block):
    if isinstance(block, Attention):
        return attend(x, block)
    if isinstance(block, FeedForward):
        y = normalise(x, block.norm).transpose(1, 2, 0)
        up = matrix(y, block.up)
        return x + matrix(up / (1 + np.exp(-up)) * matrix(y, block.gate), block.down).transpose(2, 0, 1)
    y = activate(normalise(x, block.norm1), block.act1)
    middle = convolve(y, block.conv1)
    if isinstance(block, Pooling):
        side = activate(normalise(convolve(y, block.pool_conv), block.pool_norm), block.pool_act)
        middle = middle + matrix(pools(side), block.to_bias)[:, None, None]
    if isinstance(block, Bottleneck):
        for inner in block.blocks:
            middle = run_block(middle, inner)
    return x + convolve(activate(normalise(middle, block.norm2), block.act2), block.conv2)


def run_network(network, planes, numbers):
    trunk, policy, value = network.trunk, network.policy, network.value
    x = convolve(planes, trunk.conv) + matrix(numbers, trunk.dense)[:, None, None]
    for block in trunk.blocks:
        x = run_block(x, block)
    x = activate(normalise(x, trunk.norm), trunk.act)
    pooled = pools(activate(normalise(convolve(x, policy.pool_conv), policy.pool_norm), policy.pool_act))
    p = convolve(x, policy.conv) + matrix(pooled, policy.to_bias)[:, None, None]
    points = convolve(activate(normalise(p, policy.norm), policy.act), policy.out)[0].ravel()
    passing = matrix(pooled, policy.to_pass)
    if policy.to_pass2 is not None:
        passing = matrix(activate(passing, policy.pass_act), policy.to_pass2)
    v = activate(normalise(convolve(x, value.conv), value.norm), value.act)
    hidden = activate(matrix(pools(v, value=True), value.dense), value.dense_act)
    return (
        np.append(points, passing[0]),
        matrix(hidden, value.value),
        matrix(hidden, value.score),
        convolve(v, value.ownership)[0],
    )


@pytest.mark.parametrize(
    ("version", "transformer"),
    [
        *((version, "") for version in (8, 10, 11, 12, 13, 15, 16, 17)),
        *((15, kind) for kind in ("learnt", "fixed", "none", "spatial")),
    ],
)
def test_every_form_of_network_is_what_its_layers_say(version, transformer):
    network = make_network(version, seed=version, transformer=transformer)
    games = some_games(rules=Rules.japanese())
    evaluator = Evaluator(network, dtype=torch.float64)
    found = evaluator.evaluate(games)
    planes, numbers = input_features(games)
    for b in range(games.batch):
        policy, value, score, owner = run_network(
            network, planes[b].transpose(2, 0, 1).astype(float), numbers[b].astype(float)
        )
        legal = games.legal()[b]
        weights = np.where(legal, np.exp(policy - policy[legal].max()), 0)
        np.testing.assert_allclose(found.policy[b], weights / weights.sum(), atol=2e-7)
        chances = np.exp(value) / np.exp(value).sum()
        np.testing.assert_allclose([found.win[b], found.loss[b], found.no_result[b]], chances, atol=2e-7)
        settled = 1 - chances[2]
        np.testing.assert_allclose(found.lead[b], 20 * score[2] * settled, rtol=1e-5)
        mean, spread = 20 * score[0], 20 * np.log1p(np.exp(score[1]))
        square = (mean**2 + spread**2) * settled - (mean * settled) ** 2
        np.testing.assert_allclose(found.score_stdev[b], np.sqrt(square), rtol=1e-5)
        np.testing.assert_allclose(found.ownership[b], np.tanh(owner), atol=2e-7)


@pytest.mark.parametrize("symmetry", range(8))
def test_a_symmetry_is_undone(symmetry):
    """Evaluating under a symmetry equals transforming the position, evaluating, and transforming back."""
    size = 5
    games = some_games(size, 1, 9)
    order = symmetry_order(size, symmetry)
    where = np.append(np.argsort(order), size * size)
    turned = Games(1, size)
    for _, action in games.history(0):
        turned.play([where[action]])
    evaluator = Evaluator(make_network(8))
    one, two = evaluator.evaluate(games, symmetry=symmetry), evaluator.evaluate(turned)
    np.testing.assert_allclose(one.policy[0], two.policy[0][where], atol=1e-6)
    np.testing.assert_allclose(one.ownership[0].ravel(), two.ownership[0].ravel()[where[:-1]], atol=1e-6)
    assert one.win[0] == pytest.approx(two.win[0], abs=1e-6)
    mixed = evaluator.evaluate(games.take([0, 0]), symmetry=np.array([symmetry, 0]))
    np.testing.assert_allclose(mixed.policy[0], one.policy[0], atol=1e-6)
    np.testing.assert_allclose(mixed.policy[1], evaluator.evaluate(games).policy[0], atol=1e-6)


@pytest.mark.parametrize(("version", "transformer"), [(13, ""), (15, "learnt"), (15, "spatial")])
def test_a_small_board_in_a_large_tensor_is_the_same(version, transformer):
    games = some_games(5, 3, 11)
    network = make_network(version, transformer=transformer)
    plain = Evaluator(network).evaluate(games)
    masked = Evaluator(network, pad_to=9).evaluate(games)
    for name in ("policy", "win", "lead", "ownership"):
        np.testing.assert_allclose(getattr(masked, name), getattr(plain, name), atol=5e-6 if name != "lead" else 1e-4)


def test_batches_of_any_size_agree_and_views_turn_around():
    games = some_games(5, 7, 8)
    network = make_network(8)
    whole = Evaluator(network).evaluate(games)
    parts = Evaluator(network, max_batch=3).evaluate(games)
    np.testing.assert_allclose(parts.policy, whole.policy, atol=1e-6)
    some = Evaluator(network).evaluate(games, [4, 1])
    np.testing.assert_allclose(some.win, whole.win[[4, 1]], atol=1e-6)
    white = whole.white(np.array([1, 2] * 3 + [1]))
    assert white.win[0] == whole.loss[0]
    assert white.win[1] == whole.win[1]
    assert white.lead[0] == -whole.lead[0]
    assert (white.ownership[2] == -whole.ownership[2]).all()
    uniform = Evaluation.uniform(games)
    np.testing.assert_allclose(uniform.policy.sum(axis=1), 1, atol=1e-6)
    assert Evaluator(network).evaluate(games, []).policy.shape == (0, 26)


@pytest.mark.skipif(not can_pack(torch.device("cpu"), torch.float32), reason="this build of torch has no oneDNN")
@pytest.mark.parametrize("version", [8, 11])
def test_packed_weights_change_only_the_rounding(version):
    """oneDNN's own layout, for two sizes of board in turn, against float64, which is never packed."""
    network = make_network(version)
    packed, exact = Evaluator(network), Evaluator(network, dtype=torch.float64)
    convolutions = [module for module in packed.network.modules() if isinstance(module, _Convolve)]
    for size in (5, 9, 5):
        games = some_games(size, 3, 9)
        one, two = packed.evaluate(games), exact.evaluate(games)
        for name in ("policy", "win", "ownership"):
            np.testing.assert_allclose(getattr(one, name), getattr(two, name), atol=2e-6)
        np.testing.assert_allclose(one.lead, two.lead, atol=1e-4)
    assert {len(module.packed) for module in convolutions} == {0, 2}  # those of a single point are not packed
    assert not any(module.packed for module in exact.network.modules() if isinstance(module, _Convolve))


def test_bfloat16_is_close():
    games = some_games(5, 4, 8)
    network = make_network(8)
    exact, rough = Evaluator(network).evaluate(games), Evaluator(network, dtype=torch.bfloat16).evaluate(games)
    np.testing.assert_allclose(rough.policy, exact.policy, atol=0.03)
    np.testing.assert_allclose(rough.win, exact.win, atol=0.03)


def test_numbers_that_are_not_finite_are_refused():
    network = make_network(8)
    huge = replace(network.value.value, weights=network.value.value.weights * np.float32(1e38))
    broken = replace(network, value=replace(network.value, value=huge))
    wide = replace(
        broken,
        trunk=replace(
            broken.trunk, conv=replace(broken.trunk.conv, weights=broken.trunk.conv.weights * np.float32(1e30))
        ),
    )
    with pytest.raises(FaultError) as raised:
        Evaluator(wide).evaluate(some_games(5, 1, 3))
    assert raised.value.exit_code == ExitCode.NUMERICAL


# -- the genuine network


@pytest.fixture(scope="module")
def genuine(shared):
    return Evaluator(shared / NET)


def test_known_answers_of_the_empty_board(genuine):
    games = Games(1, 9, Rules(komi=7.5))
    view = genuine.evaluate(games).white(games.to_move)
    assert view.win[0] == pytest.approx(0.512496, abs=2e-6)
    assert view.lead[0] == pytest.approx(-0.319, abs=1e-3)
    assert view.policy[0, action_of("E5", 9)] == pytest.approx(0.269681, abs=2e-6)
    assert view.policy[0, -1] == pytest.approx(0.000314, abs=1e-6)


def test_every_golden_position(genuine, shared):
    """KataGo's own raw outputs at 167 positions of 7x7 to 19x19 under five rule sets."""
    count = 0
    for line in (shared / "golden/go/raw_nn.jsonl").read_text().splitlines():
        row = json.loads(line)
        given = row["rules"]
        rules = Rules(
            ko=given["ko"].lower(),
            scoring=given["scoring"].lower(),
            tax=given["tax"].lower(),
            suicide=given["suicide"],
            friendly_pass_ok=given["friendly"],
            komi=float(row["komi"]),
        )
        game = Game(row["size"], rules)
        for color, vertex in row["moves"]:
            game.play(vertex, "BW".index(color) + 1)
        assert game.to_move == "BW".index(row["to_move"]) + 1
        view = genuine.evaluate(game.games).white(game.games.to_move)
        out = row["out"]
        policy = np.append(np.array(out["policy"], float).ravel(), out["policyPass"])
        assert (np.isfinite(policy) == game.games.legal()[0]).all(), row["id"]
        np.testing.assert_allclose(view.policy[0], np.nan_to_num(policy), atol=1e-5, rtol=0, err_msg=str(row["id"]))
        assert view.win[0] == pytest.approx(out["whiteWin"], abs=1e-5)
        assert view.no_result[0] == pytest.approx(out["noResult"], abs=1e-5)
        assert view.lead[0] == pytest.approx(out["whiteLead"], abs=1e-3)
        assert view.score_mean[0] == pytest.approx(out["whiteScoreSelfplay"], abs=1e-3)
        np.testing.assert_allclose(view.ownership[0], np.array(out["whiteOwnership"]), atol=5e-5, rtol=0)
        count += 1
    assert count == 167


def test_the_genuine_network_in_a_mask(genuine, shared):
    games = some_games(9, 4, 30, seed=3)
    plain, masked = genuine.evaluate(games), Evaluator(shared / NET, pad_to=19).evaluate(games)
    for name in ("policy", "win", "ownership"):
        np.testing.assert_allclose(getattr(masked, name), getattr(plain, name), atol=5e-6, rtol=0)


def test_the_genuine_file_is_written_as_it_was_read(shared):
    network = read_network(shared / NET)
    assert network.parameters == 1_030_599
    again = read_network(write_network(network, compress=False))
    assert again.name == network.name
    one, two = Evaluator(network), Evaluator(again)
    assert all((a == b).all() for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True))
