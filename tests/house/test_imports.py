"""No import circle between modules or folders; other packages are imported through their public API."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src"

Imports = Mapping[str, Set[str]]


def module_files(src: Path) -> dict[str, Path]:
    """Dotted name -> file. Programs (``__main__``) are imported by nobody and left out."""
    files: dict[str, Path] = {}
    for path in sorted(src.rglob("*.py")):
        parts = path.relative_to(src).with_suffix("").parts
        if parts[-1] != "__main__":
            files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import that can run, inside functions too; those for type checkers alone never run."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for other in child.orelse:
                yield from statements(other)
        else:
            yield from statements(child)


def imports_of(files: Mapping[str, Path]) -> Imports:
    """Module -> modules of the same source tree that it imports; ``from package import module`` is the module."""
    found: dict[str, set[str]] = {}
    for name, path in files.items():
        targets = found.setdefault(name, set())
        for statement in statements(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(statement, ast.Import):
                targets.update(alias.name for alias in statement.names)
            elif statement.module is not None and not statement.level:
                inner = {alias.name: f"{statement.module}.{alias.name}" for alias in statement.names}
                targets.update(full if full in files else statement.module for full in inner.values())
        targets.intersection_update(files)
        targets.discard(name)
    return found


def between_folders(files: Mapping[str, Path], imports: Imports) -> Imports:
    """The same graph with every module replaced by the folder that it lies in."""
    folders: dict[str, set[str]] = {}
    for name, targets in imports.items():
        here = folders.setdefault(str(files[name].parent), set())
        here.update(str(files[target].parent) for target in targets)
        here.discard(str(files[name].parent))
    return folders


def circles(graph: Imports) -> list[str]:
    """What lies on a circle: take away, again and again, everything that imports nothing which is left."""
    left = {name: set(targets) for name, targets in graph.items()}
    for way in (left, {name: {a for a in left if name in left[a]} for name in left}):
        while leaves := {name for name in left if not way[name] & left.keys()}:
            for name in leaves:
                del left[name]
    return sorted(left)


def write(folder: Path, modules: Mapping[str, str]) -> dict[str, Path]:
    for name, text in modules.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return module_files(folder)


def test_planted_circles_are_found(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        {
            "p/a.py": "def f():\n    from p.b import g\n",
            "p/b.py": "import p.c\n",
            "p/c.py": "from p import a\n",
            "p/above.py": "from p.a import f\n",
            "p/below.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.above\n",
            "p/d/x.py": "from p.below import g\n",
            "p/top.py": "from p.d.x import h\n",
        },
    )
    imports = imports_of(files)
    assert circles(imports) == ["p.a", "p.b", "p.c"]
    assert circles(between_folders(files, imports)) == [str(tmp_path / "p"), str(tmp_path / "p/d")]


def test_no_circle_between_modules() -> None:
    imports = imports_of(module_files(SRC))
    assert "toulmin.studies.study" in imports["toulmin.studies"]
    assert not circles(imports)


def test_no_circle_between_folders() -> None:
    files = module_files(SRC)
    assert not circles(between_folders(files, imports_of(files)))
