"""scripts/mutate.py finds the mistakes it makes, leaves text and annotations alone, and names what survives."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[2] / "scripts/mutate.py"

CODE = '''"""Text with 1 + 2."""
LIMIT: int = 7


def clipped(a: int = 3, *, flip: bool = False) -> int:
    if a < 0 or not flip:
        raise ValueError(f"{a + 1} is too small")
    return max(a, LIMIT) - abs(a)
'''


def script() -> Any:
    spec = importlib.util.spec_from_file_location("mutate", SCRIPT)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutate"] = module
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def test_the_mutants_of_a_function_are_these() -> None:
    found = [(m.line, m.before, m.after) for m in script().mutants_of(Path("x.py"), CODE)]
    assert found == [
        (2, "7", "8"),
        (5, "3", "4"),
        (5, "False", "True"),
        (6, "0", "1"),
        (6, "a < 0", "a <= 0"),
        (6, "a < 0 or not flip", "a < 0 and (not flip)"),
        (6, "a < 0 or not flip", "not (a < 0 or not flip)"),
        (6, "not flip", "flip"),
        (8, "max(a, LIMIT)", "max(LIMIT, a)"),
        (8, "max(a, LIMIT) - abs(a)", "max(a, LIMIT) + abs(a)"),
    ]


def test_a_mutant_differs_in_its_expression_alone() -> None:
    text = "x = a[i : j]  # é\ny = -b * (c + d)\nz = 1.5 if b else e @ f\n"
    found = {m.before: m.source for m in script().mutants_of(Path("x.py"), text)}
    assert found["-b"] == text.replace("-b", "(b)")
    assert found["c + d"] == text.replace("c + d", "(c - d)")
    assert found["i : j"].splitlines()[0] == "x = a[i:j + 1]  # é"
    assert found["1.5 if b else e @ f"].splitlines()[2] == "z = (1.5 if not b else e @ f)"
    assert all(ast.dump(ast.parse(source)) != ast.dump(ast.parse(text)) for source in found.values())


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments, "--", sys.executable, "check.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_survivors_are_named_and_the_rest_is_killed(tmp_path: Path) -> None:
    (tmp_path / "src/part").mkdir(parents=True)
    file = tmp_path / "src/part/rule.py"
    file.write_text("def larger(a, b):\n    return a - b if a > b else 0\n")
    check = "from part.rule import larger\nassert larger(3, 1) == 2\nassert larger(1, 3) == 0\n"
    (tmp_path / "check.py").write_text(check)
    done = run(tmp_path, "src/part")
    assert done.returncode == 0, done.stderr
    *survivors, last = done.stdout.splitlines()
    assert [line.partition("survives ")[2] for line in survivors] == ["src/part/rule.py:2: a > b  ->  a >= b"]
    assert last == "3 of 4 mutants killed (75%), of 4 in 1 files"
    assert file.read_text().count("a > b") == 1  # the original is untouched
    assert run(tmp_path, "src/part", "--least", "0.8").returncode == 1
    sampled = run(tmp_path, "src/part", "--sample", "2", "--seed", "1").stdout
    assert sampled.splitlines()[-1].endswith("of 4 in 1 files")
    assert "of 2 mutants" in sampled
    (tmp_path / "check.py").write_text(check + "assert larger(1, 1) == 5\n")
    assert run(tmp_path, "src/part").returncode == 2


def test_with_coverage_a_mutant_runs_the_tests_of_its_line(tmp_path: Path) -> None:
    (tmp_path / "src/part").mkdir(parents=True)
    (tmp_path / "src/part/__init__.py").write_text("")
    rule = "LIMIT = 5\n\n\ndef larger(a, b):\n    return a + b\n\n\ndef capped(a):\n    return a * LIMIT\n"
    (tmp_path / "src/part/rule.py").write_text(rule)
    tests = "from part.rule import larger, capped\n\n\ndef test_larger():\n    assert larger(0, 0) == 0\n"
    (tmp_path / "test_rule.py").write_text(tests + "\n\ndef test_capped():\n    assert capped(2) == 10\n")
    pytest = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    record = [*pytest, "--cov=part", "--cov-context=test", "--cov-report="]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "src"), "COVERAGE_FILE": str(tmp_path / "cov")}
    assert subprocess.run(record, cwd=tmp_path, env=environment, capture_output=True, check=False).returncode == 0
    module = script()
    covered = module.Covered(tmp_path / "cov", tmp_path, 40)
    found = {m.before: covered.tests(m) for m in module.mutants_of(Path("src/part/rule.py"), rule)}
    assert found["a + b"] == ["test_rule.py::test_larger"]
    assert found["a * LIMIT"] == ["test_rule.py::test_capped"]
    assert sorted(found["5"]) == ["test_rule.py::test_capped", "test_rule.py::test_larger"]  # run by the import alone
    command = [sys.executable, str(SCRIPT), "src/part", "--covered", str(tmp_path / "cov"), "--", *pytest]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    *survivors, last = done.stdout.splitlines()
    assert [line.partition("survives ")[2] for line in survivors] == ["src/part/rule.py:5: a + b  ->  a - b"]
    assert last == "2 of 3 mutants killed (67%), of 3 in 2 files"
