"""The studies of the basis package: what they declare, find and draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from toulmin.basis import folded_chain, neuron_basis, pca_basis, svd_basis, with_constant
from toulmin.basis.degeneracy.spectra import rank_of
from toulmin.basis.groups.population import GroupData, group_data
from toulmin.basis.groups.tables import group_table, isotypic_projectors
from toulmin.basis.studies.data import BasisName, Prepared, build_basis, over_models, prepare_addition, prepare_language
from toulmin.basis.studies.degeneracy import PREDICTORS, Degeneracy, _around_gap, within_cells
from toulmin.basis.studies.interaction import Interaction
from toulmin.basis.studies.modules import ModulesStudy
from toulmin.evidence import Evidence, GraphFigure, Items, Store
from toulmin.faults import FaultError
from toulmin.report import render_figure
from toulmin.studies import Resolver, Run, Study, execute, re_derive
from toulmin.subjects import Mlp


def run(study: Study, folder) -> Evidence:
    store = Store(folder / "store")
    record = execute(study, store, Run(folder / "work"))
    assert re_derive(record, store) == []
    assert record.positive_control is not None
    assert record.positive_control.detected, record.positive_control.description
    for figure in record.figures:
        assert "<svg" in str(render_figure(figure))
    return record


def test_correlations_are_taken_within_cells() -> None:
    """Two cells whose means run the other way than what happens inside each."""
    cells = np.repeat(["one", "two"], 5)
    inside = np.tile(np.arange(5.0), 2)
    shift = np.repeat([0.0, 100.0], 5)
    assert within_cells(inside + shift, inside - shift, cells) == pytest.approx(1)
    assert within_cells(inside, -inside, cells) == pytest.approx(-1)
    assert within_cells(np.ones(10), inside, cells) is None
    assert within_cells(np.array([1.0, 1, 2, 2]), np.array([1.0, 2, 3, 4]), np.array(["a"] * 4)) == pytest.approx(
        np.corrcoef([1.5, 1.5, 3.5, 3.5], [1, 2, 3, 4])[0, 1]
    )
    # ranks of a cell are shares of its size: 2 networks, and 4 in the other order
    a, b = np.array([0.0, 1, 0, 1, 2, 3]), np.array([0.0, 1, 3, 2, 1, 0])
    inner = 4 * np.var([1 / 4, 2 / 4, 3 / 4, 1])
    outer = 2 * np.var([1 / 2, 1])
    assert within_cells(a, b, np.array([*"xxyyyy"])) == pytest.approx((outer - inner) / (outer + inner))


def test_degeneracy_of_a_population(tmp_path) -> None:
    record = run(Degeneracy.preset("tiny"), tmp_path)
    assert record.measures["rho.rank"].n == 10
    # 11 inputs with the constant, of which one-hot vectors span 9: two free directions a neuron beside its scale
    table = record.tables[0]
    assert [row[0] for row in table.rows] == ["Z5/6", "Z5/8"]
    assert record.measures["rho.free"].value == pytest.approx(-record.measures["rho.rank"].value)
    assert record.figures[-1].title == "Singular values of the parameter Jacobian around the rank"
    assert record.measures["structure.llc"].n == record.measures["rho.llc"].n


def test_spectra_are_drawn_around_their_gap() -> None:
    rank = rank_of(torch.tensor([8.0, 4.0, 2.0, 1e-9, 0.0], dtype=torch.float64))
    assert _around_gap(rank, most=2) == [[-1, 0.5], [0, 0.25], [1, pytest.approx(1.25e-10)], [2, 1e-20]]
    assert [place for place, _ in _around_gap(rank)] == [-2, -1, 0, 1, 2]


def test_edges_needed_of_modular_addition(tmp_path) -> None:
    record = run(Interaction.preset("tiny"), tmp_path)
    needed = {basis: record.measures[f"needed.{basis}"].value for basis in ("pca", "lib")}
    assert record.measures["ratio.lib"].value == pytest.approx(needed["lib"] / needed["pca"])
    assert record.measures["fewer.lib"].value == float(needed["lib"] < needed["pca"])
    assert {row[0] for row in record.tables[0].rows} == {
        "L0.resid_pre to L0.resid_mid",
        "L0.resid_mid to L0.resid_post",
        "L0.resid_post to logits",
    }
    rows: list[Any] = list(record.tables[0].rows)
    per_section = sum(row[3] for row in rows)
    assert per_section == needed["lib"]


@pytest.mark.slow
def test_edges_needed_of_a_language_model(tmp_path) -> None:
    study = Interaction(
        subjects=("embedded:story-4l",),
        task="language",
        sequences=1,
        length=9,
        layers=(1, -1),
        bases=("pca", "lib"),
        tolerance=0.5,
        most_evaluations=6,
    )
    record = run(study, tmp_path)
    assert record.measures["needed.lib"].value > 0
    assert [row[0] for row in record.tables[0].rows] == [f"L{n}.resid_mid to L{n}.resid_post" for n in (1, 3)]
    drawn = next(figure for figure in record.figures if isinstance(figure, GraphFigure))
    assert drawn.layers == ("L1.resid_mid", "L1.resid_post", "L3.resid_mid", "L3.resid_post")
    assert {edge.source.split(".")[0] + edge.target.split(".")[0] for edge in drawn.edges} == {"01", "23"}


def test_texts_are_scored_through_the_rest_of_the_model() -> None:
    parts = prepare_language("embedded:story-4l", Resolver(), (0, -1, 3), sequences=2, length=6, seed=0)
    assert [part.chain.sites[0] for part in parts] == ["L0.resid_mid", "L3.resid_mid"]
    scores = [part.score(part.chain.activations(part.test)[-1]) for part in parts]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    assert 0.1 < scores[0] < 4
    assert parts[0].score(parts[0].test * torch.tensor(-1.0)) > scores[0] + 0.5
    assert (parts[0].build.dtype, parts[0].build.shape, parts[0].test.shape) == (
        torch.float64,
        (10, 1, 129),
        (10, 1, 129),
    )
    with pytest.raises(FaultError, match=r"layer 4[\s\S]*layer -5"):
        prepare_language("embedded:story-4l", Resolver(), (4, -5), sequences=1, length=2, seed=0)


def test_modules_of_modular_addition(tmp_path) -> None:
    record = run(ModulesStudy.preset("tiny"), tmp_path)
    (row,) = record.tables[0].rows
    assert 0 < record.measures["one_community.pca"].value <= 1
    assert record.measures["modularity.pca"].value > 0
    assert row[1]  # it has frequencies


@pytest.mark.parametrize(
    ("change", "message"),
    [({"bases": ("lib",)}, "pca"), ({"bases": ("pca", "pca")}, "different"), ({"subjects": ("a:b", "a:b")}, "twice")],
)
def test_wrong_configurations_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Interaction.model_validate({**Interaction.presets["tiny"], **change})


@pytest.mark.parametrize("change", [{"groups": ("Z5", "Z5")}, {"widths": (6, 6)}, {"widths": (0,)}])
def test_wrong_populations_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match=r"twice|greater than or equal to 1"):
        Degeneracy.model_validate({**Degeneracy.presets["tiny"], **change})


def test_what_is_measured_of_a_network_whose_weights_are_waves() -> None:
    """Two neurons that always fire and are waves over the group, and one that never fires."""
    table, a = group_data("Z5", 0.8), np.arange(5)
    everything = torch.arange(25)
    data = GroupData("Z5", table.pairs, table.products, everything, everything)
    projectors, study = isotypic_projectors(group_table("Z5")), Degeneracy.preset("tiny")
    for second, count in ((1, 1), (2, 2)):
        model = Mlp((10, 3, 5)).double()
        first = model.layers[0]
        assert isinstance(first, torch.nn.Linear)
        with torch.no_grad():
            first.weight.zero_()
            first.weight[0, :5] = torch.from_numpy(np.cos(2 * np.pi * a / 5))
            first.weight[1, :5] = torch.from_numpy(np.sin(2 * np.pi * second * a / 5))
            first.bias.copy_(torch.tensor([50.0, 50.0, -50.0]))
        row, rank = study._measure_network(model, data, projectors, 0)
        assert rank.rank == row["rank"]
        assert row["dead"] == 1
        assert row["spectral"] == pytest.approx(2)
        assert row["representations"] == pytest.approx(count)
        assert row["free"] == 53 - row["rank"]
        small = study.model_copy(update={"sampler_batch": 5})
        some, _ = small._measure_network(model.double(), data, projectors, 0)
        assert some["llc"] != row["llc"]
        for name in ("rank", "formula", "valid", "spectral"):  # weights in float32 by now
            assert some[name] == pytest.approx(row[name], rel=1e-5)


def test_networks_whose_chains_disagree_are_left_out_of_the_learning_coefficient() -> None:
    order = np.arange(8.0)
    columns = {name: order for name in (*PREDICTORS, "loss", "gap", "valid", "seed")}
    columns |= {"accuracy": np.full(8, 0.5), "r_hat": np.ones(8), "cell": np.array(["Z5/6"] * 8)}
    columns["llc"], columns["r_hat"] = np.array([*order[:-1], -1.0]), np.array([1.0] * 7 + [9.0])
    metadata = {"planted": [["dead", 1, 84, 84, 84], ["dead", 3, 66, 65, 66]]}
    found = Degeneracy.preset("tiny").summarise(Items([f"n{n}" for n in range(8)], columns, metadata=metadata))
    assert (found.measures["rho.llc"].value, found.measures["rho.llc"].n) == (pytest.approx(1), 7)
    assert (found.measures["rho.rank"].value, found.measures["rho.rank"].n) == (pytest.approx(1), 8)
    assert found.measures["llc_refused"].value == pytest.approx(1 / 8)
    # against the representations, which are in the order of everything else; in the reverse order they go against it
    assert found.measures["structure.llc"].value == found.measures["structure.rank"].value == pytest.approx(1)
    items = Items([f"n{n}" for n in range(8)], columns | {"representations": order[::-1]}, metadata=metadata)
    assert Degeneracy.preset("tiny").summarise(items).measures["structure.rank"].value == pytest.approx(-1)
    assert found.positive_control is not None
    assert not found.positive_control.detected
    assert found.positive_control.measures["formula_exact"].value == 0.5


def test_pairs_are_split_and_scored_on_those_held_out() -> None:
    prepared = prepare_addition("embedded:addition-23", Resolver(), 0.7)
    assert (len(prepared.build), len(prepared.test), prepared.modulus) == (370, 159, 23)
    together = torch.cat([prepared.build.float(), prepared.test]).flatten(1)
    assert prepared.everything is not None
    assert together.unique(dim=0).shape == prepared.everything.float().flatten(1).unique(dim=0).shape
    outputs = prepared.chain.activations(prepared.test)[-1]
    assert prepared.score(outputs) > 0.95
    assert prepared.score(outputs.roll(1, -1)) < 0.05


def planted() -> Prepared:
    """A permutation of four numbers with weights: one edge for each output is all that is needed."""
    weight = torch.zeros(5, 4, dtype=torch.float64)
    weight[[2, 0, 3, 1], [0, 1, 2, 3]] = torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64)
    chain = folded_chain([weight])
    x = with_constant(torch.randn(400, 1, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1)
    target = chain.activations(x)[-1]
    return Prepared(chain, x, x, lambda y: float((y - target).square().mean()), lower_is_better=True)


def test_edges_needed_of_a_permutation_are_its_own(tmp_path) -> None:
    prepared = planted()
    study = Interaction.model_validate({**Interaction.presets["tiny"], "task": "language", "tolerance": 1e-9})
    found = study._needed([prepared], "neurons", Run(tmp_path))
    assert (found["needed"], found["possible"], found["whole"]) == ([4], [16], 0)
    assert [[after, before - 1] for after, before, _ in found["graph"][0]] == [[0, 2], [1, 0], [2, 3], [3, 1]]
    powers = np.array([strength for *_, strength in found["graph"][0]])
    assert found["spread"] == pytest.approx([powers.sum() ** 2 / (np.square(powers).sum() * 16)])


def test_bases_are_those_of_their_names() -> None:
    prepared = planted()
    makers: dict[BasisName, Any] = {"neurons": neuron_basis, "svd": svd_basis, "pca": pca_basis}
    for name, make in makers.items():
        found = build_basis(name, prepared, seed=0, max_bytes=1 << 20)
        assert torch.equal(found.rotations[0].C, make(prepared.chain, [prepared.build]).rotations[0].C)
    one, two = (build_basis("random", prepared, seed=seed, max_bytes=1 << 20).rotations[0].C for seed in (0, 1))
    assert not torch.allclose(one, two)


def test_ratios_are_geometric_means_and_intervals_stay_within_the_range() -> None:
    """Two networks that need a half and twice, one that needs the same: no difference on average."""
    study = Interaction.model_validate({**Interaction.presets["tiny"], "subjects": ("a:1", "a:2", "a:3")})
    columns = {f"{name}/{basis}/0": np.full(3, 40.0) for name in ("needed", "spread") for basis in ("pca", "lib")}
    columns |= {"needed/lib/0": np.array([20.0, 80.0, 40.0]), "whole": np.array([0.9, 1.0, 1.0])}
    first = {"tested": [{"40": 1.0, "1": 0.1}], "graph": [[[0, 1, 2.0]]], "strength": [[2.0, 1.0]]}
    planted = {"lib": 5, "pca": 20, "features": 5}
    metadata = {"sections": ["x to y"], "first": {"pca": first, "lib": first}, "planted": planted}
    metadata["model_sections"] = [["x to y"], ["x to y"], ["z to w"]]  # the last layers of models of different depth
    found = study.summarise(Items(list(study.subjects), columns, metadata=metadata))
    assert [row[0] for row in found.tables[0].rows] == ["x to y", "x to y", "z to w"]
    ratio = found.measures["ratio.lib"]
    assert ratio.value == pytest.approx(1)
    assert ratio.interval is not None
    assert ratio.interval.low * ratio.interval.high == pytest.approx(1)
    assert ratio.interval.high == pytest.approx(np.exp(4.302653 * np.log(2) / np.sqrt(3)), rel=1e-5)
    assert found.measures["fewer.lib"].value == pytest.approx(1 / 3)
    assert found.measures["equivalent.lib"].value == pytest.approx(1 / 3)
    assert found.positive_control is not None
    assert found.positive_control.detected
    for wrong in ({"lib": 6}, {"pca": 5}):
        items = Items(list(study.subjects), columns, metadata={**metadata, "planted": {**planted, **wrong}})
        control = study.summarise(items).positive_control
        assert control is not None
        assert not control.detected
    wide = over_models(ModulesStudy.measures["one_community"], np.array([0.1, 0.95])).interval
    assert wide is not None
    assert (wide.low, wide.high) == (0, 1)


def test_a_model_of_another_kind_is_refused(tmp_path) -> None:
    study = Interaction(subjects=("embedded:induction-2l",), bases=("pca",))
    with pytest.raises(FaultError, match=r"basis\.model"):
        execute(study, Store(tmp_path / "store"), Run(tmp_path / "work"))
