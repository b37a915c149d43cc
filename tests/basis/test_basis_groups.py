"""Groups: their axioms, their representations, and what networks learn of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from toulmin.basis.groups.fourier import community_shares, fourier_shares
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
    shares = energy_shares(np.stack([wave, wave * 0], 1), isotypic_projectors(group_table("Z11")))
    assert shares.max(0).tolist() == pytest.approx([1, 0])
    grid_a, grid_b = a[:, None] + 0 * a, 0 * a[:, None] + a
    both = np.stack([np.cos(2 * np.pi * 3 * (grid_a + grid_b) / 11 + 1), np.sin(2 * np.pi * 2 * grid_a / 11) + 5], 2)
    found = fourier_shares(np.concatenate([both, 0 * both[..., :1]], 2))
    assert found.labels() == ["3 (a+b) 1.00", "2 (a) 1.00", "-"]
    assert found.by_frequency[0, 2] == pytest.approx(1)


def test_shares_of_communities() -> None:
    energy = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 3.0], [9.0, 9.0]])
    assert community_shares(energy, np.array([0, 0, 1, -1])).tolist() == pytest.approx([1.0, 0.75])


def test_networks_train_side_by_side_as_they_would_alone(tmp_path: Path) -> None:
    data = group_data("Z5", 0.8)
    assert len(data.train) + len(data.test) == 25
    together = train_population(data, 6, [0, 1, 2], steps=60)
    alone = train_population(data, 6, [1], steps=60)
    torch.testing.assert_close(together.W_1[1], alone.W_1[0], rtol=1e-4, atol=1e-5)
    model = together.network(1)
    torch.testing.assert_close(model(data.inputs.double()), together(data.inputs)[1].double(), rtol=1e-4, atol=1e-5)
    loss, accuracy = held_out(together, data)
    assert loss.shape == accuracy.shape == (3,)
    again = train_population(data, 6, [0, 1, 2], steps=60, folder=tmp_path)
    torch.testing.assert_close(again.W_2, together.W_2, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["Z1", "Q8", "S9", "", "Zx"])
def test_unknown_groups_are_refused(name: str) -> None:
    with pytest.raises(FaultError, match=r"basis\.group"):
        group_table(name)
