"""Studies written as TOML.

    study = "tasks.behaviour"
    preset = "demo"              # optional: start from this setting

    [configuration]
    subject = "embedded:induction-2l"
    n = 200

Strict: an unknown key is a fault with its line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from toulmin.evidence import Store
from toulmin.faults import Fault, FaultError, LocatedToml, faults_of_validation, read_toml
from toulmin.studies.kinds import find_study
from toulmin.studies.references import Resolver
from toulmin.studies.study import Study

KEYS = ("study", "preset", "configuration")


def parse_study(
    table: Mapping[str, Any], *, located: LocatedToml | None = None, prefix: tuple[str | int, ...] = ()
) -> Study:
    """The study a table describes; ``prefix`` is the table's path in ``located``.

    :raises FaultError: unknown kind, unknown preset, unknown keys, values of the wrong type: all that can be seen
        at once.
    """
    file = located.file if located else None

    def fault(code: str, message: str, *path: str) -> Fault:
        whole = (*prefix, *path)
        line = located.line_of(whole) if located else None
        return Fault(code, message, file=file, line=line, name=".".join(map(str, whole)) or None)

    faults = [fault("study.unknown_key", "unknown key", key) for key in table if key not in KEYS]
    kind, preset, given = table.get("study"), table.get("preset"), table.get("configuration", {})
    if not isinstance(kind, str):
        faults.append(fault("study.no_kind", 'say which study: study = "..."', "study"))
    if not isinstance(given, dict):
        faults.append(fault("study.configuration", "must be a table", "configuration"))
    cls: type[Study] | None = None
    if isinstance(kind, str):
        try:
            cls = find_study(kind)
        except FaultError as faulty:
            where = fault("", "", "study")
            faults += [Fault(f.code, f.message, file, where.line, f.name, f.hint) for f in faulty.faults]
    if cls is not None and preset is not None and preset not in cls.presets:
        faults.append(fault("study.unknown_preset", f"there are: {', '.join(cls.presets)}", "preset"))
    if cls is None or not isinstance(given, dict) or faults:
        raise FaultError(faults)
    values: dict[str, Any] = {**(cls.presets[preset] if preset is not None else {}), **given}
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise FaultError(
            faults_of_validation(
                error,
                "study.configuration",
                file=file,
                line_of=located.line_of if located else None,
                prefix=(*prefix, "configuration"),
            )
        ) from None


def read_study(
    path: str | Path,
    store: Store | None = None,
    *,
    trust_mtime: bool = False,
    download: bool = False,
    preset: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Study:
    """Read a study from a TOML file; relative paths in it are relative to the file.

    :param preset: start from this setting instead of the file's.
    :param changes: settings that replace those of the file's configuration.
    :raises FaultError: see :func:`parse_study` and :func:`toulmin.faults.read_toml`.
    """
    located = read_toml(path)
    table = dict(located.data)
    if preset is not None:
        table["preset"] = preset
    if changes and isinstance(table.get("configuration", {}), dict):
        table["configuration"] = {**table.get("configuration", {}), **changes}
    resolver = Resolver(Path(path).resolve().parent, store, trust_mtime, download)
    return parse_study(table, located=located).at(resolver)


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Settings written as ``key=value``: a value is read as TOML, or else taken as text; dots in a key nest tables.

    :raises FaultError: ``study.setting`` for each text without a key or an equals sign.
    """
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    for text in settings:
        key, equals, value = text.partition("=")
        names = [name.strip() for name in key.split(".")]
        if not equals or not all(names):
            faults.append(Fault("study.setting", "must be KEY=VALUE", name=text))
            continue
        table: dict[str, Any] = found
        for name in names[:-1]:
            below: Any = table.setdefault(name, {})
            if isinstance(below, dict):
                table = below  # type: ignore[assignment]
            else:
                faults.append(Fault("study.setting", "is given a value and a table", name=key))
                break
        else:
            table[names[-1]] = _toml_value(value.strip())
    if faults:
        raise FaultError(faults)
    return found


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
