"""Points of the board by number and by name.

An *action* is ``y * size + x`` with row 0 at the top and column 0 at the left; ``size * size`` is the pass: the order
of a network's policy vector. A *vertex* is GTP's name of it: a column letter without I, and the row from the bottom.
"""

from __future__ import annotations

from toulmin.faults import Fault, FaultError

COLUMNS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"
SMALLEST, LARGEST = 2, 19


def vertex_of(action: int, size: int) -> str:
    """The GTP name of an action: ``"D4"``, or ``"pass"``."""
    if action == size * size:
        return "pass"
    if not 0 <= action < size * size:
        raise FaultError(Fault("go.vertex", f"{action} is no action on a board of {size}"))
    return f"{COLUMNS[action % size]}{size - action // size}"


def action_of(vertex: str, size: int) -> int:
    """The action that a GTP vertex names; :class:`FaultError` (``go.vertex``) where it names none on this board."""
    name = vertex.strip().upper()
    if name == "PASS":
        return size * size
    column = COLUMNS.find(name[:1]) if name else -1
    if 0 <= column < size and name[1:].isascii() and name[1:].isdigit() and 1 <= int(name[1:]) <= size:
        return (size - int(name[1:])) * size + column
    raise FaultError(Fault("go.vertex", f"{vertex!r} is not a point of a board of {size}", name=vertex[:20]))


def handicap_points(size: int, stones: int) -> list[int]:
    """The fixed handicap points of the GTP specification (section 4.1.1), as actions.

    :raises FaultError: ``go.handicap`` where the specification has none: below 7 points a side, fewer than 2 or more
        than 9 stones, or more than 4 on even boards and on 7x7.
    """
    most = 0 if size < 7 else (4 if size % 2 == 0 or size == 7 else 9)
    if not 2 <= stones <= most:
        raise FaultError(Fault("go.handicap", f"no fixed placement of {stones} stones on a board of {size}"))
    low = 3 if size >= 13 else 2
    high, mid = size - 1 - low, size // 2
    # rows count from the top: the specification fills lower left, upper right, upper left, lower right
    corners = [(low, high), (high, low), (low, low), (high, high)]
    sides = {4: [], 5: [(mid, mid)], 6: [(low, mid), (high, mid)], 7: [(low, mid), (high, mid), (mid, mid)]}
    sides[8] = [*sides[6], (mid, high), (mid, low)]
    sides[9] = [*sides[8], (mid, mid)]
    chosen = corners[:stones] if stones <= 4 else corners + sides[stones]
    return [y * size + x for x, y in chosen]
