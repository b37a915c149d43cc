"""Start-up budgets: ``python benchmarks/startup.py [--runs 7]``. Median CPU and wall seconds of whole processes.

Budgets (DESIGN): ``--help`` 0.6 s, checking a 12-node case 0.8 s; a 10,000-node case 2 s is in ``benchmarks/case.py``.
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


def measure(command: list[str], runs: int) -> tuple[float, float]:
    """Median (CPU, wall) seconds of a whole process."""
    cpu, wall = [], []
    for _ in range(runs + 1):
        before, start = os.times(), time.perf_counter()
        subprocess.run(command, capture_output=True, check=False)
        after = os.times()
        wall.append(time.perf_counter() - start)
        cpu.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return statistics.median(cpu[1:]), statistics.median(wall[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    toulmin = [sys.executable, "-m", "toulmin.cli"]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "case.toml").write_text(TWELVE)
        for name, command, budget in (
            ("python -c pass", [sys.executable, "-c", "pass"], None),
            ("toulmin --help", [*toulmin, "--help"], 0.6),
            ("toulmin case check (12 nodes)", [*toulmin, "case", "check", folder], 0.8),
        ):
            cpu, wall = measure(command, runs)
            print(f"{name:32s} CPU {cpu:.2f} s  wall {wall:.2f} s" + (f"  budget {budget} s" if budget else ""))


if __name__ == "__main__":
    main()
