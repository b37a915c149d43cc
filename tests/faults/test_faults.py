"""Faults say where; TOML keys know their lines."""

from __future__ import annotations

import pickle

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from toulmin.faults import (
    ExitCode,
    Fault,
    FaultError,
    LocatedToml,
    MissingExtra,
    faults_of_validation,
    read_toml,
    require_extra,
)

TEXT = """\
a = 1
[[node]]
id = "x"

[[node]]
id = "y"
[node.binding]
"quoted key" = 2
list = [1,
  2, { k = 3 }]
[[node.part]]
p = 1
[[node.part]]
p = 2
[other.deep]
z.w = 1
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 1),
        (("node",), 2),
        (("node", 0), 2),
        (("node", 0, "id"), 3),
        (("node", 1, "id"), 6),
        (("node", 1, "binding"), 7),
        (("node", 1, "binding", "quoted key"), 8),
        (("node", 1, "binding", "list", 1), 10),
        (("node", 1, "binding", "list", 2, "k"), 10),
        (("node", 1, "part", 1, "p"), 14),
        (("other", "deep", "z", "w"), 16),
        (("other", "deep", "nothing"), 15),
        (("nowhere",), None),
    ],
)
def test_line_of_key(path: tuple[str | int, ...], line: int | None) -> None:
    assert LocatedToml(TEXT, "f.toml").line_of(path) == line


@pytest.mark.parametrize(
    ("text", "line"), [("a = 1\nb = \n", 2), ("a = 1\na = 2\n", None), ("x = 'unclosed", None), ("[t\n", 1)]
)
def test_syntax_fault_has_a_line(text: str, line: int | None) -> None:
    with pytest.raises(FaultError) as caught:
        LocatedToml(text, "f.toml")
    (fault,) = caught.value.faults
    assert fault.code == "toml.syntax"
    assert fault.file == "f.toml"
    assert fault.line is not None
    assert line is None or fault.line == line


def test_unreadable_files(tmp_path) -> None:
    with pytest.raises(FaultError, match=r"file\.unreadable"):
        read_toml(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b"a = '\xe9'")
    with pytest.raises(FaultError, match=r"file\.encoding.*byte 5"):
        read_toml(tmp_path / "latin.toml")


def test_deep_nesting_is_a_fault_not_a_crash() -> None:
    with pytest.raises(FaultError, match="nested too deeply"):
        LocatedToml("a = " + "[" * 5000 + "]" * 5000, "f.toml")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str
    n: int = 0


def test_every_validation_error_is_a_fault_at_its_line() -> None:
    located = LocatedToml('[[node]]\nn = "many"\nmistake = 1\n', "c.toml")
    with pytest.raises(ValidationError) as caught:
        _Model.model_validate(located.data["node"][0])
    faults = faults_of_validation(
        caught.value, "case.schema", file="c.toml", line_of=located.line_of, prefix=("node", 0)
    )
    assert {(f.name, f.line) for f in faults} == {("node.0.id", 1), ("node.0.n", 2), ("node.0.mistake", 3)}
    assert next(f for f in faults if f.name == "node.0.mistake").message == "unknown key"


def test_faulty_crosses_processes() -> None:
    original = FaultError([Fault("a.b", "bad", "f", 3, "x", "do that")], ExitCode.SUBJECT)
    copy = pickle.loads(pickle.dumps(original))
    assert copy.faults == original.faults
    assert copy.exit_code is ExitCode.SUBJECT
    assert str(copy) == "f:3: a.b [x]: bad (do that)"


def test_missing_extra_is_one_line() -> None:
    with pytest.raises(MissingExtra) as caught:
        require_extra("no_such_module_anywhere", "go")
    assert "toulmin[go]" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).exit_code is ExitCode.MISSING
