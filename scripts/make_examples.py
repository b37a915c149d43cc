"""Write the example files of evidence from outside into src/toulmin/external/data: ``python scripts/make_examples.py``.

Drawn from one seed, so that the same files come out again; of no system whatever.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from xml.sax.saxutils import quoteattr

TARGET = Path(__file__).resolve().parent.parent / "src/toulmin/external/data"
SIZES = {"tiny": 20, "demo": 100, "full": 400}
WEIGHTS = "0123456789abcdef" * 4


def inspect_log(n: int, rng: random.Random) -> str:
    """A log as Inspect writes it, cut to what is read: a sum asked, nine of ten answered right."""
    samples = []
    for i in range(n):
        a, b = divmod(i, 20)
        grade = "C" if rng.random() < 0.9 else "I"
        question = {"input": f"What is {a + 11} + {b + 5}?", "target": str(a + b + 16)}
        samples.append({"id": f"sum-{i}", "epoch": 1, **question, "scores": {"match": {"value": grade}}})
    right = sum(sample["scores"]["match"]["value"] == "C" for sample in samples) / n
    log = {
        "version": 2,
        "status": "success",
        "eval": {
            "task": "sums",
            "model": "example/none",
            "dataset": {"samples": n, "sample_ids": [sample["id"] for sample in samples]},
            "config": {"epochs": 1},
            "metadata": {"model_sha256": WEIGHTS},
        },
        "results": {"total_samples": n, "scores": [{"name": "match", "metrics": {"accuracy": {"value": right}}}]},
        "samples": samples,
    }
    return json.dumps(log, indent=1) + "\n"


def control_scores(n: int, rng: random.Random) -> str:
    """Three honest outputs for each attack; attacks are more suspicious by two standard deviations."""
    rows = [("honest", rng.gauss(0, 1), {}) for _ in range(3 * n // 4)]
    rows += [("attack", rng.gauss(2, 1), {"succeeds": rng.random() < 0.8}) for _ in range(n // 4)]
    lines = [
        {"id": f"{label}-{i}", "label": label, "suspicion": round(score, 4), "input": f"task {i}", **more}
        for i, (label, score, more) in enumerate(rows)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines)


def junit_report(n: int, rng: random.Random) -> str:
    """A test suite with a failure in twenty."""
    cases, failures = [], 0
    for i in range(n):
        failed = rng.random() < 0.05
        failures += failed
        inside = '><failure message="planted"/></testcase>' if failed else "/>"
        cases.append(f'  <testcase classname="example" name={quoteattr(f"case {i}")}{inside}')
    return (
        f'<testsuite name="example" tests="{n}" failures="{failures}" errors="0">\n'
        + "\n".join(cases)
        + "\n</testsuite>\n"
    )


def json_units(n: int, rng: random.Random) -> str:
    """Values from 0 to 1."""
    units = [{"id": f"u{i}", "value": round(rng.betavariate(4, 2), 4), "input": f"prompt {i}"} for i in range(n)]
    return json.dumps({"units": units}, indent=1) + "\n"


KINDS = {
    "inspect-{}.json": inspect_log,
    "control-{}.jsonl": control_scores,
    "junit-{}.xml": junit_report,
    "units-{}.json": json_units,
}


def main() -> None:
    """Write every kind in every size."""
    TARGET.mkdir(exist_ok=True)
    for name, make in KINDS.items():
        for size, n in SIZES.items():
            (TARGET / name.format(size)).write_text(make(n, random.Random(f"{name} {n}")), encoding="utf-8")


if __name__ == "__main__":
    main()
