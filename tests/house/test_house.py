"""The house keeps its shape: one-way imports, torch-free rooms, short files, pinned public names."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SRC = ROOT / "src" / "toulmin"
ORDER = ["faults", "evidence", "studies", "subjects", "tasks", "training", "patching", "go"]
METHODS = ["paths", "circuits", "dictionaries", "basis", "routing", "adversary", "oversight"]
MAY_IMPORT = {room: set(ORDER[:i]) for i, room in enumerate(ORDER)}
MAY_IMPORT |= {method: set(ORDER) for method in METHODS}
MAY_IMPORT["case"] = {"faults", "evidence", "studies"}
MAY_IMPORT["external"] = {"faults", "evidence", "studies"}
MAY_IMPORT["report"] = {"faults", "evidence", "studies", "case"}  # of studies: the registry of entry points
MAY_IMPORT["cli"] = {*ORDER, *METHODS, "case", "external", "report"}
MAY_IMPORT["assets"] = set()
LIGHT_ROOMS = [
    "faults",
    "evidence",
    "studies",
    "case",
    "external",
    "report",
    "cli",
    "patching.pathset",
    "patching.plan",
]
HEAVY = ("torch", "numba", "scipy.stats")
MAX_LINES = 400


def _imported_rooms(path: Path) -> set[str]:
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1, f"{path}: relative imports of parents"
            if node.level == 0 and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] == "toulmin" and len(parts) > 1 and (SRC / parts[1]).is_dir():
                rooms.add(parts[1])
    return rooms


def test_every_folder_is_a_known_room() -> None:
    rooms = {path.name for path in SRC.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms <= set(MAY_IMPORT)


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_imports_point_one_way(room: str) -> None:
    wrong = {
        f"{path.relative_to(SRC)} imports {other}"
        for path in sorted((SRC / room).rglob("*.py*"))
        if path.suffix in (".py", ".pyi")
        for other in _imported_rooms(path) - MAY_IMPORT[room] - {room}
    }
    assert not wrong


def _light_modules() -> list[str]:
    import re

    modules = [f"toulmin.{room}" for room in LIGHT_ROOMS if (SRC / room.replace(".", "/")).exists()]
    modules += [f"toulmin.{room}" for room in LIGHT_ROOMS if (SRC / (room.replace(".", "/") + ".py")).exists()]
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = pyproject.split('[project.entry-points."toulmin.studies"]')[1].split("\n[")[0]
    return modules + re.findall(r'= "([\w.]+):', section)


def test_light_rooms_and_every_study_import_without_heavy_libraries() -> None:
    modules = _light_modules()
    assert len(modules) > 6
    program = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        f"    heavy = [h for h in {HEAVY!r} if h in sys.modules]\n"
        "    assert not heavy, (name, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_can_be_read_in_one_sitting() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("src", "tests", "scripts", "benchmarks", "examples")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    excused = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert {name: lines for name, lines in long.items() if name not in excused} == {}


def test_no_drawer_for_leftovers() -> None:
    names = {path.stem for path in SRC.rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "misc", "common"}


def test_public_names_are_those_pinned() -> None:
    """The face of each room, one name a line: a change of it is a change of this file, seen in review."""
    program = (
        "import importlib, pathlib, toulmin\n"
        f"for room in {[*ORDER, *METHODS, 'case', 'external', 'report', 'cli']!r}:\n"
        "    if (pathlib.Path(toulmin.__file__).parent / room / '__init__.py').exists():\n"
        "        module = importlib.import_module(f'toulmin.{room}')\n"
        "        for name in sorted(module.__all__):\n"
        "            assert getattr(module, name) is not None\n"
        "            print(f'{room}.{name}')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pinned = (Path(__file__).parent / "public_names.txt").read_text(encoding="utf-8").split()
    assert done.stdout.split() == pinned


def test_the_stub_of_a_lazy_face_exports_what_it_imports() -> None:
    """The documentation and type checkers go by the stub's ``__all__``, the program by its imports."""
    for path in sorted(SRC.glob("*/__init__.pyi")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        imported = {alias.asname for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
        (exported,) = [node.value for node in body if isinstance(node, ast.Assign)]
        assert set(ast.literal_eval(exported)) == imported, path.parent.name


def test_examples_are_short() -> None:
    long = [path.name for path in (ROOT / "examples").glob("*.py") if len(path.read_text().splitlines()) >= 80]
    assert not long


def test_the_readme_counts_the_model_types() -> None:
    text = (SRC / "subjects" / "families.py").read_text(encoding="utf-8")
    (table,) = (
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "FAMILIES"
    )
    assert isinstance(table, ast.Dict)
    assert f"{len(table.keys)} Hugging Face model types" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_package_has_a_docstring() -> None:
    for path in sorted(SRC.iterdir()):
        if path.is_dir() and path.name not in ("__pycache__", "assets"):
            assert ast.get_docstring(ast.parse((path / "__init__.py").read_text(encoding="utf-8"))), path.name


@pytest.mark.parametrize(
    "name", ["Card", "Edge", "Graph", "Measure", "Metric", "Pair", "Progress", "Resolver", "Values"]
)
def test_a_central_name_stands_for_one_class(name: str) -> None:
    definitions = [
        path.relative_to(SRC)
        for path in SRC.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name == name
    ]
    assert len(definitions) == 1, definitions
