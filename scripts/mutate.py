"""Do the tests notice small mistakes? Make them one at a time in a copy of the repository, and run the tests on each.

    python scripts/mutate.py src/toulmin/circuits/discovery --sample 60 -- .venv/bin/pytest -x -q tests/circuits

A mutant is one change of one expression: a comparison moved by its boundary, + for -, * for /, & for |, and for or, a
number off by one, a flag turned over, `not`, a minus sign or ~ dropped, a slice's end off by one, two arguments
exchanged, a condition negated. Text, annotations, what a `raise` says and what is only for type checkers are left
alone. A mutant is killed if the test command fails or takes more than `--timeout` seconds (default: five times what it
takes without mutants). Survivors are named: each is a test that is missing, or a change that makes no difference.
Ctrl-C ends with the share so far.

Much faster where a coverage file says which tests run which line; a mutant then runs only those, at most `--tests` of
them (so the share is a lower bound). A line run by the import alone gets the tests of its whole file:

    .venv/bin/pytest -q tests --cov=toulmin --cov-context=test --cov-report=
    python scripts/mutate.py src/toulmin/evidence --sample 60 --covered .coverage -- .venv/bin/pytest -x -q

The tests must pass without a mutant when the coverage is recorded. Standard library only, but for reading coverage.
The command runs in the copy, with its `src` first on the import path; data outside of the repository are found through
TOULMIN_SHARED.
"""

from __future__ import annotations

import argparse
import ast
import collections
import copy
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
LEFT_OUT = {".git", ".venv", "__pycache__", ".pytest_cache", ".ruff_cache", "node_modules", "site"}
LEAST_TIMEOUT = 30.0  # seconds


@dataclass(frozen=True)
class Mutant:
    """One change: the expression's place in its file, and what it becomes."""

    file: Path
    line: int
    before: str
    after: str
    source: str  #: the whole mutated file

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.before}  ->  {self.after}"


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """Every mutant of this node itself, without those of the nodes inside."""

    def altered() -> Any:
        return copy.deepcopy(node)

    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            if type(operator) in COMPARISONS:
                new = altered()
                new.ops[place] = COMPARISONS[type(operator)]()
                yield new
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in OPERATORS:
        new = altered()
        new.op = OPERATORS[type(node.op)]()
        yield new
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.BoolOp):
        new = altered()
        new.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield new
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        yield ast.Constant(not node.value if isinstance(node.value, bool) else node.value + 1)
    elif isinstance(node, ast.Slice):
        for end in ("lower", "upper"):
            value = getattr(node, end)
            if value is not None and not isinstance(value, ast.Constant):
                new = altered()
                setattr(new, end, ast.BinOp(value, ast.Add(), ast.Constant(1)))
                yield new
    elif isinstance(node, ast.Call) and len(node.args) >= 2 and not any(isinstance(a, ast.Starred) for a in node.args):
        if ast.dump(node.args[0]) != ast.dump(node.args[1]):
            new = altered()
            new.args[:2] = reversed(new.args[:2])
            yield new
    elif isinstance(node, ast.IfExp):
        new = altered()
        new.test = ast.UnaryOp(ast.Not(), node.test)
        yield new


def expressions(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that are mutated, outermost first: no text, annotations, raised messages or code for type checkers."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "type_params", "bases"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Raise | ast.JoinedStr | ast.Import):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            yield from expressions(child)


def negated(node: ast.AST) -> ast.expr | None:
    """The condition of a statement, to be negated."""
    return node.test if isinstance(node, ast.If | ast.While) else None


def mutants_of(file: Path, text: str) -> list[Mutant]:
    """Every mutant of a file, in the order of its lines."""
    offsets = [0]
    for line in text.encode().splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    data, found = text.encode(), list[Mutant]()

    def add(old: Any, new: ast.AST) -> None:
        start = offsets[old.lineno - 1] + old.col_offset
        end = offsets[old.end_lineno - 1] + old.end_col_offset
        after = ast.unparse(ast.fix_missing_locations(new))
        put = after if isinstance(old, ast.Slice | ast.AugAssign) else f"({after})"
        source = (data[:start] + put.encode() + data[end:]).decode()
        before = " ".join(data[start:end].decode().split())
        try:
            compile(source, str(file), "exec")
        except (SyntaxError, ValueError):
            return
        found.append(Mutant(file, old.lineno, before, after, source))

    for node in expressions(ast.parse(text)):
        for new in changed(node):
            add(node, new)
        condition = negated(node)
        if condition is not None and not isinstance(condition, ast.Compare | ast.UnaryOp):
            add(condition, ast.UnaryOp(ast.Not(), condition))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.before, mutant.after))


def run(command: Sequence[str], folder: Path, timeout: float | None) -> bool:
    """Whether the command succeeds in time; what it started ends with it."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        return process.wait(timeout) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def copied(root: Path, folder: Path) -> Path:
    """A copy of the repository without its caches, to which its environment is linked."""
    target = folder / root.name
    shutil.copytree(root, target, ignore=lambda _, names: LEFT_OUT.intersection(names), symlinks=True)
    if (root / ".venv").exists():
        (target / ".venv").symlink_to(root / ".venv")
    return target


def survives(mutant: Mutant, command: Sequence[str], folder: Path, timeout: float) -> bool:
    """Whether the tests pass with the mutant in the copy; the copy is as before afterwards."""
    place = folder / mutant.file
    original = place.read_text("utf-8")
    place.write_text(mutant.source, "utf-8")
    try:
        return run(command, folder, timeout)
    finally:
        place.write_text(original, "utf-8")


class Covered:
    """Which tests run a line, from a coverage file that was recorded with a context for each test."""

    def __init__(self, file: Path, root: Path, most: int) -> None:
        from coverage import CoverageData

        self.data, self.root, self.most = CoverageData(str(file)), root, most
        self.data.read()
        self.lines: dict[Path, dict[int, set[str]]] = {}

    def tests(self, mutant: Mutant) -> list[str]:
        """The ids of the tests that run the mutant's line, those first that run the fewest other lines of the file."""
        if mutant.file not in self.lines:
            found = self.data.contexts_by_lineno(str((self.root / mutant.file).resolve()))
            self.lines[mutant.file] = {line: {c.rsplit("|", 1)[0] for c in cs} - {""} for line, cs in found.items()}
        lines = self.lines[mutant.file]
        spread = collections.Counter(name for names in lines.values() for name in names)
        own = lines.get(mutant.line) or spread
        return sorted(own, key=lambda name: (spread[name] * (1 if lines.get(mutant.line) else -1), name))[: self.most]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", help="files or folders to mutate, relative to the repository")
    parser.add_argument("--sample", type=int, help="how many mutants, drawn at random; default all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, help="seconds in which the tests must end")
    parser.add_argument("--covered", type=Path, help="a coverage file with contexts: run only the tests of the line")
    parser.add_argument("--tests", type=int, default=40, help="with --covered: at most so many tests a mutant")
    parser.add_argument("--least", type=float, default=0.0, help="exit with 1 where a smaller share is killed")
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--" not in given:
        parser.error("give the test command after --")
    chosen, command = parser.parse_args(given[: given.index("--")]), given[given.index("--") + 1 :]
    root = Path.cwd()
    files = sorted({f for p in chosen.paths for f in ([Path(p)] if Path(p).is_file() else Path(p).rglob("*.py"))})
    if not files or not command:
        parser.error("no Python files in the paths, or no test command")
    mutants = [mutant for file in files for mutant in mutants_of(file, file.read_text("utf-8"))]
    total = len(mutants)
    if chosen.sample is not None and chosen.sample < total:
        mutants = random.Random(chosen.seed).sample(mutants, chosen.sample)  # in this order, so that a part is a sample
    covered = Covered(chosen.covered, root, chosen.tests) if chosen.covered else None
    with tempfile.TemporaryDirectory() as scratch:
        folder = copied(root, Path(scratch))
        started = time.monotonic()
        if covered is None and not run(command, folder, None):
            print("the tests fail without any mutant", file=sys.stderr)
            return 2
        timeout = 300.0 if covered else max(LEAST_TIMEOUT, 5 * (time.monotonic() - started))
        timeout = timeout if chosen.timeout is None else chosen.timeout
        done, survivors = 0, list[Mutant]()
        try:
            for mutant in mutants:
                tests = covered.tests(mutant) if covered else []
                alive = (covered is not None and not tests) or survives(mutant, [*command, *tests], folder, timeout)
                done += 1
                print(f"[{done}/{len(mutants)}] {'alive' if alive else 'killed'}", file=sys.stderr, flush=True)
                if alive:
                    survivors.append(mutant)
                    print(f"[{done}/{len(mutants)}] survives {mutant}", flush=True)
        except KeyboardInterrupt:
            print(f"stopped after {done} of {len(mutants)}", file=sys.stderr)
    killed = done - len(survivors)
    share = killed / done if done else 1.0
    print(f"{killed} of {done} mutants killed ({share:.0%}), of {total} in {len(files)} files")
    return 0 if share >= chosen.least else 1


if __name__ == "__main__":
    sys.exit(main())
