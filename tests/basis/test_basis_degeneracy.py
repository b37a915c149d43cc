"""Degeneracy that was planted, counted exactly; the sampled learning coefficient against its closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from toulmin.basis import (
    audit,
    audit_chain,
    effective_parameters,
    hidden_layer_rank,
    learning_coefficient,
    parameter_rank,
    quadratic_coefficient,
    transformer_chain,
    with_constant,
)
from toulmin.basis.degeneracy.learning_coefficient import effective_sample_size, split_r_hat
from toulmin.basis.degeneracy.spectra import rank_of
from toulmin.basis.planted import PLANTED_DEGENERACY, planted_degeneracy
from toulmin.faults import FaultError
from toulmin.subjects import Mlp, Transformer, TransformerConfig

N = 400


def linear_layers(model: Mlp) -> list[nn.Linear]:
    layers = list(model.layers)
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("kind", "count"), PLANTED_DEGENERACY)
def test_planted_degeneracy_is_counted_exactly(kind: str, count: int, seed: int) -> None:
    """By the formula, by the rank of the Jacobian, and by its elimination without the Jacobian."""
    effective = PLANTED_DEGENERACY[kind, count]
    model, x = planted_degeneracy(kind, count, seed)
    report = audit(model, x)
    assert report.parameters == 103
    assert report.formula is not None
    assert report.formula.count == effective
    assert report.formula.valid
    assert report.rank.rank == effective
    assert report.rank.gap > 2
    assert report.disagreement is None
    first, second = linear_layers(model)
    folded = torch.cat([first.weight.T, first.bias[None]])
    found = hidden_layer_rank(folded, second.weight.T, with_constant(x))
    assert found.rank == effective
    assert len(found.spectrum) == 103


def test_each_kind_of_degeneracy_is_named_at_its_layer() -> None:
    copies = audit(*planted_degeneracy("copies", 2)).layers
    assert copies[0].neurons is not None
    assert copies[0].neurons.groups == ((0, 1, 2),)
    assert copies[0].neurons.merged == 2
    assert (copies[1].activations.rank, copies[1].d_in) == (9, 11)
    assert copies[1].activations.gap > 8
    on = audit(*planted_degeneracy("always on", 2)).layers[0].neurons
    assert on is not None
    assert on.groups == ((0, 1),)
    assert on.merged == 2  # both are linear in what the constant's neuron also carries
    dead = audit(*planted_degeneracy("dead", 3)).layers
    assert dead[0].neurons is not None
    assert dead[0].neurons.dead == (0, 1, 2)
    assert dead[0].jacobians.rank == 7
    thin = audit(*planted_degeneracy("input rank", 3)).layers[0]
    assert thin.activations.rank == 4
    assert thin.free == 7 * 10 - 4 * 10
    unread = audit(*planted_degeneracy("zero out-weights", 2)).layers[0]
    assert unread.jacobians.rank == 8
    generic = audit(*planted_degeneracy("generic", 0)).layers[0].neurons
    assert generic is not None
    assert generic.groups == ()
    assert 0 < generic.gap < 0.5


def test_a_formula_that_does_not_hold_is_flagged() -> None:
    """With fewer samples than the groups' inputs have dimensions they cannot be independent."""
    model, x = planted_degeneracy("generic", 0)
    report = audit(model, x[:20])
    assert report.formula is not None
    assert not report.formula.valid
    assert report.rank.rank <= 60
    assert report.disagreement is not None
    assert "does not hold" in report.disagreement


@pytest.mark.parametrize("samples", [14, 30, 200])
@pytest.mark.parametrize("kind", ["generic", "copies", "always on", "dead", "wide"])
def test_outgoing_weights_that_are_independent_make_the_count_exact(kind: str, samples: int) -> None:
    """With fewer neurons than outputs the rank is a sum over neurons, and the formula can hold where the groups' inputs
    are far from independent (30 samples, 35 dimensions)."""
    generator = torch.Generator().manual_seed(3)
    model = Mlp((6, 9 if kind == "wide" else 5, 8)).double()
    first, second = linear_layers(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        if kind == "copies":
            first.weight[1], first.bias[1] = first.weight[0].clone(), first.bias[0].clone()
        elif kind == "always on":
            first.bias[:2] = 100.0
        elif kind == "dead":
            first.bias[0] = -100.0
    x = torch.randn(samples, 6, generator=generator, dtype=torch.float64)
    known = parameter_rank(model, x).rank
    folded = torch.cat([first.weight.T, first.bias[None]])
    assert hidden_layer_rank(folded, second.weight.T, with_constant(x)).rank == known
    found = effective_parameters(model, x)
    assert found.valid == (found.count == known)
    if (kind, samples) == ("generic", 30):
        assert found.valid
        assert sum(group.inputs for group in found.groups if group.neurons) > samples


#: width of a layer's input to the seed of its weights: none of its neurons is always on or off
SEEDS = {5: 0, 6: 0, 7: 4, 8: 3}


@pytest.mark.parametrize("widths", [(6, 8, 5, 3), (5, 7, 6, 4, 2)])
def test_free_directions_of_deep_generic_networks_are_their_hidden_neurons(widths: tuple[int, ...]) -> None:
    model = Mlp(widths, generator=torch.Generator().manual_seed(4)).double()
    x = torch.randn(800, widths[0], generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    with torch.no_grad():  # every neuron on for some samples and off for others
        for layer in linear_layers(model)[:-1]:
            layer.bias.zero_()
            layer.weight.normal_(generator=torch.Generator().manual_seed(SEEDS[layer.in_features]))
    report = audit(model, x)
    for layer in report.layers[:-1]:
        assert layer.neurons is not None
        assert layer.neurons.dead == ()
        assert layer.neurons.groups == ()
    assert report.formula is None
    assert report.free == sum(widths[1:-1])
    chunked = parameter_rank(model, x, 1e-6, max_bytes=1 << 22)
    assert chunked.rank == report.rank.rank


def test_audits_of_bad_input_and_of_any_chain() -> None:
    model, x = planted_degeneracy("generic", 0)
    with pytest.raises(FaultError, match=r"basis\.data"):
        audit(model, x[:0])
    with pytest.raises(FaultError, match=r"basis\.memory"):
        parameter_rank(model, x, max_bytes=10_000)
    with pytest.raises(FaultError, match=r"basis\.model"):
        effective_parameters(Mlp((6, 5, 4, 3)), x)
    config = TransformerConfig(n_layers=1, d_model=6, n_heads=2, d_head=3, d_vocab=5, n_ctx=3, d_mlp=8, norm="none")
    transformer = Transformer(config).double()
    chain = transformer_chain(transformer, ["L0.resid_pre", "L0.resid_mid", "logits"], 3)
    stream = torch.zeros(40, 3, 6, dtype=torch.float64)
    stream[..., :4] = torch.randn(40, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = audit_chain(chain, with_constant(stream))
    assert found["L0.resid_pre"][0].rank == 5  # four directions and the constant
    assert math.isinf(rank_of(torch.tensor([2.0, 0.0])).gap)


def test_the_sampled_coefficient_is_its_closed_form_on_a_quadratic_loss() -> None:
    curvatures = torch.tensor([5.0, 2.0, 1.0, 0.5, 0.0, 0.0], dtype=torch.float64)
    step, localisation = 4e-4, 1.0
    found = learning_coefficient(
        lambda p: 0.5 * (curvatures * p["w"].square()).sum(),
        {"w": torch.zeros(6, dtype=torch.float64)},
        1000,
        burn=200,
        draws=1500,
        chains=16,
        generator=torch.Generator().manual_seed(0),
        step=step,
        localisation=localisation,
    )
    exact = quadratic_coefficient(curvatures.numpy(), 1000, step=step, localisation=localisation)
    assert exact == pytest.approx(2.0, abs=0.15)  # half of the four parameters that matter
    assert found.interval[0] < exact < found.interval[1]
    assert found.error < 0.1
    assert found.r_hat < 1.05


def test_batches_with_the_same_gradient_give_the_chains_of_all_samples() -> None:
    """Whatever a batch adds to the loss at every parameter is taken out again."""
    start = {"w": torch.zeros(3, dtype=torch.float64)}
    curvatures = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    drawn: list[float] = []

    def batch() -> Callable[[dict[str, torch.Tensor]], torch.Tensor]:
        drawn.append(float(len(drawn)))
        return lambda p: (curvatures * p["w"] ** 2).sum() / 2 + drawn[-1]

    def chains(batches: object) -> np.ndarray:
        options: dict[str, Any] = {"step": 1e-3, "burn": 5, "draws": 20, "most_r_hat": None, "batches": batches}
        whole = learning_coefficient(
            lambda p: (curvatures * p["w"] ** 2).sum() / 2,
            start,
            500,
            generator=torch.Generator().manual_seed(0),
            **options,
        )
        return whole.trace

    np.testing.assert_allclose(chains(batch), chains(None), atol=1e-9)
    assert len(drawn) == 25


def test_restricted_to_a_part_only_that_part_moves() -> None:
    curvatures = torch.full((4,), 3.0, dtype=torch.float64)
    parameters = {"w": torch.zeros(4, dtype=torch.float64), "v": torch.zeros(2, dtype=torch.float64)}

    def loss(p: dict[str, torch.Tensor]) -> torch.Tensor:
        return 0.5 * (curvatures * p["w"].square()).sum() + p["v"].square().sum()

    mask = torch.tensor([True, True, False, False])
    settings = {"step": 2e-3, "localisation": 1.0, "burn": 100, "draws": 600, "chains": 12}
    found = learning_coefficient(
        loss, parameters, 500, restrict={"w": mask}, generator=torch.Generator().manual_seed(1), **settings
    )
    exact = quadratic_coefficient(np.full(2, 3.0), 500, step=2e-3, localisation=1.0)
    assert found.interval[0] < exact < found.interval[1]


def test_the_coefficient_of_a_layer_of_a_network() -> None:
    model, x = planted_degeneracy("generic", 0)
    target = model(x).detach()
    parameters = dict(model.named_parameters())

    def loss(p: dict[str, torch.Tensor]) -> torch.Tensor:
        return 0.5 * (functional_call(model, p, (x,)) - target).square().sum(1).mean()

    only = learning_coefficient(
        loss,
        parameters,
        N,
        step=4e-4,
        localisation=50.0,
        burn=200,
        draws=600,
        chains=8,
        restrict={"layers.1.weight": None, "layers.1.bias": None},
        generator=torch.Generator().manual_seed(2),
    )
    with torch.no_grad():
        acts = torch.cat([torch.relu(model.layers[0](x)), torch.ones(N, 1, dtype=torch.float64)], 1)
    curvatures = np.repeat(torch.linalg.eigvalsh(acts.T @ acts / N).numpy(), 3)
    exact = quadratic_coefficient(curvatures, N, step=4e-4, localisation=50.0)
    assert only.interval[0] < exact < only.interval[1]


def test_chains_that_disagree_are_refused() -> None:
    """A double well that no chain leaves, with chains started on its ridge."""

    def loss(p: dict[str, torch.Tensor]) -> torch.Tensor:
        w = p["w"][0]
        return 0.5 * (w.square() - 1).square() + 0.1 * torch.relu(w - 0.5)

    with pytest.raises(FaultError, match="disagree"):
        learning_coefficient(
            loss,
            {"w": torch.zeros(1, dtype=torch.float64)},
            1000,
            step=5e-3,
            localisation=0.0,
            burn=200,
            draws=300,
            generator=torch.Generator().manual_seed(0),
        )
    with pytest.raises(FaultError, match="not finite"):
        learning_coefficient(
            lambda p: p["w"].square().square().sum(), {"w": torch.ones(2)}, 1000, step=10.0, most_r_hat=None
        )
    with pytest.raises(FaultError, match=r"basis\.parameters"):
        learning_coefficient(lambda p: p["w"].sum(), {"w": torch.ones(2)}, 10, step=1.0, restrict={"u": None})


def test_diagnostics_of_chains() -> None:
    draws = np.random.default_rng(0).normal(size=(4, 4000))
    assert split_r_hat(draws) == pytest.approx(1.0, abs=0.01)
    assert effective_sample_size(draws) > 12_000
    correlated = np.zeros_like(draws)
    for t in range(1, draws.shape[1]):
        correlated[:, t] = 0.9 * correlated[:, t - 1] + draws[:, t]
    assert effective_sample_size(correlated) == pytest.approx(16_000 / 19, rel=0.35)  # (1 - 0.9) / (1 + 0.9)
    assert split_r_hat(draws + np.arange(4)[:, None]) > 1.3
