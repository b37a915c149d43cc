"""Multiplication tables of finite groups, and the parts of functions on them that belong to each representation."""

from __future__ import annotations

import itertools
import re

import numpy as np
from jaxtyping import Float, Int

from toulmin.faults import Fault, FaultError


def group_table(name: str) -> Int[np.ndarray, "G G"]:
    """The table of a group by name, entry [a, b] the number of a b: ``Z23`` (cyclic: addition modulo 23), ``D12``
    (dihedral, of 24 elements), ``S4`` (all permutations of four things); element 0 is the identity.

    :raises FaultError: ``basis.group`` another name, or more than 720 elements.
    """
    kind, size = name[:1], int(name[1:]) if re.fullmatch("[0-9]{1,3}", name[1:]) else 0
    order = {"Z": size, "D": 2 * size, "S": int(np.prod(range(1, min(size, 9) + 1)))}.get(kind, 0)
    if not size or not 2 <= order <= 720:
        message = "groups are Z, D or S followed by a number, such as Z23, D12 or S4, of 2 to 720 elements"
        raise FaultError(Fault("basis.group", message, name=name))
    if kind == "Z":
        index = np.arange(size)
        return (index[:, None] + index) % size
    if kind == "D":  # element r + size s is the rotation r after s reflections: a r b = r^-1 with a reflection between
        rotation, flip = np.arange(order) % size, np.arange(order) // size
        turned = (rotation[:, None] + np.where(flip[:, None] == 1, -1, 1) * rotation) % size
        return turned + size * ((flip[:, None] + flip) % 2)
    elements = list(itertools.permutations(range(size)))
    number = {element: index for index, element in enumerate(elements)}
    return np.array([[number[tuple(a[i] for i in b)] for b in elements] for a in elements])


def isotypic_projectors(table: Int[np.ndarray, "G G"]) -> list[Float[np.ndarray, "G G"]]:
    """Orthogonal projectors of functions on a group onto its irreducible representations (real, so a complex one comes
    with its conjugate), the trivial one first, then by dimension of what they project on.

    They are the eigenspaces of a central element, a combination of the sums over conjugacy classes (each with the class
    of the inverses) with generic coefficients, in the regular representation.
    """
    order = len(table)
    inverse = table.argmin(1)  # the identity is element 0
    of: dict[int, frozenset[int]] = {}
    for element in range(order):
        if element not in of:
            conjugates = frozenset(int(table[table[g, element], inverse[g]]) for g in range(order))
            both = conjugates | {int(inverse[c]) for c in conjugates}
            of.update(dict.fromkeys(both, both))
    classes = list(dict.fromkeys(of.values()))
    central = np.zeros((order, order))
    for weight, members in zip(np.random.default_rng(0).normal(size=len(classes)), classes, strict=True):
        for element in members:
            central[table[element], np.arange(order)] += weight
    values, vectors = np.linalg.eigh((central + central.T) / 2)
    starts = np.flatnonzero(np.diff(values, prepend=-np.inf) > 1e-8 * np.abs(values).max())
    spaces = [vectors[:, a:b] for a, b in itertools.pairwise([*starts, order])]
    trivial = [space for space in spaces if space.shape[1] == 1 and abs(space.sum()) > 0.999 * order**0.5]
    rest = [space for space in spaces if not any(space is one for one in trivial)]
    rest.sort(key=lambda space: space.shape[1])
    return [space @ space.T for space in [*trivial, *rest]]


def energy_shares(
    weights: Float[np.ndarray, "G K"], projectors: list[Float[np.ndarray, "G G"]]
) -> Float[np.ndarray, "R K"]:
    """The share of each column's energy in each representation but the trivial one; zero for a column that is zero."""
    parts = np.stack([np.square(projector @ weights).sum(0) for projector in projectors[1:]])
    total = parts.sum(0)
    return parts / np.where(total > 0, total, 1)
