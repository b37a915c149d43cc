"""How long it takes to check a case: 12 elements, 12 of which 4 are bound to evidence, and 10,000.

    python benchmarks/case.py [--repeats 5]

Each figure is the CPU and wall-clock time of a whole process, median and least: interpreter, imports, reading,
evaluating, printing; the bytecode of all modules is cached, as it is from the second run on. The bound case looks up
four records, verifies their hashes and derives their measures again from their items. The large case is made here:
layers of goals in the three modes, assumptions shared by many, a dialogue of defeaters, evidence planned but not bound.
Equality: the engine's root must be what a plain recursion over the same file says, computed in this script without the
engine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path


def write_case(folder: Path, count: int, seed: int = 0) -> Path:
    """A case of ``count`` elements: goals, evidence, assumptions and defeaters."""
    rng = random.Random(seed)
    goals = max(2, int(count * 0.45))
    evidence = max(2, int(count * 0.45))
    assumptions = max(1, count // 100)
    defeaters = count - goals - evidence - assumptions
    children: dict[int, list[str]] = {i: [] for i in range(goals)}
    for i in range(1, goals):
        children[(i - 1) // 3].append(f"G{i}")
    for i in range(evidence):
        children[rng.randrange(goals // 3, goals)].append(f"E{i}")
    carrier = {i % goals: f"A{i}" for i in range(assumptions)}
    lines = ['[case]\ntitle = "A large case"\n']
    for i, below in children.items():
        mode = rng.choice(["all", "all", "any", "k"]) if len(below) > 1 else "all"
        written = f"{{ at_least = {rng.randint(1, len(below))} }}" if mode == "k" else f'"{mode}"'
        lines.append(f'[[goal]]\nid = "G{i}"\ntext = "Claim number {i} holds in the deployment that is stated"')
        lines.append(f"supported_by = {json.dumps(below)}\nmode = {written}" if below else "undeveloped = true")
        if i in carrier:
            lines.append(f'in_context_of = ["{carrier[i]}"]')
        lines.append("")
    for i in range(evidence):
        lines.append(f'[[evidence]]\nid = "E{i}"\ntext = "Evaluation number {i}"\nundeveloped = true\n')
    for i in range(assumptions):
        lines.append(f'[[assumption]]\nid = "A{i}"\ntext = "Assumption {i}"\nowner = "Jane"')
        lines.append('justification = "Given"\nreview = 2099-01-01\n')
    for i in range(defeaters):
        target = f"G{rng.randrange(goals)}" if i % 2 == 0 else f"D{i - 1}"
        lines.append(f'[[defeater]]\nid = "D{i}"\nkind = "rebut"\ntext = "Doubt {i}"\nattacks = ["{target}"]\n')
    path = folder / "case.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def root_by_recursion(path: Path) -> str:
    """The root's health by the definition, without the engine; evidence here is undeveloped, doubts come in pairs."""
    words = ["refuted", "undermined", "unsupported", "undeveloped", "conditional", "supported"]
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    goals = {goal["id"]: goal for goal in data["goal"]}
    attacks = {d["id"]: d["attacks"][0] for d in data.get("defeater", [])}
    answered = set(attacks.values())
    open_on = {target for identifier, target in attacks.items() if identifier not in answered and target in goals}
    found: dict[str, int] = {e["id"]: 3 for e in data["evidence"]}
    for identifier in sorted(goals, key=lambda g: -int(g[1:])):
        goal = goals[identifier]
        below = sorted((found[child] for child in goal.get("supported_by", [])), reverse=True)
        mode = goal.get("mode", "all")
        k = {"all": len(below), "any": 1}[mode] if isinstance(mode, str) else mode["at_least"]
        health = below[k - 1] if below else 3
        if goal.get("in_context_of"):
            health = min(health, 4)
        found[identifier] = min(health, 1) if identifier in open_on else health
    return words[found["G0"]]


def write_bound_case(folder: Path) -> Path:
    """A case of 12 elements, 4 of them bound to 200 numbers each; its studies are run."""
    lines = ['[case]\ntitle = "Bound"\n[[context]]\nid = "C"\ntext = "Here"']
    lines.append('[[justification]]\nid = "J"\ntext = "All count"\n[[assumption]]\nid = "A"\ntext = "Alike"')
    lines.append('owner = "Jane"\njustification = "Given"\nreview = 2099-01-01')
    lines.append('[[goal]]\nid = "G"\ntext = "Top"\nsupported_by = ["G1", "G2", "G3", "G4"]')
    lines.append('in_context_of = ["C", "J", "A"]')
    rng = random.Random(0)
    for i in range(1, 5):
        lines.append(f'[[goal]]\nid = "G{i}"\ntext = "Part {i}"\nsupported_by = ["E{i}"]')
        lines.append(f'[[evidence]]\nid = "E{i}"\ntext = "Scores {i}"\nstudy = "external.json"')
        lines.append(f'configuration = {{ report = "file:{i}.json" }}\ncriterion = "value.low >= 0.5"')
        units = [{"id": f"u{j}", "value": rng.uniform(0.8, 1.0)} for j in range(200)]
        (folder / f"{i}.json").write_text(json.dumps({"units": units}), encoding="utf-8")
    path = folder / "case.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", CLI, "case", "run", str(path)], capture_output=True, check=False)
    assert len(list((folder / ".toulmin" / "records").iterdir())) == 4, done.stderr
    return path


def measure(command: list[str], repeats: int, environment: dict[str, str]) -> tuple[list[float], list[float], str]:
    """CPU and wall-clock seconds of processes (not of the first, which writes bytecode), and what the last printed."""
    walls: list[float] = []
    cpus: list[float] = []
    output = ""
    for _ in range(repeats + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        output = done.stdout
    return cpus[1:], walls[1:], output


def row(name: str, cpus: list[float], walls: list[float], budget: str) -> None:
    figures = " ".join(f"{statistics.median(v):7.2f} ({min(v):4.2f})" for v in (cpus, walls))
    print(f"{name:46} {figures} {budget:>8}", flush=True)


CLI = "import sys; from toulmin.cli import main; main()"
LARGE = """
import json, sys
from toulmin.case import check_case, explain
checked = check_case(sys.argv[1])
lines = explain(checked, "G100")
print(json.dumps({"root": checked.verdict.health.word, "nodes": len(checked.verdict.nodes), "lines": len(lines)}))
"""
HINGES = """
import json, sys, time
from toulmin.case import check_case
checked = check_case(sys.argv[1])
start = time.perf_counter()
found = checked.sensitivity()
print(json.dumps({"seconds": time.perf_counter() - start, "leaves": len(found.leaves), "sets": len(found.cut_sets)}))
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as bytecode:
        report(repeats, {**environment, "PYTHONPYCACHEPREFIX": bytecode})


def report(repeats: int, environment: dict[str, str]) -> None:
    print(f"{'seconds, median (least)':46} {'CPU':>14} {'wall':>14} {'budget':>8}")
    with tempfile.TemporaryDirectory() as folder:
        small = write_case(Path(folder), 12)
        cpus, walls, _ = measure([sys.executable, "-c", CLI, "case", "check", str(small)], repeats, environment)
        row("toulmin case check, 12 elements", cpus, walls, "0.8")
    with tempfile.TemporaryDirectory() as folder:
        bound = write_bound_case(Path(folder))
        cpus, walls, output = measure([sys.executable, "-c", CLI, "case", "check", str(bound)], repeats, environment)
        assert "G is undermined, current" in output, output  # by the default doubts about evidence from outside
        row("toulmin case check, 12 elements, 4 records", cpus, walls, "0.8")
    with tempfile.TemporaryDirectory() as folder:
        large = write_case(Path(folder), 10_000)
        cpus, walls, output = measure([sys.executable, "-c", LARGE, str(large)], repeats, environment)
        said = json.loads(output)
        expected = root_by_recursion(large)
        assert said["root"] == expected, (said, expected)
        row("read, check and explain, 10,000 elements", cpus, walls, "2.0")
        print(f"  root {said['root']}, as the plain recursion says; {said['nodes']} elements")
        accept = [sys.executable, "-c", CLI, "case", "accept", str(large), "--by", "Jane", "--why", "a benchmark"]
        subprocess.run(accept, capture_output=True, check=False, env=environment)
        assert (Path(folder) / "case.lock").read_text().count("\n") > 10_000
        cpus, walls, output = measure([sys.executable, "-c", LARGE, str(large)], repeats, environment)
        assert json.loads(output)["root"] == expected, output
        row("the same, every element compared with the lock", cpus, walls, "2.0")
        _, _, output = measure([sys.executable, "-c", HINGES, str(large)], 1, environment)
        hinges = json.loads(output)
        print(f"  everything the conclusion hinges on: {hinges['seconds']:.2f} s more for {hinges['leaves']} leaves")


if __name__ == "__main__":
    main()
