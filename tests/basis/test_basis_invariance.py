"""What must not change: reparametrisation, batches, widening; closed forms against differentiation."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from toulmin.basis import (
    folded_chain,
    interaction_basis,
    line_nodes,
    load_graph,
    local_interaction_basis,
    neuron_basis,
    pca_basis,
    random_basis,
    save_graph,
    second_moment,
    site_inputs,
    svd_basis,
    transformer_chain,
    with_constant,
)
from toulmin.basis.closed_forms import ClosedForm
from toulmin.basis.jacobians import interactions
from toulmin.basis.norm_mlp import NormMlp
from toulmin.basis.planted import affine, planted_lines, reparametrised
from toulmin.basis.sections import ACTIVATIONS, Chain
from toulmin.faults import FaultError
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.subjects.config import Activation, Norm


def weights(sizes: tuple[int, ...], seed: int = 0) -> list[torch.Tensor]:
    """Weights of an MLP with biases folded in; each hidden layer has the constant neuron."""
    generator = torch.Generator().manual_seed(seed)
    found: list[torch.Tensor] = []
    for number, (a, b) in enumerate(itertools.pairwise(sizes)):
        drawn = torch.randn(a + 1, b, generator=generator, dtype=torch.float64) / a**0.5
        if number < len(sizes) - 2:
            constant = torch.zeros(a + 1, 1, dtype=torch.float64)
            constant[-1] = 1
            drawn = torch.cat([drawn, constant], 1)
        found.append(drawn)
    return found


def data(n: int = 300, d: int = 6, seed: int = 1) -> torch.Tensor:
    x = torch.randn(n, 1, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return with_constant(x)


@pytest.mark.parametrize("basis", [local_interaction_basis, interaction_basis])
def test_an_affine_map_of_every_hidden_layer_changes_nothing(basis) -> None:
    chain = folded_chain(weights((6, 7, 5, 3)))
    generator = torch.Generator().manual_seed(5)
    other = reparametrised(chain, [affine(width, generator) for width in (7, 5)])
    plain, moved = basis(chain, [data()]), basis(other, [data()])
    sites = zip(chain.activations(data()), other.activations(data()), plain.rotations, moved.rotations, strict=False)
    for x, y, a, b in sites:
        torch.testing.assert_close(a.strength, b.strength, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close((x @ a.C).abs(), (y @ b.C).abs(), rtol=1e-8, atol=1e-8)
    for a, b in zip(plain.edges, moved.edges, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)
    # the map is one: principal components do see it
    seen, unseen = (pca_basis(which, [data()]).edges[1].sort().values for which in (other, chain))
    assert not torch.allclose(seen, unseen, rtol=0.01)


def test_batches_and_their_order_change_nothing() -> None:
    chain, x = folded_chain(weights((6, 7, 5, 3))), data()
    whole = local_interaction_basis(chain, [x])
    parts = local_interaction_basis(chain, [x[200:], x[:120], x[120:200]])
    for a, b in zip(whole.edges, parts.edges, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def test_a_linear_network_has_no_interaction_but_of_each_feature_with_its_own() -> None:
    chain, x = planted_lines(3, (7, 6, 5, 4))
    found = local_interaction_basis(chain, [x], centred=False)
    for edges in found.edges[:-1]:
        big = edges / edges.max()
        assert int((big > 1e-10).sum(0).max()) == 1
        assert int((big > 1e-10).sum(1).max()) == 1
    # in the PCA basis they do interact: the test can fail
    other = pca_basis(chain, [x], centred=False).edges[0]
    assert int((other / other.max() > 1e-10).sum(0).max()) > 1


def test_widening_by_copies_leaves_the_number_of_features_and_their_interactions() -> None:
    W = weights((6, 5, 4, 3))
    plain = local_interaction_basis(folded_chain(W), [data()], gram_threshold=1e-10, strength_threshold=1e-10)
    copied = torch.cat([W[0][:, :2], W[0]], 1)  # neurons 0 and 1 twice, read with half the weight
    reading = torch.cat([0.5 * W[1][:2], 0.5 * W[1][:2], W[1][2:]], 0)
    wide = folded_chain([copied, reading, W[2]])
    found = local_interaction_basis(wide, [data()], gram_threshold=1e-10, strength_threshold=1e-10)
    assert [r.width for r in found.rotations] == [r.width for r in plain.rotations]
    for a, b in zip(plain.edges, found.edges, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def test_widening_by_neurons_that_nothing_reads_leaves_the_number_of_features_and_their_interactions() -> None:
    W = weights((6, 5, 4, 3))
    plain = local_interaction_basis(folded_chain(W), [data()], gram_threshold=1e-10, strength_threshold=1e-10)
    drawn = torch.randn(len(W[0]), 3, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    wide = folded_chain([torch.cat([drawn, W[0]], 1), torch.cat([torch.zeros_like(W[1][:3]), W[1]], 0), W[2]])
    found = local_interaction_basis(wide, [data()], gram_threshold=1e-10, strength_threshold=1e-10)
    assert [r.width for r in found.rotations] == [r.width for r in plain.rotations]
    for a, b in zip(plain.edges, found.edges, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
    # principal components see what is there, read or not
    assert pca_basis(wide, [data()]).rotations[1].width > plain.rotations[1].width


@pytest.mark.parametrize("norm", ["none", "rms"])
@pytest.mark.parametrize("last", [None, "L0.resid_mid"])
def test_closed_forms_of_a_transformer_are_its_derivatives(norm: Norm, last: str | None) -> None:
    config = TransformerConfig(
        n_layers=1, d_model=6, n_heads=2, d_head=4, d_vocab=11, n_ctx=4, d_mlp=9, norm=norm, activation="relu"
    )
    model = Transformer(config, torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".b_" in name or name == "b_U":
                parameter.normal_(generator=torch.Generator().manual_seed(len(name)))
    sites = ["L0.resid_pre", "L0.resid_mid", "L0.resid_post", "logits"]
    chain = transformer_chain(model, sites, 4, last_position=last)
    tokens = torch.randint(0, 11, (7, 4), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        activations = chain.activations(site_inputs(model, tokens, sites[0]))
        expected = model(tokens)
        torch.testing.assert_close(activations[-1], expected if last is None else expected[:, -1:], rtol=0, atol=1e-10)
    generator = torch.Generator().manual_seed(4)
    for number, section in enumerate(chain.sections):
        width, out = activations[number].shape[-1], activations[number + 1].shape[-1]
        readout = torch.randn(out, 5, generator=generator, dtype=torch.float64)
        C = torch.randn(width, width, generator=generator, dtype=torch.float64)
        plain = lambda x, section=section: section(x)  # noqa: E731
        for max_bytes in (1 << 30, 20_000):
            a = second_moment(section, [activations[number]], readout, max_bytes=max_bytes).matrix
            b = second_moment(plain, [activations[number]], readout, max_bytes=max_bytes).matrix
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
            parts = (C, torch.linalg.inv(C), readout)
            a = interactions(section, [activations[number]], *parts, max_bytes=max_bytes)
            b = interactions(plain, [activations[number]], *parts, max_bytes=max_bytes)
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("norm", ["none", "rms", "layer"])
@pytest.mark.parametrize(("activation", "gated"), [("silu", True), ("gelu_tanh", False), ("gelu", True)])
@pytest.mark.parametrize("biases", [(), ("mlp",)])
def test_closed_forms_of_mlps_behind_a_norm_are_their_derivatives(
    norm: Norm, activation: Activation, gated: bool, biases: tuple[str, ...]
) -> None:
    sizes: dict[str, Any] = {
        "n_layers": 1,
        "d_model": 6,
        "n_heads": 2,
        "d_head": 4,
        "d_vocab": 11,
        "n_ctx": 4,
        "d_mlp": 9,
    }
    config = TransformerConfig(**sizes, norm=norm, activation=activation, gated=gated, biases=biases)
    model = Transformer(config, torch.Generator().manual_seed(1)).double()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    (section,) = transformer_chain(model, ["L0.resid_mid", "L0.resid_post"], 2).sections
    resid = torch.randn(5, 2, 6, generator=generator, dtype=torch.float64)
    x = with_constant(resid)
    layer = model.layers[0]
    assert layer.mlp is not None

    # through the site of the neurons the section has no closed form
    into, out = transformer_chain(model, ["L0.resid_mid", "L0.mlp_post", "L0.resid_post"], 2).sections

    def plain(x: torch.Tensor) -> torch.Tensor:
        return out(into(x))

    with torch.no_grad():
        expected = resid + layer.mlp(layer.norm2(resid))
        torch.testing.assert_close(section(x)[..., :-1], expected, rtol=0, atol=1e-9)
        torch.testing.assert_close(section(x), plain(x), rtol=0, atol=1e-9)
    readout = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    C = torch.randn(7, 7, generator=generator, dtype=torch.float64)
    inverse = torch.linalg.inv(C)
    for B in (readout, None):
        for nodes in (None, line_nodes("trapezoid"), line_nodes("gauss-legendre", 1)):
            a = second_moment(section, [x], B, nodes=nodes).matrix
            b = second_moment(plain, [x], B, nodes=nodes).matrix
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)
            for max_bytes in (1 << 30, 4000):
                a = interactions(section, [x], C, inverse, B, nodes=nodes, max_bytes=max_bytes)
                b = interactions(plain, [x], C, inverse, B, nodes=nodes)
                torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-8)
    assert isinstance(section, ClosedForm)
    features = x @ C
    for kept in (slice(0, 3), slice(0, 7)):
        found = section.read(features[..., kept], inverse[kept], readout)
        torch.testing.assert_close(found, plain(features[..., kept] @ inverse[kept]) @ readout, rtol=1e-9, atol=1e-9)
    if not isinstance(section, NormMlp):  # without norm and gate
        return
    read = section.reader(features, inverse, readout)
    outputs = torch.tensor([True, False, True, True, False])
    for count in range(8):  # few are summed, many are what is left of all
        some = torch.randperm(7, generator=generator) < count
        known = plain(features[..., some] @ inverse[some]) @ readout[:, outputs]
        torch.testing.assert_close(read(some, outputs), known, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_constant_neuron_writes_one_and_slopes_are_derivatives(activation: str) -> None:
    """The root of GELU was 1.4e-4 too large, and with it every b_out."""
    act, slope, root = ACTIVATIONS[activation]
    assert float(act(torch.tensor(root, dtype=torch.float64))) == pytest.approx(1, abs=1e-12)
    x = torch.linspace(-3, 3, 20, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(act(x).sum(), x)
    torch.testing.assert_close(slope(x), expected, rtol=0, atol=1e-12)


def test_random_sources_estimate_the_moment_with_an_error_that_falls_as_the_root() -> None:
    chain, x = folded_chain(weights((6, 7, 5, 3))), data(50)
    exact = second_moment(chain.sections[0], [x], None).matrix
    errors = []
    for sources in (16, 256):
        found = second_moment(
            chain.sections[0], [x], None, sources=sources, generator=torch.Generator().manual_seed(sources)
        )
        assert found.error is not None
        gap = (found.matrix - exact).abs()
        assert float((gap / found.error.clamp(min=1e-12))[found.error > 1e-9].median()) < 2
        errors.append(float(found.error.mean()))
    assert 2.5 < errors[0] / errors[1] < 6.5  # the root of 16 is 4


@pytest.mark.parametrize("basis", [local_interaction_basis, interaction_basis])
def test_a_basis_from_random_sources_comes_close_to_the_exact_one(basis) -> None:
    chain, x = folded_chain(weights((6, 7, 5, 3))), data(100)
    exact = basis(chain, [x]).rotations[0]
    gaps = []
    for sources in (8, 512):
        found = basis(chain, [x], sources=sources, generator=torch.Generator().manual_seed(0)).rotations[0]
        assert found.width == exact.width
        gaps.append(float(((found.strength - exact.strength) / exact.strength[1:].max())[1:].abs().max()))
    assert 0 < gaps[1] < 0.02
    assert gaps[1] < gaps[0]


@pytest.mark.parametrize(
    "basis", [neuron_basis, random_basis, svd_basis, pca_basis, local_interaction_basis, interaction_basis]
)
@pytest.mark.parametrize("centred", [True, False])
def test_every_basis_has_an_inverse_and_keeps_the_constant_apart(basis, centred: bool) -> None:
    chain, x = folded_chain(weights((6, 7, 5, 3))), data()
    found = basis(chain, [x], centred=centred)
    for rotation, at in zip(found.rotations, chain.activations(x), strict=False):
        eye = torch.eye(rotation.width, dtype=torch.float64)
        torch.testing.assert_close(rotation.C_inverse @ rotation.C, eye, rtol=0, atol=1e-9)
        assert rotation.constant is centred
        features = at @ rotation.C
        if centred:
            torch.testing.assert_close(features[..., 0], features[..., 0] * 0 + features[0, 0, 0])
            torch.testing.assert_close(features[..., 1:].mean((0, 1)), features.new_zeros(rotation.width - 1))
        if rotation.width == at.shape[-1]:  # nothing was dropped
            torch.testing.assert_close(features @ rotation.C_inverse, at)


def test_a_random_basis_is_a_rotation_drawn_from_its_seed() -> None:
    chain, x = folded_chain(weights((6, 7, 5, 3))), data()
    first, same, other = (random_basis(chain, [x], seed=seed).rotations for seed in (0, 0, 1))
    for a, b, c in zip(first, same, other, strict=True):
        axes = a.C[:-1, 1:]
        torch.testing.assert_close(axes @ axes.T, torch.eye(len(axes), dtype=torch.float64))
        assert float(axes.abs().max()) < 0.99  # no axis is a neuron
        assert torch.equal(a.C, b.C)
        assert not torch.allclose(a.C, c.C)


def test_the_svd_basis_of_a_linear_section_is_that_of_its_weights() -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(7, 6, generator=generator, dtype=torch.float64)
    chain = Chain(("a", "b"), folded_chain([weight], "identity").sections, (False, False))
    x = torch.randn(50, 1, 7, generator=generator, dtype=torch.float64)
    found = svd_basis(chain, [x], centred=False).rotations[0]
    left, values, _ = torch.linalg.svd(weight)
    torch.testing.assert_close(found.strength[:6], values.square())
    overlap = (left[:, :6].T @ found.C[:, :6]).abs()
    torch.testing.assert_close(overlap, torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-9)


def test_bad_input_is_named() -> None:
    with pytest.raises(FaultError, match=r"basis\.rule"):
        line_nodes("simpson")  # type: ignore[arg-type]
    with pytest.raises(FaultError, match=r"basis\.formula"):
        local_interaction_basis(folded_chain(weights((6, 5, 3))), [data()], formula="overlap", sources=4)
    with pytest.raises(FaultError, match="no data"):
        local_interaction_basis(folded_chain(weights((6, 5, 3))), [])
    config = TransformerConfig(n_layers=1, d_model=4, n_heads=1, d_head=4, d_vocab=5, n_ctx=3, d_mlp=4)
    with pytest.raises(FaultError, match=r"L0\.resid_mid"):
        transformer_chain(Transformer(config), ["L0.resid_pre", "L0.middle"], 3)
    # attention that adds positions to queries and keys is no function of the stream alone; its MLP is
    model = Transformer(replace(config, positions="shortformer"))
    assert transformer_chain(model, ["L0.resid_mid", "L0.resid_post"], 3).sites == ("L0.resid_mid", "L0.resid_post")
    with pytest.raises(FaultError, match="shortformer"):
        transformer_chain(model, ["L0.resid_pre", "L0.resid_mid"], 3)


def test_a_graph_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = local_interaction_basis(folded_chain(weights((6, 7, 5, 3))), [data()])
    labels = {r.site: [f"{r.site} {n}" for n in range(r.width)] for r in found.rotations}
    save_graph(tmp_path / "graph.safetensors", found, labels)
    again, read = load_graph(tmp_path / "graph.safetensors")
    assert read == labels
    save_graph(tmp_path / "again", again, dict(reversed(labels.items())))
    assert (tmp_path / "again").read_bytes() == (tmp_path / "graph.safetensors").read_bytes()
    for a, b in zip(found.rotations, again.rotations, strict=True):
        assert (a.site, a.kept, a.constant) == (b.site, b.kept, b.constant)
        for name in ("C", "C_inverse", "strength", "spectrum"):
            assert torch.equal(getattr(a, name), getattr(b, name))
    assert all(torch.equal(a, b) for a, b in zip(found.edges, again.edges, strict=True))
    for wrong in ({"nowhere": ["a"]}, {"layers.0": ["a"]}):
        with pytest.raises(FaultError, match=r"basis\.labels"):
            save_graph(tmp_path / "other", found, wrong)
    (tmp_path / "bad").write_text("nothing")
    save_file({"a": torch.zeros(1)}, tmp_path / "tensors")
    for name in ("bad", "tensors", "missing"):
        with pytest.raises(FaultError, match=r"basis\.file"):
            load_graph(tmp_path / name)
