"""Where each card of the argument diagram stands.

A layered tree with cards of unequal breadth, after Reingold and Tilford (1981): every subtree is laid out by itself and
keeps a contour, the least and greatest breadth it takes on each of its layers; siblings are pushed together until their
contours touch, and a parent stands over the middle of its first and last child. Contours hold whole cards with the
chips beside them, so nothing can overlap. Two arrangements come from the same procedure: left to right, where layers
are columns and chips hang below their card, and top down, where layers are rows and chips stand to the right.

bigtree's implementation was measured first and not kept. It knows only points, so cards had to be laid out as several
siblings abreast, and on random arguments of 300 nodes up to 36 pairs of boxes still overlapped, in ten times the time
and on a drawing at least twice as large as this one's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from toulmin.report.outline import Branch, Outline

Way = Literal["lr", "td"]
Contour = list[tuple[float, float]]

CARD, STUB, CHIP = (240, 94), (240, 30), (226, 26)
_CHIP_STEP, _CHIP_INDENT, _CHIPS_A_COLUMN = 31, 14, 3
_LEVEL = {"lr": CARD[0] + 62, "td": CARD[1] + 62}
_GAP = {"lr": 16, "td": 28}
_MARGIN = 20


@dataclass(frozen=True)
class Box:
    """A rectangle, in pixels from the top left."""

    x: float
    y: float
    width: float
    height: float

    def meets(self, other: Box) -> bool:
        """Whether the two overlap."""
        apart_x = self.x + self.width <= other.x or other.x + other.width <= self.x
        return not (apart_x or self.y + self.height <= other.y or other.y + other.height <= self.y)


@dataclass(frozen=True)
class Layout:
    """Boxes of branches by key, and of chips by (key of the host, index), in one arrangement."""

    cards: Mapping[str, Box]
    chips: Mapping[tuple[str, int], Box]
    width: float
    height: float


def extent(branch: Branch, way: Way) -> tuple[float, float]:
    """Breadth a branch takes before and after its own middle, with half the gap to its neighbours on each side."""
    size = STUB if branch.away else CARD
    if way == "lr":
        return (size[1] + _GAP[way]) / 2, (size[1] + _GAP[way]) / 2 + _CHIP_STEP * len(branch.beside)
    columns = -(-len(branch.beside) // _CHIPS_A_COLUMN)
    return (size[0] + _GAP[way]) / 2, (size[0] + _GAP[way]) / 2 + columns * (CHIP[0] + 14)


def _join(contours: list[Contour]) -> tuple[list[float], Contour]:
    """Push subtrees together: the offset of each root from the first, and the contour of all."""
    offsets: list[float] = []
    whole: Contour = []
    for contour in contours:
        shared = zip(whole, contour, strict=False)
        offset = max((right - low for (_, right), (low, _) in shared), default=0.0)
        offsets.append(offset)
        for depth, (low, high) in enumerate(contour):
            if depth < len(whole):
                whole[depth] = (whole[depth][0], high + offset)
            else:
                whole.append((low + offset, high + offset))
    return offsets, whole


def _breadths(tree: Outline, way: Way) -> dict[str, float]:
    """Where the middle of each branch stands across the layers, from 0."""
    contours: dict[str, Contour] = {}
    from_parent: dict[str, float] = {}
    for key in reversed(tree.branches):  # children before their parents
        branch = tree.branches[key]
        before, after = extent(branch, way)
        offsets, below = _join([contours.pop(child) for child in branch.children])
        middle = (offsets[0] + offsets[-1]) / 2 if offsets else 0.0
        for child, offset in zip(branch.children, offsets, strict=True):
            from_parent[child] = offset - middle
        contours[key] = [(-before, after), *((low - middle, high - middle) for low, high in below)]
    (root,) = contours
    found = {root: -min(low for low, _ in contours[root])}
    for key, branch in tree.branches.items():
        if branch.parent is not None:
            found[key] = found[branch.parent] + from_parent[key]
    return found


def lay_out(tree: Outline, way: Way) -> Layout:
    """Place every card and chip; ``way`` is ``"lr"`` (left to right) or ``"td"`` (top down). No two boxes overlap."""
    breadths = _breadths(tree, way)
    cards: dict[str, Box] = {}
    chips: dict[tuple[str, int], Box] = {}
    for key, branch in tree.branches.items():
        size = STUB if branch.away else CARD
        along = float(_MARGIN + branch.level * _LEVEL[way])
        across = _MARGIN + breadths[key]
        card = Box(along, round(across - size[1] / 2, 1), *size)
        if way == "td":
            card = Box(round(across - size[0] / 2, 1), along, *size)
        cards[key] = card
        for index in range(len(branch.beside)):
            chips[key, index] = _chip(card, index, way)
    boxes = [*cards.values(), *chips.values()]
    width, height = max(box.x + box.width for box in boxes), max(box.y + box.height for box in boxes)
    return Layout(cards, chips, width + 2 * _MARGIN, height + 2 * _MARGIN)


def _chip(card: Box, index: int, way: Way) -> Box:
    if way == "lr":
        return Box(card.x + _CHIP_INDENT, card.y + card.height + 5 + index * _CHIP_STEP, *CHIP)
    column, row = divmod(index, _CHIPS_A_COLUMN)
    return Box(card.x + card.width + 12 + column * (CHIP[0] + 14), card.y + 3 + row * _CHIP_STEP, *CHIP)
