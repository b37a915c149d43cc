"""How long it takes to check a case: 12 elements, and 10,000.

    python benchmarks/case.py [--repeats 5]

Each figure is the wall-clock and CPU time of a whole process, from nothing: interpreter, imports, reading, evaluating,
printing. The large case is made here: layers of goals in the three modes, assumptions shared by many, a dialogue of
defeaters, evidence planned but not bound. Equality: the engine's root must be what a plain recursion over the same file
says, computed in this script without the engine.
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


def measure(command: list[str], repeats: int) -> tuple[float, float, str]:
    """Median wall-clock and CPU seconds of a process, and what it printed last."""
    walls: list[float] = []
    cpus: list[float] = []
    output = ""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        walls.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        output = done.stdout
    return statistics.median(walls), statistics.median(cpus), output


CHECK = "import sys; from toulmin.cli.case import app; app(sys.argv[1:])"
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
    print(f"{'what':58} {'wall s':>8} {'CPU s':>8} {'budget':>8}")
    with tempfile.TemporaryDirectory() as folder:
        small = write_case(Path(folder), 12)
        wall, cpu, _ = measure([sys.executable, "-c", CHECK, "check", str(small)], repeats)
        print(f"{'toulmin case check, 12 elements':58} {wall:8.2f} {cpu:8.2f} {0.8:8.2f}")
    with tempfile.TemporaryDirectory() as folder:
        large = write_case(Path(folder), 10_000)
        wall, cpu, output = measure([sys.executable, "-c", LARGE, str(large)], repeats)
        said = json.loads(output)
        expected = root_by_recursion(large)
        assert said["root"] == expected, (said, expected)
        print(f"{'read, check and explain, 10,000 elements':58} {wall:8.2f} {cpu:8.2f} {2.0:8.2f}")
        print(f"  root {said['root']}, as the plain recursion says; {said['nodes']} elements")
        _, _, output = measure([sys.executable, "-c", HINGES, str(large)], 1)
        hinges = json.loads(output)
        print(f"  everything the conclusion hinges on: {hinges['seconds']:.2f} s more for {hinges['leaves']} leaves")


if __name__ == "__main__":
    main()
