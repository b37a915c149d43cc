"""The formats that cases are imported from and exported to: names, file endings, readers and writers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from toulmin.case.file.elements import ARRAYS, CaseFile
from toulmin.case.interchange.gsn2x import read_gsn2x, write_gsn2x
from toulmin.case.interchange.items import Document, case_of, document_of, note_extensions, refuse
from toulmin.case.interchange.markdown import write_markdown
from toulmin.case.interchange.sacm import write_sacm
from toulmin.case.interchange.sacm_reader import read_sacm
from toulmin.case.interchange.tea import read_tea, write_tea
from toulmin.faults import ExitCode, Fault, FaultError


@dataclass(frozen=True)
class Format:
    """How a format is read (not all are) and written, and the ending of its files."""

    ending: str
    write: Callable[[Document], str]
    read: Callable[[bytes, str], Document] | None = None


FORMATS: Mapping[str, Format] = {
    "gsn2x": Format(".yaml", write_gsn2x, read_gsn2x),
    "sacm": Format(".xmi", write_sacm, read_sacm),
    "tea": Format(".json", write_tea, read_tea),
    "markdown": Format(".md", write_markdown),
}


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise FaultError(
            Fault("interchange.format", "no such format", name=name, hint=f"there are: {', '.join(FORMATS)}")
        )
    return FORMATS[name]


def guess_format(path: Path) -> str:
    """The format by a file's ending.

    :raises FaultError: the ending is none of those known.
    """
    endings = {".yaml": "gsn2x", ".yml": "gsn2x", ".xmi": "sacm", ".xml": "sacm", ".json": "tea", ".md": "markdown"}
    name = endings.get(path.suffix.lower())
    if name is None:
        raise refuse("format", f"cannot tell the format from {path.suffix or 'no ending'}: say --format", str(path))
    return name


def export_case(parsed: CaseFile, name: str) -> tuple[str, list[Fault]]:
    """The text of a case in another format, and what the format has no place for.

    :raises FaultError: no such format.
    """
    document = document_of(parsed)
    for decision in parsed.acceptance:
        document.lose("a decision stays with the case it was made for", decision.of)
    note_extensions(document)
    return _format(name).write(document), document.losses


def import_case(path: Path, name: str | None = None) -> tuple[CaseFile, list[Fault]]:
    """Read a case of another tool, and what of it a case has no place for, line by line.

    :raises FaultError: no such format, one that is only written, a file that is not of the format at all, or one in
        which no element was found.
    """
    name = name or guess_format(path)
    form = _format(name)
    if form.read is None:
        raise refuse("format", "that format is only written", str(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise refuse("unreadable", error.strerror or str(error), str(path)) from None
    try:
        document = form.read(data, str(path))
    except RecursionError:
        raise refuse("syntax", "nested too deeply", str(path)) from None
    parsed = case_of(document)
    if not any(getattr(parsed, kind) for kind in ARRAYS):
        nothing = Fault("interchange.empty", f"no element of a case was found in it, read as {name}", str(path))
        raise FaultError([nothing, *document.losses], ExitCode.INVALID)
    return parsed, document.losses
