"""Groups: their axioms, their representations, and what networks learn of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from toulmin.basis.groups.fourier import community_shares, fourier_shares, main_frequencies
from toulmin.basis.groups.population import group_data, held_out, train_population
from toulmin.basis.groups.tables import energy_shares, group_table, isotypic_projectors
from toulmin.faults import FaultError


@pytest.mark.parametrize(("name", "order", "abelian"), [("Z7", 7, True), ("D5", 10, False), ("S4", 24, False)])
def test_tables_are_groups(name: str, order: int, abelian: bool) -> None:
    table = group_table(name)
    index = np.arange(order)
    assert table.shape == (order, order)
    assert (table[0] == index).all()
    assert (table[:, 0] == index).all()
    assert all((np.sort(row) == index).all() for row in table)
    assert (table[table] == table[index[:, None, None], table[None]]).all()  # (ab)c = a(bc)
    assert bool((table == table.T).all()) is abelian


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("Z7", [1, 2, 2, 2]), ("D5", [1, 1, 4, 4]), ("S3", [1, 1, 4]), ("S4", [1, 1, 4, 9, 9])],
)
def test_projectors_are_those_of_the_representations(name: str, sizes: list[int]) -> None:
    """A representation of dimension d appears d times in the regular one; complex ones come in pairs."""
    table = group_table(name)
    projectors = isotypic_projectors(table)
    assert [round(float(np.trace(p))) for p in projectors] == sizes
    np.testing.assert_allclose(sum(projectors), np.eye(len(table)), atol=1e-9)
    np.testing.assert_allclose(projectors[0], np.full(table.shape, 1 / len(table)), atol=1e-9)
    for p in projectors:  # they commute with left multiplication
        for g in range(len(table)):
            np.testing.assert_allclose(p[np.ix_(table[g], table[g])], p, atol=1e-9)


def test_a_wave_belongs_to_its_frequency() -> None:
    a = np.arange(11)
    wave = np.cos(2 * np.pi * 3 * a / 11)
    shares = energy_shares(np.stack([wave + 2, wave * 0], 1), isotypic_projectors(group_table("Z11")))
    assert shares.max(0).tolist() == pytest.approx([1, 0])  # the mean is no part
    grid_a, grid_b = a[:, None] + 0 * a, 0 * a[:, None] + a
    both = np.stack([np.cos(2 * np.pi * 3 * (grid_a + grid_b) / 11 + 1), np.sin(2 * np.pi * 2 * grid_a / 11) + 5], 2)
    found = fourier_shares(np.concatenate([both, 0 * both[..., :1]], 2))
    assert found.labels() == ["3 (a+b) 1.00", "2 (a) 1.00", "-"]
    assert found.by_frequency[0, 2] == pytest.approx(1)
    kinds = np.stack([np.cos(2 * np.pi * k * w / 11) for k, w in ((4, grid_b), (5, grid_a - grid_b))], 2)
    noise = np.random.default_rng(0).normal(size=(11, 11, 1))
    assert fourier_shares(np.concatenate([kinds, noise], 2)).labels(0.2) == ["4 (b) 1.00", "5 (a-b) 1.00", "mixed"]
    assert fourier_shares(both[..., :1] * [1, 1e-12]).labels()[1] == "-"  # rounding


def test_the_main_frequencies_are_the_fewest_with_the_share() -> None:
    """Waves of energies 9, 4, 1 at frequencies 5, 2, 1, in two features with means."""
    a, b = np.meshgrid(np.arange(11), np.arange(11), indexing="ij")
    one = 3 * np.cos(2 * np.pi * 5 * (a + b) / 11) + np.sin(2 * np.pi * a / 11) + 7
    stream = np.stack([one, 2 * np.cos(2 * np.pi * 2 * (a - b) / 11) - 3], 2)
    expected = {0.5: [5], 0.64: [5], 0.65: [2, 5], 0.92: [2, 5], 0.94: [1, 2, 5]}
    assert {share: main_frequencies(stream, share).tolist() for share in expected} == expected


def test_shares_of_communities() -> None:
    energy = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 3.0], [9.0, 9.0]])
    assert community_shares(energy, np.array([0, 0, 1, -1])).tolist() == pytest.approx([1.0, 0.75])
    assert community_shares(energy * [1, 0], np.array([0, 0, 1, -1])).tolist() == pytest.approx([1.0, 0.0])
    assert community_shares(energy, np.full(4, -1)).tolist() == [0, 0]


def test_networks_train_side_by_side_as_they_would_alone(tmp_path: Path) -> None:
    data = group_data("Z5", 0.8)
    assert len(data.train) + len(data.test) == 25
    together = train_population(data, 6, [0, 1, 2], steps=60)
    alone = train_population(data, 6, [1], steps=60)
    torch.testing.assert_close(together.W_1[1], alone.W_1[0], rtol=1e-4, atol=1e-5)
    model = together.network(1)
    torch.testing.assert_close(model(data.inputs.double()), together(data.pairs)[1].double(), rtol=1e-4, atol=1e-5)
    loss, accuracy = held_out(together, data)
    for number in range(3):
        logits = together.network(number)(data.inputs[data.test].double())
        expected = torch.nn.functional.cross_entropy(logits, data.products[data.test])
        torch.testing.assert_close(loss[number], expected, rtol=1e-4, atol=1e-5)
        assert accuracy[number] == (logits.argmax(1) == data.products[data.test]).double().mean()
    assert sorted([*data.train.tolist(), *data.test.tolist()]) == list(range(25))
    wide = train_population(data, 32, [0], steps=200)
    assert (wide(data.pairs[data.train]).argmax(-1) == data.products[data.train]).all()
    batches = train_population(data, 32, [0, 1], steps=200, batch=10)
    assert (batches(data.pairs[data.train])[1].argmax(-1) == data.products[data.train]).all()
    assert not torch.equal(batches.W_1[0], wide.W_1[0])
    decayed = train_population(data, 6, [0, 1, 2], steps=60, decay=5.0)
    assert float(decayed.W_1.detach().norm()) < 0.7 * float(together.W_1.detach().norm())
    again = train_population(data, 6, [0, 1, 2], steps=60, folder=tmp_path)
    torch.testing.assert_close(again.W_2, together.W_2, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["Z1", "Q8", "S9", "", "Zx", "Z\N{SUPERSCRIPT TWO}", "Z0", "Z9999999"])
def test_unknown_groups_are_refused(name: str) -> None:
    with pytest.raises(FaultError, match=r"basis\.group"):
        group_table(name)
