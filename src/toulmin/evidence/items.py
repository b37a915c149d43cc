"""Items: one row an independent unit, the raw numbers from which a study's measures are summarised.

On disk: ``items.jsonl``, one line a unit, for a person to read (and for an edit to be found), with a last line for the
metadata, if there are any; and, where a column has more than one axis or there are arrays without a unit axis,
``items.safetensors``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from toulmin.evidence.canonical import canonical_json
from toulmin.faults import ExitCode, Fault, FaultError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS, ARRAYS = "items.jsonl", "items.safetensors"
Column: TypeAlias = "NDArray[Any]"


@dataclass(frozen=True)
class Items:
    """What ``collect`` leaves.

    ``units`` are the ids of the independent units (prompts, games, seeds), all distinct: their number is n.
    ``columns`` have the unit as first axis; one-dimensional ones may be float, int, bool or str. ``clusters`` names, a
    unit, the group it must be resampled with. ``arrays`` have no unit axis. ``files`` become artefacts of the record.
    ``metadata`` is whatever else must be kept, as JSON values; under ``"run"`` is what the runner knew when it
    collected: the seed, the study, and the SHA-256 of each of ``files``; ``"data_notes"`` lists what a reader of the
    record must know of the data, and becomes its ``notes``. ``contents`` identifies what was asked of each unit (a hash
    of the input, :func:`content_of`): units with one content are one cluster whatever their ids, and have together the
    weight of one in a mean.

    Names of columns, arrays and metadata are in sorted order from the start, as they are once they are stored, so that
    no summary can depend on the order in which they were collected.
    """

    units: Sequence[str]
    columns: Mapping[str, Column] = field(default_factory=dict[str, "Column"])
    clusters: Sequence[str] | None = None
    arrays: Mapping[str, Column] = field(default_factory=dict[str, "Column"])
    files: Mapping[str, Path] = field(default_factory=dict[str, Path])
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    contents: Sequence[str] | None = None

    FILES: ClassVar = (ROWS, ARRAYS)  #: the files that items are kept in

    def __post_init__(self) -> None:
        import numpy as np

        faults: list[Fault] = []
        if len(set(self.units)) != len(self.units):
            repeated = next(u for i, u in enumerate(self.units) if u in set(self.units[:i]))
            faults.append(Fault("items.duplicate_unit", "two units have the same id", name=repeated))
        if self.clusters is not None and len(self.clusters) != len(self.units):
            faults.append(Fault("items.clusters", f"{len(self.clusters)} clusters for {len(self.units)} units"))
        if self.contents is not None and len(self.contents) != len(self.units):
            faults.append(Fault("items.contents", f"{len(self.contents)} contents for {len(self.units)} units"))
        for name, column in self.columns.items():
            if len(column) != len(self.units):
                faults.append(Fault("items.length", f"{len(column)} rows for {len(self.units)} units", name=name))
        for name, column in [*self.columns.items(), *self.arrays.items()]:
            if column.dtype.kind == "f" and not np.isfinite(column).all():
                where = np.argwhere(~np.isfinite(column))[0].tolist()
                faults.append(Fault("items.not_finite", f"NaN or infinite at {where}", name=name))
        try:
            object.__setattr__(self, "metadata", json.loads(canonical_json(dict(self.metadata))))
        except (TypeError, ValueError) as error:  # no JSON value, or NaN
            code = "items.not_finite" if isinstance(error, ValueError) else "items.metadata"
            faults.append(Fault(code, str(error), name="metadata"))
        if faults:
            numerical = any(f.code == "items.not_finite" for f in faults)
            raise FaultError(faults, ExitCode.NUMERICAL if numerical else ExitCode.INVALID)
        for name in ("columns", "arrays"):
            object.__setattr__(self, name, dict(sorted(getattr(self, name).items())))
        if self.contents is not None and len(set(self.contents)) < len(self.contents):
            object.__setattr__(self, "clusters", join_groups(self.clusters or self.units, self.contents))

    @property
    def n(self) -> int:
        """The number of independent observations: of distinct clusters, or of units where none are clustered."""
        return len(self.units) if self.clusters is None else len(set(self.clusters))

    @property
    def repeats(self) -> int:
        """How many units have the content of an earlier one."""
        return 0 if self.contents is None else len(self.contents) - len(set(self.contents))

    @property
    def weights(self) -> Column | None:
        """What each unit counts in a mean, so that every content counts once; None where no content is repeated."""
        import numpy as np

        if self.contents is None or not self.repeats:
            return None
        counts = Counter(self.contents)
        return np.array([1 / counts[content] for content in self.contents])

    def distinct(self) -> Items:
        """The items with one row a content: the mean of its units in each column, under the name of the first."""
        import numpy as np

        from toulmin.evidence.units import average_by_unit

        if self.contents is None or not self.repeats:
            return self
        first = [self.contents.index(content) for content in dict.fromkeys(self.contents)]
        columns = {
            name: average_by_unit(self.contents, {name: np.asarray(column, dtype=np.float64)})[1][name]
            if column.dtype.kind in "fiub"
            else column[first]
            for name, column in self.columns.items()
        }
        clusters = None if self.clusters is None else [self.clusters[i] for i in first]
        contents = [self.contents[i] for i in first]
        return replace(
            self, units=[self.units[i] for i in first], columns=columns, clusters=clusters, contents=contents
        )

    def __getitem__(self, name: str) -> Column:
        return self.columns[name] if name in self.columns else self.arrays[name]


def content_of(*parts: object) -> str:
    """A short hash that identifies what was asked: token ids, a text, a position; equal parts, equal hashes."""
    return hashlib.sha256(canonical_json(list(parts)).encode(errors="surrogatepass")).hexdigest()[:16]


def join_groups(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Labels of the finest grouping that keeps together what has one label in either: the first member's first
    label."""
    parent = list(range(len(first)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for labels in (first, second):
        seen: dict[str, int] = {}
        for index, label in enumerate(labels):
            a, b = root(seen.setdefault(label, index)), root(index)
            parent[max(a, b)] = min(a, b)
    return [first[root(index)] for index in range(len(first))]


def write_items(items: Items, folder: Path) -> list[str]:
    """Write ``items`` into ``folder``; the names of the files written."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

    flat = {name: column.tolist() for name, column in items.columns.items() if column.ndim == 1}
    with (folder / ROWS).open("w", encoding="utf-8", newline="\n") as file:
        for index, unit in enumerate(items.units):
            row: dict[str, Any] = {"unit": unit}
            if items.clusters is not None:
                row["cluster"] = items.clusters[index]
            if items.contents is not None:
                row["content"] = items.contents[index]
            row["values"] = {name: values[index] for name, values in flat.items()}
            try:
                file.write(canonical_json(row) + "\n")
            except UnicodeEncodeError:  # half of a surrogate pair, as JSON can smuggle in
                fault = Fault("items.encoding", "a text that UTF-8 cannot hold", name=ascii(unit))
                raise FaultError(fault) from None
        if items.metadata:
            file.write(canonical_json({"metadata": dict(items.metadata)}) + "\n")
    tensors = {f"column/{name}": c for name, c in items.columns.items() if c.ndim != 1}
    tensors |= {f"array/{name}": a for name, a in items.arrays.items()}
    if not tensors:
        return [ROWS]
    try:
        save_file({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}, folder / ARRAYS)
    except SafetensorError as error:  # how that library says that a disk is full
        known = next(
            (code for code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT) if f"os error {code})" in str(error)), 0
        )
        raise OSError(known or errno.EIO, str(error) if not known else os.strerror(known), str(folder)) from None
    return [ROWS, ARRAYS]


def read_items(folder: Path) -> Items:
    """Read what :func:`write_items` wrote.

    :raises FaultError: a line is not what it should be (with its number), or the tensors cannot be read.
    """
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

    path = folder / ROWS
    units: list[str] = []
    clusters: list[str] = []
    contents: list[str] = []
    values: dict[str, list[Any]] = {}
    metadata: dict[str, Any] = {}
    faults: list[Fault] = []
    try:
        # not splitlines: a text may hold U+2028 and its like
        lines = path.read_bytes().decode().removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FaultError(Fault("items.unreadable", str(error), file=str(path)), ExitCode.EVIDENCE) from None
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if "metadata" in row and number == len(lines):
                metadata = dict(row["metadata"])
                continue
            units.append(row["unit"])
            if "cluster" in row:
                clusters.append(row["cluster"])
            if "content" in row:
                contents.append(row["content"])
            for name, value in row["values"].items():
                values.setdefault(name, []).append(value)
        except (ValueError, KeyError, TypeError, AttributeError):
            faults.append(Fault("items.line", "not an item", file=str(path), line=number))
    if faults:
        raise FaultError(faults, ExitCode.EVIDENCE)
    columns: dict[str, Column] = {name: np.array(column) for name, column in values.items()}
    arrays: dict[str, Column] = {}
    if (folder / ARRAYS).exists():
        try:
            tensors: dict[str, Column] = load_file(folder / ARRAYS)
        except (SafetensorError, OSError) as error:
            raise FaultError(
                Fault("items.unreadable", str(error), file=str(folder / ARRAYS)), ExitCode.EVIDENCE
            ) from None
        for name, tensor in tensors.items():
            role, _, rest = name.partition("/")
            (columns if role == "column" else arrays)[rest] = tensor
    return Items(units, columns, clusters or None, arrays, metadata=metadata, contents=contents or None)
