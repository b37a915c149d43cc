"""How long the program takes to start: ``python benchmarks/startup.py [--runs 7]``.

CPU and wall-clock seconds of whole processes, median and least, with the bytecode of all modules cached, as it is from
the second run on; ``--uncached`` measures the first. Budgets: ``--help`` 0.6 s, checking a case of 12 nodes 0.8 s; the
case of 10,000 nodes is in ``benchmarks/case.py``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TWELVE = "\n".join(
    ["[case]", 'title = "twelve"']
    + [
        f'[[goal]]\nid = "G{i}"\ntext = "goal {i}"\n'
        + (f'supported_by = ["G{2 * i + 1}", "G{2 * i + 2}"]' if 2 * i + 2 < 11 else "undeveloped = true")
        for i in range(11)
    ]
    + ['[[context]]\nid = "C"\ntext = "here"']
).replace('id = "G0"\n', 'id = "G0"\nin_context_of = ["C"]\n', 1)


def measure(command: list[str], runs: int, environment: dict[str, str]) -> tuple[list[float], list[float]]:
    """CPU and wall-clock seconds of whole processes; the first, which writes the bytecode, is left out."""
    cpu, wall = [], []
    for _ in range(runs + 1):
        before, start = os.times(), time.perf_counter()
        subprocess.run(command, capture_output=True, check=False, env=environment)
        after = os.times()
        wall.append(time.perf_counter() - start)
        cpu.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return cpu[1:], wall[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--uncached", action="store_true", help="compile Toulmin's modules in every run")
    options = parser.parse_args()
    toulmin = [sys.executable, "-m", "toulmin"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "case.toml").write_text(TWELVE)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        if options.uncached:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        else:
            environment.pop("PYTHONDONTWRITEBYTECODE", None)
            environment["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "bytecode")
        print(f"{'seconds, median (least)':34} {'CPU':>14} {'wall':>14} {'budget':>8}")
        for name, command, budget in (
            ("python -c pass", [sys.executable, "-c", "pass"], None),
            ("toulmin --help", [*toulmin, "--help"], 0.6),
            ("toulmin case check, 12 nodes", [*toulmin, "case", "check", folder], 0.8),
        ):
            cpu, wall = measure(command, options.runs, environment)
            figures = " ".join(f"{statistics.median(v):7.2f} ({min(v):4.2f})" for v in (cpu, wall))
            print(f"{name:34} {figures} {budget if budget else '':>8}")


if __name__ == "__main__":
    main()
