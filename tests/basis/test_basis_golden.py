"""The reference implementation's Gram matrices, spectra, bases and interactions, on an MLP and on modular addition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from toulmin.basis import (
    folded_chain,
    gram_matrices,
    interactions,
    line_nodes,
    second_moment,
    site_inputs,
    transformer_chain,
    with_constant,
)
from toulmin.basis.alignment import overlap_moments, rotate_by_overlap
from toulmin.basis.nodes import Rule
from toulmin.basis.rotation import pca_rotation, rotate, whiten
from toulmin.subjects import load

# centred, rule, intervals, whether the outputs are rotated to their PCA basis, kind of basis
SETTINGS: dict[str, tuple[bool, Rule, int, bool, str]] = {
    "A_jac_centre": (True, "gradient", 0, False, "jacobian"),
    "B_jac_gl4": (False, "gauss-legendre", 4, False, "jacobian"),
    "E_jac_rotfinal": (False, "gradient", 0, True, "jacobian"),
    "C_1-0a_gl4": (False, "gauss-legendre", 4, False, "overlap"),
    "D_svd_centre": (True, "gradient", 0, False, "pca"),
}


def difference(ours: torch.Tensor, theirs: np.ndarray) -> float:
    assert tuple(ours.shape) == theirs.shape
    return float((ours - torch.from_numpy(theirs)).abs().max())


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("closed", [True, False])
def test_an_mlp_as_the_reference(name: str, closed: bool, shared: Path) -> None:
    """G, Lambda, C C^T and E to 1e-10, by the closed forms and by differentiation."""
    centred, rule, intervals, rotated, kind = SETTINGS[name]
    with np.load(shared / "golden/basis/mlp_10_14_12_6.npz") as file:
        golden = {key: file[key] for key in file.files}
    chain = folded_chain([torch.from_numpy(golden[f"W{i}"]) for i in range(3)])
    x = with_constant(torch.from_numpy(golden["X"]))[:, None]
    activations, nodes = chain.activations(x), line_nodes(rule, intervals)
    grams = gram_matrices(chain, [x[:200], x[200:]], centred=centred)
    readout = whiten(grams[3], constant=False, centred=False, threshold=1e-12).W if rotated else None
    for number in (2, 1, 0):
        place = f"{name}/layers.{number}"
        form = chain.sections[number]
        section = form if closed else lambda value, form=form: form(value)
        inputs = [activations[number][:200], activations[number][200:]]
        white = whiten(grams[number], constant=True, centred=centred, threshold=1e-12)
        assert difference(grams[number].matrix, golden[f"{place}/G"]) < 1e-10
        if kind == "pca":
            found = pca_rotation(chain.sites[number], white)
        elif kind == "overlap":
            found, every = rotate_by_overlap(
                chain.sites[number], white, overlap_moments(section, inputs, readout, nodes=nodes), threshold=1e-9
            )
            assert difference(every, golden[f"{place}/Lambda"]) < 1e-10
        else:
            moment = second_moment(section, inputs, readout, nodes=nodes)
            found, every = rotate(chain.sites[number], white, moment.matrix, threshold=1e-9)
            assert difference(every, golden[f"{place}/Lambda"]) < 1e-10
        C = torch.from_numpy(golden[f"{place}/C"])
        assert difference(found.C @ found.C.T, (C @ C.T).numpy()) < 1e-10
        torch.testing.assert_close(
            found.C_inverse @ found.C, torch.eye(found.width, dtype=torch.float64), rtol=0, atol=1e-9
        )
        edges = interactions(section, inputs, found.C, found.C_inverse, readout, nodes=nodes)
        assert difference(edges, golden[f"{name}/edge{number}"]) < 1e-8  # float32 in the reference
        readout = found.C


@pytest.mark.slow
def test_modular_addition_as_the_reference(shared: Path) -> None:
    """Gram matrices, the spectra above 1e-9 of the largest with the reference's next basis, and the interactions."""
    with np.load(shared / "golden/basis/modadd_seed0.npz") as file:
        golden = {key: file[key] for key in file.files}
    with np.load(shared / "golden/basis/modadd_split.npz") as file:
        train = file["train"]
    folder = shared / "data/modadd/lr-0.001_bs-10000_norm-None_2023-11-28_16-07-19"
    model = load(f"dir:{folder}", dtype=torch.float64).model
    tokens = torch.tensor([[a, b, 113] for a in range(113) for b in range(113)])[torch.from_numpy(train)]
    sites = ["L0.resid_pre", "L0.resid_mid", "L0.resid_post", "logits"]
    chain = transformer_chain(model, sites, 3, last_position="L0.resid_mid")
    with torch.no_grad():
        x = site_inputs(model, tokens, sites[0])
        activations = chain.activations(x)
        torch.testing.assert_close(activations[-1][:, 0], model(tokens)[:, -1], rtol=0, atol=1e-11)
    grams = gram_matrices(chain, [x], centred=True)
    names = ["ln1_0", "ln2_0", "unembed"]
    for number, name in enumerate(names):
        theirs = golden[f"G_{name}"]
        assert difference(grams[number].matrix, theirs) < 1e-12 * max(1.0, np.abs(theirs).max())
        C, inverse = (torch.from_numpy(golden[f"{kind}_{name}"]) for kind in ("C", "C_pinv"))
        readout = None if name == "unembed" else torch.from_numpy(golden[f"C_{names[number + 1]}"])
        white = whiten(grams[number], constant=True, centred=True, threshold=1e-14)
        moment = second_moment(chain.sections[number], [activations[number]], readout)
        _, every = rotate(name, white, moment.matrix, threshold=1e-14)
        expected = torch.from_numpy(golden[f"Lambda_{name}"])
        large = expected[1:] > 1e-9 * expected.max()
        count = int(large.sum())
        assert count > 20
        ours, theirs = every[1 : count + 1], expected[1:][large]
        assert float(((ours - theirs).abs() / theirs).max()) < 1e-5
        assert float((ours - theirs).abs().max() / theirs.max()) < 1e-8
        assert abs(float(every[0] - expected[0])) < 1e-8 * float(expected.max())
        edges = interactions(chain.sections[number], [activations[number]], C, inverse, readout)
        theirs = torch.from_numpy(golden[f"E_{name}"])
        assert float((edges - theirs).abs().max() / theirs.max()) < 1e-6
