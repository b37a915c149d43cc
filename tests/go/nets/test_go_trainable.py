"""The network with gradients: equal to the evaluator's, before and after training, through the writer and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_nets import make_network, some_games
from torch.utils.flop_counter import FlopCounterMode

from toulmin.go import Games, Rules
from toulmin.go.nets import (
    Evaluator,
    Extent,
    Network,
    TrainableNetwork,
    fresh_network,
    input_features,
    read_network,
    write_network,
)
from toulmin.go.nets.layers import Attention, Dense, FeedForward, RmsNorm


def inputs(games: Games, pad_to: int | None = None) -> tuple[torch.Tensor, torch.Tensor, Extent]:
    planes, numbers = input_features(games, pad_to=pad_to)
    x = torch.from_numpy(planes).permute(0, 3, 1, 2)
    area = torch.full((games.batch, 1), float(games.size**2))
    return x, torch.from_numpy(numbers), Extent.of(area, x[:, :1] if pad_to else None)


@pytest.mark.parametrize("pad_to", [None, 7])
@pytest.mark.parametrize(
    ("version", "transformer"),
    [*((version, "") for version in (8, 11, 12, 15, 17)), *((15, kind) for kind in ("learnt", "fixed", "spatial"))],
)
def test_it_computes_what_the_network_for_inference_computes(version, transformer, pad_to):
    file = make_network(version, seed=version, transformer=transformer)
    given = inputs(some_games(rules=Rules.japanese()), pad_to)
    with torch.inference_mode():
        expected = Network(file).float()(given[0].clone(), given[1], given[2])
    found = TrainableNetwork(file)(*given)
    for name, one in zip(expected._fields, expected, strict=True):
        torch.testing.assert_close(getattr(found, name)[..., :5], one[..., :5], rtol=2e-4, atol=2e-5, msg=name)


@pytest.mark.parametrize(("version", "transformer"), [(8, ""), (15, ""), (15, "learnt")])
def test_what_was_trained_is_exported_and_every_weight_has_a_gradient(version, transformer):
    games = some_games(rules=Rules.japanese())
    network = TrainableNetwork(make_network(version, seed=3, transformer=transformer))
    given = inputs(games)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    before = torch.cat([p.detach().ravel().clone() for p in network.parameters()])
    for _ in range(2):
        optimizer.zero_grad()
        heads = network(*given)
        sum((one.square().mean() for one in heads), torch.zeros(())).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
        optimizer.step()
    assert (
        torch.cat([p.detach().ravel() for p in network.parameters()]) != before
    ).float().mean() > 0.5  # inputs that are 0 here leave theirs
    trained = network(*given)
    again = read_network(write_network(network.export("trained"), compress=False))
    assert again.name == "trained"
    with torch.inference_mode():
        kept = Network(again).float()(given[0].clone(), given[1], given[2])
    for name, one in zip(kept._fields, kept, strict=True):
        torch.testing.assert_close(getattr(trained, name), one, rtol=2e-4, atol=2e-5, msg=name)


def test_a_fresh_network_is_almost_uninformed_and_has_the_size_asked_for():
    file = fresh_network(blocks=6, channels=96, seed=1)
    assert 0.9e6 < file.parameters < 1.2e6  # the genuine b6c96 has 1.03 million
    games = some_games(7, 4, 6)
    view = Evaluator(read_network(write_network(file))).evaluate(games)
    assert np.abs(view.win - view.loss).max() < 0.5
    legal = games.legal()
    entropy = -(view.policy * np.log(np.where(legal, view.policy, 1))).sum(axis=1)
    assert (entropy > 0.9 * np.log(legal.sum(axis=1))).all()
    assert (fresh_network(2, 8, seed=1).trunk.conv.weights != fresh_network(2, 8, seed=2).trunk.conv.weights).any()


def test_the_genuine_network_is_trained_from_its_own_outputs(shared):
    """The victim's weights as a start: the evaluator's outputs, from a module with gradients, and from its export."""
    file = read_network(shared / "data/katago_nets/g170-b6c96-s175395328-d26788732.bin.gz")
    games = some_games(7, 4, 12)
    network = TrainableNetwork(file)
    evaluator, exported = Evaluator(file), Evaluator(network.export())
    expected, again = evaluator.evaluate(games), exported.evaluate(games)
    heads = network(*inputs(games))
    logits = torch.cat([heads.policy[:, 0].flatten(1), heads.pass_policy[:, :1]], dim=1).detach().numpy()
    legal = games.legal()
    np.testing.assert_allclose(logits[legal], expected.logits[legal], atol=3e-5)
    for name in ("policy", "win", "lead", "score_stdev", "ownership"):
        np.testing.assert_allclose(getattr(again, name), getattr(expected, name), atol=3e-5)


@pytest.mark.parametrize("file", [make_network(8), fresh_network(2, 16, seed=0, name="fresh")], ids=["v8", "fresh"])
@pytest.mark.parametrize("size", [3, 5])
def test_operations_are_those_that_torch_counts(file, size):
    planes, numbers, extent = inputs(some_games(size=size, count=1, moves=2))
    with FlopCounterMode(display=False) as counted:
        TrainableNetwork(file)(planes, numbers, extent)
    assert file.operations(size) == counted.get_total_flops()


def test_operations_of_attention_by_hand():
    """One layer over P = 9 points of 4 channels: 2 heads, q and v of 2 and 3 numbers; a feed-forward of 8 channels."""
    norm = RmsNorm("n", 1e-6, np.ones(4, np.float32))

    def matrix(*shape: int) -> Dense:
        return Dense("d", np.zeros(shape, np.float32))

    attention = Attention("a", 2, 2, 2, 3, norm, matrix(4, 4), matrix(4, 4), matrix(4, 6), matrix(6, 4))
    forward = FeedForward("f", norm, matrix(4, 8), matrix(4, 8), matrix(8, 4))
    file = make_network(8)
    more = replace(file, trunk=replace(file.trunk, blocks=(*file.trunk.blocks, attention, forward)))
    per_point = 2 * (16 + 16 + 24 + 24 + 3 * 32)
    assert more.operations(3) - file.operations(3) == 9 * per_point + 2 * 2 * (2 + 3) * 81


def test_inputs_that_are_there_already_are_not_computed_again():
    games = some_games()
    evaluator = Evaluator(make_network(8))
    expected = evaluator.evaluate(games, symmetry=3)
    found = evaluator.evaluate(games, symmetry=3, inputs=input_features(games))
    assert (found.policy == expected.policy).all()
    planes, numbers = input_features(games)
    assert (evaluator.evaluate(games, inputs=(0 * planes, numbers)).policy != expected.policy).any()
