"""XML without surprises: no document types, so no entities that grow or reach out; a bound on size and depth."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers import expat

from toulmin.faults import ExitCode, Fault, FaultError

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 200


class _Refused(Exception):
    pass


def parse_xml(data: bytes, file: str, lines: dict[Element, int] | None = None) -> Element:
    """The root element of ``data``.

    Names are ``{namespace}local``, as in :mod:`xml.etree`. Where ``lines`` is given, it gets the line of each element.

    :raises FaultError: not XML (with the line), too large, nested too deeply, or with a document type.
    """
    if len(data) > MAX_BYTES:
        raise FaultError(Fault("file.too_large", f"larger than {MAX_BYTES} bytes", file), ExitCode.INVALID)
    builder, parser = TreeBuilder(), expat.ParserCreate(namespace_separator="}")
    depth = 0

    def refuse(*_: object) -> None:
        raise _Refused("a document type is refused: it could define entities")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise _Refused(f"nested deeper than {MAX_DEPTH}")
        element = builder.start(_qualified(name), {_qualified(key): value for key, value in attributes.items()})
        if lines is not None:
            lines[element] = parser.CurrentLineNumber

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_qualified(name))

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
        return builder.close()
    except _Refused as error:
        raise FaultError(Fault("xml.refused", str(error), file, parser.CurrentLineNumber)) from None
    except (expat.ExpatError, ParseError, AssertionError, ValueError, LookupError) as error:  # LookupError: encodings
        message = str(error).split(": line")[0] or "not XML"
        raise FaultError(Fault("xml.syntax", message, file, parser.ErrorLineNumber or None)) from None


def _qualified(name: str) -> str:
    return "{" + name if "}" in name else name


def read_xml(path: Path) -> Element:
    """Read and parse a file; see :func:`parse_xml`."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FaultError(Fault("file.too_large", f"larger than {MAX_BYTES} bytes", str(path)))
        return parse_xml(path.read_bytes(), str(path))
    except OSError as error:
        raise FaultError(Fault("file.unreadable", error.strerror or str(error), str(path))) from None


def local_name(name: str) -> str:
    """The name without its namespace."""
    return name.rpartition("}")[2]
