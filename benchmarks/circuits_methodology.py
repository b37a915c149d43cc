"""How far the methodology moves the faithfulness of one circuit: circuits of trained models, with their cards.

    python benchmarks/circuits_methodology.py --folder DIR [--stories DIR_OF_stories260K --text tinystories_1000.json]
        [--subjects induction,stories,story_induction,story_two_name] [--n 100] [--seeds 0,1,2]

Each subject's circuit is discovered with several methods on one set of prompts and measured on another. ``stories`` is
stories260K (not trained by us) on real text: places where a pair of tokens A B that occurred before begins again, and
the model gives B at least 0.3; in the counterfactual every earlier B after A is another token. Evidence is kept in DIR.
A seed draws the prompts, for discovery and for measuring. Lowest and highest change only the ablation methodology: the
percent of means of the logit difference, against the ablated model, of the same circuit on the same prompts.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toulmin.circuits.studies.discover import CircuitDiscovery
from toulmin.evidence import Evidence, Store
from toulmin.studies import Run, execute
from toulmin.subjects import load

METHODS: dict[str, dict[str, Any]] = {
    "eap_ig": {},
    "relp": {},
    "exact": {"n_discover": 8},
    "acdc": {"n_discover": 8},
}
SIZES = {"induction": 60}  # edges of the circuit, else 150
SUBJECTS: dict[str, dict[str, Any]] = {
    "induction": {"subject": "embedded:induction-2l", "task": "induction"},
    "story_induction": {"subject": "embedded:story-4l", "task": "induction"},
    "story_two_name": {"subject": "embedded:story-4l", "task": "story.two_name"},
}


def write_real_text_pairs(folder: Path, subject: str, text: Path, count: int, length: int = 40, seed: int = 0) -> Path:
    """Induction on real text as pairs of token ids (see the module)."""
    loaded: Any = load(subject)
    model, tokenizer = loaded.model, loaded.tokenizer
    stories, rng = json.loads(text.read_text()), np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for number, story in enumerate(stories):
        tokens = tokenizer.encode(story, bos=True)[:300]
        found = None
        for end in range(length, len(tokens)):
            window = tokens[end - length : end]
            a, b = window[-1], tokens[end]
            places = [i for i in range(length - 2) if window[i] == a]
            if not places or a == b or any(window[i + 1] != b for i in places) or window.count(b) != len(places):
                continue
            other = int(rng.integers(3, model.config.d_vocab))
            if other in window:
                continue
            with torch.no_grad():
                clean = torch.tensor([window])
                changed = torch.tensor([[other if t == b else t for t in window]])
                p, q = (model(x)[0, -1].softmax(-1)[b] for x in (clean, changed))
            if p > 0.3 and q < 0.5 * p:
                found = {
                    "clean": window, "counterfactual": changed[0].tolist(), "answers": [b], "wrong": [other],
                    "unit": f"story-{number}", "text": tokenizer.decode(window),
                }  # fmt: skip
                break
        if found is not None:
            rows.append(found)
        if len(rows) == count:
            break
    path = folder / "real_text_pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def describe(name: str, method: str, seed: int, evidence: Evidence) -> str:
    """One line of the page."""
    m = evidence.measures
    card = next(table for table in evidence.tables if "percent" in table.columns)
    cells: list[Any] = [row for row in card.rows if isinstance(row[4], float)]
    alike = [row for row in cells if tuple(row[1:4]) == ("logit_diff", "percent_of_means", "ablated")]
    low, high = (f(alike, key=lambda row: row[4]) for f in (min, max))

    def measure(key: str, digits: int = 2) -> str:
        if key not in m:
            return "-"
        found = m[key]
        ends = f" [{found.interval.low:.{digits}f}, {found.interval.high:.{digits}f}]" if found.interval else ""
        return f"{found.value:.{digits}f}{ends}"

    def cell(row: Any) -> str:
        ends = "" if row[5] is None else f" [{row[5]:.0f}, {row[6]:.0f}]"
        return f"{row[4]:.0f}{ends}, {row[0]}"

    verdicts = [row[7] for row in cells]
    counts = " / ".join(str(verdicts.count(word)) for word in ("faithful", "undecided", "unfaithful"))
    parts = [
        name, method, str(seed), f"{m['edges'].value:.0f}", measure("recovered", 0), measure("kl"), measure("cpr"),
        measure("agreement"), cell(low), cell(high), counts,
    ]  # fmt: skip
    return f"| {' | '.join(parts)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("circuits-methodology"))
    parser.add_argument("--stories", type=Path, help="folder of stories260K.bin and tok512.bin")
    parser.add_argument("--text", type=Path, help="JSON list of stories")
    parser.add_argument("--subjects", default="induction")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--seeds", default="0", help="separated by commas")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    columns = ("subject", "method", "seed", "edges", "recovered %", "KL nats", "CPR", "agreement", "lowest %",
               "highest %", "faithful / undecided / unfaithful")  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    for name in chosen.subjects.split(","):
        settings = SUBJECTS.get(name, {})
        if name == "stories":
            subject = f"file:{(chosen.stories / 'stories260K.bin').resolve()}"
            pairs = write_real_text_pairs(chosen.folder, subject, chosen.text, chosen.n + 24)
            settings = {"subject": subject, "pairs": f"file:{pairs.resolve()}"}
        for method in chosen.methods.split(","):
            how = {"tau": 0.02} if method == "acdc" else {"size": SIZES.get(name, 150)}
            fields = {"n": chosen.n, "n_discover": 24, "resamples": 500, "compared": 60}
            fields |= {**settings, **METHODS[method]}
            study = CircuitDiscovery.model_validate({**fields, "method": {"name": method, **how}})
            for seed in map(int, chosen.seeds.split(",")):
                run = Run(chosen.folder / f"{name}-{method}-{seed}", seed=seed)
                print(describe(name, method, seed, execute(study, Store(chosen.folder / "store"), run)), flush=True)


if __name__ == "__main__":
    main()
