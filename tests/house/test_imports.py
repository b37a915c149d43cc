"""No import circle between modules or folders; other packages are imported through their public API."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src"

#: modules that are public under their own name, each listed in CONTRIBUTING with the reason
PUBLIC_MODULES = {
    "toulmin.faults.xml",
    "toulmin.evidence.disk",
    "toulmin.evidence.figures",
    "toulmin.tasks.storyworld",
    "toulmin.circuits.discovery",
    "toulmin.circuits.faithfulness",
    "toulmin.case.interchange",
    "toulmin.case.templates",
    "toulmin.case.seal",
}

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


def exported(init: Path) -> set[str]:
    """The names that a package's ``__init__`` (of a lazy one, its stub) takes from its modules."""
    stub = init.with_suffix(".pyi")
    body = ast.parse((stub if stub.exists() else init).read_text(encoding="utf-8")).body
    return {alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}


def targets_of(statement: ast.stmt, files: Mapping[str, Path]) -> set[str]:
    """The modules among ``files`` that a statement imports.

    ``from package import name`` is the module of that name, unless the package exports a function or class so called.
    """
    if isinstance(statement, ast.Import):
        return {alias.name for alias in statement.names} & files.keys()
    if not isinstance(statement, ast.ImportFrom) or statement.level:
        return set()
    module = statement.module or ""
    if module not in files:
        return set()
    init = files[module]
    names = exported(init) if init.name == "__init__.py" else set[str]()
    inner = {alias.name: f"{module}.{alias.name}" for alias in statement.names}
    return {full if full in files and name not in names else module for name, full in inner.items()}


def imports_of(files: Mapping[str, Path]) -> Imports:
    """Module -> the other modules of the same source tree that it imports."""
    found: dict[str, set[str]] = {}
    for name, path in files.items():
        targets = found.setdefault(name, set())
        for statement in statements(ast.parse(path.read_text(encoding="utf-8"))):
            targets |= targets_of(statement, files)
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


def private_imports(files: Mapping[str, Path], public: Set[str]) -> list[str]:
    """Every import, for type checkers too, of another package's module that is not public."""
    found: list[str] = []
    for name, path in files.items():
        package = name.split(".")[:2]
        for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for target in targets_of(statement, files) if isinstance(statement, ast.stmt) else ():
                parts = target.split(".")
                if len(parts) > 2 and parts[:2] != package and target not in public:
                    found.append(f"{name} imports {target}")
    return found


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
            "p/__init__.py": "",
            "p/d/__init__.py": "",
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


def test_planted_imports_past_a_public_api_are_found(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        {
            "top/a/__init__.py": "from top.a.inner import f\n",
            "top/a/inner.py": "import top.a.deep.x\n",
            "top/a/f.py": "",
            "top/a/deep/x.py": "",
            "top/a/open.py": "",
            "top/a/deep/__init__.py": "",
            "top/b/right.py": "import numpy.linalg\nfrom top.a import f\nfrom top.a.open import g\n",
            "top/b/wrong.py": "if TYPE_CHECKING:\n    from top.a.inner import f\nfrom top.a.deep import x\n",
        },
    )
    wrong = ["top.b.wrong imports top.a.deep.x", "top.b.wrong imports top.a.inner"]
    assert sorted(private_imports(files, {"top.a.open"})) == wrong


def test_packages_import_each_other_through_their_public_api() -> None:
    files = module_files(SRC)
    assert files.keys() >= PUBLIC_MODULES
    assert private_imports(files, PUBLIC_MODULES) == []


def test_contributing_lists_the_public_modules() -> None:
    text = (SRC.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert not {module for module in PUBLIC_MODULES if f"`{module.removeprefix('toulmin.')}`" not in text}
