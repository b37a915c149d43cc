"""Instantiating a GSN pattern: a case in which multiplicities, options and choices are still open.

After the GSN Community Standard v3, section 1:3. ``multiplicity = { CHILD = "1..n" }`` of a claim says how many copies
of a child the instantiated case has (``"0..1"``: the child is optional), ``choose = { n = "1", of = ["A", "B"] }`` how
many of its children are kept. :func:`instantiate` decides them, one by one:

- A child that is wanted k times is copied with everything that is reached only through it (support, contexts, controls,
  challenges). The copies of X are X-1 to X-k, and a parameter ``{p}`` that occurs only in what is copied becomes
  ``{p_1}`` to ``{p_k}``. Whatever else refers to something copied then refers to every copy.
- A child that is not wanted goes, with everything that is then reached from nowhere.

What is not decided stays open, and keeps the case from release (C101).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from toulmin.case.file.elements import ARRAYS, bounds_of
from toulmin.case.file.readiness import open_parameters
from toulmin.case.file.structure import split_link
from toulmin.case.file.tomlwriter import write_table
from toulmin.faults import Fault, FaultError

_HEADER = re.compile(r"^\s*\[\[\s*([A-Za-z0-9_-]+)\s*\]\]")
_TABLE = re.compile(r"^\s*\[")
_SUPPORT = ("supported_by", "strengthened_by", "in_context_of")
_MOST = 1000  # elements of an instantiated case, so that a slip of the keyboard does not fill the disk


@dataclass(frozen=True)
class _Block:
    """A piece of the file: an element, or anything else (``array`` is empty). ``text`` is how it was written."""

    array: str
    values: Mapping[str, Any]
    text: str
    comment: str = ""  #: the lines of comment above it

    @property
    def id(self) -> str:
        return str(self.values.get("id", ""))

    def changed(self, values: Mapping[str, Any]) -> _Block:
        """The element with other values, written anew if they differ."""
        if values == self.values:
            return self
        return replace(self, values=values, text=write_table(f"[[{self.array}]]", values) + "\n")


def open_marks(text: str) -> dict[str, str]:
    """What a pattern leaves to decide: the name to set, and what may be said of it (``1..n``; ``1 of A, B``)."""
    marks: dict[str, str] = {}
    for block in _blocks(text):
        marks |= {name: str(bounds) for name, bounds in block.values.get("multiplicity", {}).items()}
        choice = block.values.get("choose")
        if choice:
            marks[block.id] = f"{choice['n']} of {', '.join(choice['of'])}"
    return marks


def instantiate(text: str, settings: Mapping[str, str]) -> tuple[str, set[str]]:
    """Decide what ``settings`` name: a child's number of copies, or the kept children of a claim (``"A,B"``).

    Returns the text of the case, and the names that were used. Elements that do not change keep their own text.

    :raises FaultError: a number that the multiplicity does not allow, or a choice that is none of those offered.
    """
    blocks = _blocks(text)
    tops = _tops(blocks)
    used: set[str] = set()
    faults: list[Fault] = []
    while True:
        found = next(_decidable(blocks, settings, used), None)
        if found is None:
            break
        name, decide = found
        used.add(name)
        try:
            blocks = decide(blocks, name, settings[name].strip(), tops)
        except FaultError as wrong:
            faults += wrong.faults
        if len(blocks) > _MOST:
            raise FaultError(Fault("pattern.too_large", f"more than {_MOST} elements", name=name))
    if faults:
        raise FaultError(faults)
    return "".join(block.comment + block.text for block in blocks), used


_Decide = Callable[[list[_Block], str, str, set[str]], list[_Block]]


def _decidable(blocks: Iterable[_Block], settings: Mapping[str, str], used: set[str]) -> Iterator[tuple[str, _Decide]]:
    for block in blocks:
        for name in block.values.get("multiplicity", {}):
            if name in settings and name not in used:
                yield name, _multiply
        if block.values.get("choose") and block.id in settings and block.id not in used:
            yield block.id, _choose


def _multiply(blocks: list[_Block], child: str, wanted: str, tops: set[str]) -> list[_Block]:
    marks = [str(b.values["multiplicity"][child]) for b in blocks if child in b.values.get("multiplicity", {})]
    for mark in marks:
        low, high = bounds_of(mark)
        if not wanted.isascii() or not wanted.isdigit() or not low <= int(wanted) <= (_MOST if high is None else high):
            raise FaultError(Fault("pattern.multiplicity", f"{wanted!r} is not a number in {mark}", name=child))
    count = int(wanted)
    blocks = [block.changed(_without_mark(block.values, child)) for block in blocks]
    if count == 0:
        return _collected([block.changed(_without(block.values, {child})) for block in blocks], tops)
    if all(bounds_of(mark)[1] == 1 for mark in marks):
        return blocks
    region = _reached(blocks, {child}) - _reached(blocks, tops - {child}, without=child)
    inside = [block for block in blocks if block.id in region]
    outside = [block for block in blocks if block.id not in region]
    shared = {name for block in outside for name in open_parameters(block.text)}
    own = {name for block in inside for name in open_parameters(block.text)} - shared
    copies: list[_Block] = []
    for number in range(1, count + 1):
        names = {name: f"{name}-{number}" for name in region}
        words = {f"{{{name}}}": f"{{{name}_{number}}}" for name in own}
        for block in inside:
            values = _worded(_renamed(block.values, {name: [new] for name, new in names.items()}), words)
            copies.append(replace(block.changed(values), comment=block.comment if number == 1 else ""))
    everywhere = {name: [f"{name}-{number}" for number in range(1, count + 1)] for name in region}
    place = next(index for index, block in enumerate(blocks) if block.id in region)
    before = [block for block in blocks[:place] if block.id not in region]
    after = [block for block in blocks[place:] if block.id not in region]
    return [
        *(block.changed(_renamed(block.values, everywhere)) for block in before),
        *copies,
        *(block.changed(_renamed(block.values, everywhere)) for block in after),
    ]


def _choose(blocks: list[_Block], claim: str, wanted: str, tops: set[str]) -> list[_Block]:
    values = next(block.values for block in blocks if block.id == claim)
    offered, mark = list(values["choose"]["of"]), str(values["choose"]["n"])
    chosen = [name.strip() for name in wanted.split(",") if name.strip()]
    low, high = bounds_of(mark)
    if set(chosen) - set(offered) or not low <= len(set(chosen)) <= (len(offered) if high is None else high):
        raise FaultError(
            Fault("pattern.choice", f"{wanted!r} is not {mark} of {', '.join(offered)}", name=claim, hint="as A,B")
        )
    left_out = set(offered) - set(chosen)
    changed = [
        block.changed(_without({key: v for key, v in block.values.items() if key != "choose"}, left_out))
        if block.id == claim
        else block
        for block in blocks
    ]
    return _collected(changed, tops)


def _collected(blocks: list[_Block], tops: set[str]) -> list[_Block]:
    """Without the elements that nothing leads to any more; challenges of what is gone let go of it, or go."""
    kept = _reached(blocks, tops)
    gone = {block.id for block in blocks if block.id and block.id not in kept}
    left = [block for block in blocks if block.id not in gone]
    return [
        block.changed(values) if block.id else block
        for block in left
        if (values := _without(block.values, gone)).get("attacks", True)
    ]


def _without_mark(values: Mapping[str, Any], child: str) -> Mapping[str, Any]:
    marks = {name: bounds for name, bounds in values.get("multiplicity", {}).items() if name != child}
    rest = {key: value for key, value in values.items() if key != "multiplicity"}
    return rest | ({"multiplicity": marks} if marks else {})


def _without(values: Mapping[str, Any], gone: set[str]) -> dict[str, Any]:
    """An element that refers to none of ``gone``; a claim that has no support left is marked as undeveloped."""
    found = dict(_without_mark(values, ""))
    for name in gone:
        found = dict(_without_mark(found, name))
    for key in (*_SUPPORT, "attacks"):
        if key in found:
            found[key] = [one for one in found[key] if gone.isdisjoint(split_link(one) or (one,))]
    if "supported_by" in found and not found["supported_by"] and values["supported_by"]:
        del found["supported_by"]
        if "attacks" not in values:
            found["undeveloped"] = True
    if "choose" in found and gone & set(found["choose"]["of"]):
        found["choose"] = found["choose"] | {"of": [one for one in found["choose"]["of"] if one not in gone]}
    return found


def _renamed(values: Mapping[str, Any], names: Mapping[str, list[str]]) -> dict[str, Any]:
    """An element that refers to the new names of others, to all where there are several."""

    def each(reference: str) -> list[str]:
        link = split_link(reference)
        if link is None:
            return names.get(reference, [reference])
        parents, children = (names.get(end, [end]) for end in link)
        if link[0] in names and link[1] in names:  # each copy is linked to its own
            return [f"{parent}->{child}" for parent, child in zip(parents, children, strict=True)]
        return [f"{parent}->{child}" for parent in parents for child in children]

    found = dict(values)
    if found.get("id") in names:
        (found["id"],) = names[found["id"]]
    for key in (*_SUPPORT, "attacks"):
        if key in found:
            found[key] = [new for reference in found[key] for new in each(reference)]
    if found.get("control") in names:
        found["control"] = names[found["control"]][0]
    if "multiplicity" in found:
        marks = found["multiplicity"].items()
        found["multiplicity"] = {new: bounds for name, bounds in marks for new in names.get(name, [name])}
    if "choose" in found:
        offered = [new for name in found["choose"]["of"] for new in names.get(name, [name])]
        found["choose"] = found["choose"] | {"of": offered}
    return found


def _worded(value: Any, words: Mapping[str, str]) -> Any:
    """A value with words replaced in every text below it."""
    if isinstance(value, str):
        for word, new in words.items():
            value = value.replace(word, new)
        return value
    if isinstance(value, Mapping):
        return {key: _worded(part, words) for key, part in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_worded(part, words) for part in cast("list[Any]", value)]
    return value


def _tops(blocks: Iterable[_Block]) -> set[str]:
    """The goals that support nothing."""
    below = {name for block in blocks for key in _SUPPORT for name in block.values.get(key, ())}
    return {block.id for block in blocks if block.array == "goal"} - below


def _reached(blocks: Iterable[_Block], starts: set[str], without: str = "") -> set[str]:
    """Every element that the starts depend on, by support, contexts, controls and challenges."""
    near: dict[str, list[str]] = {}
    for block in blocks:
        control = block.values.get("control")
        below = [name for key in _SUPPORT for name in block.values.get(key, ())]
        near.setdefault(block.id, []).extend([*below, *([control] if control else [])])
        for target in block.values.get("attacks", ()):
            link = split_link(target)
            aim = link[0] if link else target.partition("/")[0]
            near.setdefault(aim, []).append(block.id)
    seen, queue = set(starts), list(starts)
    while queue:
        for found in near.get(queue.pop(), ()):
            if found not in seen and found != without:
                seen.add(found)
                queue.append(found)
    return seen


def _blocks(text: str) -> list[_Block]:
    """The file in pieces, in order.

    :raises FaultError: it is not TOML, or holds a text of several lines, inside which a header could hide.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FaultError(Fault("pattern.syntax", str(error))) from None
    if '"""' in text or "'''" in text:
        raise FaultError(Fault("pattern.syntax", "a pattern has no texts over several lines; name a prose file"))
    pieces: list[list[str]] = [[]]
    for line in text.splitlines(keepends=True):
        if (_TABLE.match(line) and not line.strip().startswith("[[")) or _HEADER.match(line):
            pieces.append([line])
        else:
            pieces[-1].append(line)
    counts: dict[str, int] = {}
    blocks: list[_Block] = []
    comment: list[str] = []
    for piece in pieces:
        end = len(piece)
        while end > 0 and (not piece[end - 1].strip() or piece[end - 1].lstrip().startswith("#")):
            end -= 1
        header = _HEADER.match(piece[0]) if piece else None
        array = header[1] if header and header[1] in ARRAYS else ""
        values: Mapping[str, Any] = {}
        if array:
            index = counts.get(array, 0)
            values, counts[array] = data[array][index], index + 1
        blocks.append(_Block(array, values, "".join(piece[:end]), "".join(comment)))
        comment = piece[end:]
    return [*blocks, _Block("", {}, "".join(comment))]
