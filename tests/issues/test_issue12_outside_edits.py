"""Issue 12, "is done when" 2, for data from outside: no edit that invents no result makes a criterion pass.

Whoever has a log that does not pass may drop samples, have them crash, lose their scores, repeat them under other ids,
relabel them, or declare as missing what has a score. What was never scored stays unknown, and what is repeated counts
once, so that none of it helps, whichever way the claim goes. TOULMIN_EDIT_TRIALS says how many trials the slow run has.
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toulmin.case.argument.health import Outcome
from toulmin.case.evidence.criterion import decide, parse_criterion, vacuous_branches
from toulmin.external import InspectEvaluation, JsonUnits
from toulmin.faults import FaultError
from toulmin.studies import MeasureSpec, Resolver, Run, Study

MANY = int(os.environ.get("TOULMIN_EDIT_TRIALS", "2500"))
Samples = list[dict[str, Any]]


def outcome(folder: Path, study: Study, criterion: str) -> Outcome:
    """What the criterion says of the study's file; a file that is refused is an error."""
    placed = study.at(Resolver(folder))
    assert vacuous_branches(parse_criterion(criterion), placed.measure_specs()) == []
    try:
        items = placed.collect(Run(folder))
    except FaultError:
        return Outcome.ERROR
    return decide(parse_criterion(criterion), placed.summarise(items).measures, items.n)[0]


def write_log(folder: Path, samples: Samples, ids: list[str], epochs: int) -> None:
    about = {"sample_ids": ids, "samples": len(ids)}
    header = {"model": "m", "dataset": about, "config": {"epochs": epochs}, "metadata": {"model_sha256": "a" * 64}}
    log = {"version": 2, "status": "success", "eval": header, "results": {}, "samples": samples}
    (folder / "log.json").write_text(json.dumps(log))


def write_units(folder: Path, samples: Samples, ids: list[str], epochs: int) -> None:
    units = [{"id": s["id"], "value": s["scores"]["s"]["value"] == "C", "input": s["input"]} for s in samples]
    (folder / "units.json").write_text(json.dumps({"units": [{**u, "value": int(u["value"])} for u in units]}))


def drop(samples: Samples, rng: random.Random) -> Samples:
    gone = rng.sample(range(len(samples)), rng.randint(1, max(1, len(samples) // 3)))
    return [s for i, s in enumerate(samples) if i not in gone] or samples


def fail(samples: Samples, rng: random.Random) -> Samples:
    return [{**s, "error": "it crashed"} if rng.random() < 0.2 else s for s in samples]


def lose(samples: Samples, rng: random.Random) -> Samples:
    lost: list[dict[str, Any]] = [{}, {"s": {"value": None}}, {"s": {"value": "?"}}, {"other": {"value": "C"}}]
    return [{**s, "scores": rng.choice(lost)} if rng.random() < 0.2 else s for s in samples]


def repeat(samples: Samples, rng: random.Random) -> Samples:
    """Many copies under other ids, of samples with one grade as a rule."""
    grade = rng.choice(["C", "I", None])
    chosen = [s for s in samples if grade is None or s["scores"].get("s", {}).get("value") == grade]
    copies = [{**s, "id": f"{s['id']}-{rng.random()}-{i}"} for s in chosen for i in range(rng.choice((1, 3, 20)))]
    return [*samples, *copies]


def relabel(samples: Samples, rng: random.Random) -> Samples:
    return [{**s, "metadata": {"x": rng.random()}} for s in rng.sample(samples, len(samples))]


LOG_EDITS: list[Callable[[Samples, random.Random], Samples]] = [drop, fail, lose, repeat, relabel]


def make(rng: random.Random) -> tuple[Samples, int]:
    epochs = rng.choice((1, 1, 1, 3))
    n, rate = rng.choice((3, 12, 40, 100)), rng.choice((0.0, 0.03, 0.1, 0.5, 0.9, 0.97, 1.0))
    samples = [
        {
            "id": f"q{i}",
            "epoch": epoch,
            "input": f"question {i}",
            "scores": {"s": {"value": "C" if rng.random() < rate else "I"}},
        }
        for i in range(n)
        for epoch in range(1, epochs + 1)
    ]
    return samples, epochs


def threshold(rng: random.Random, name: str) -> str:
    value = rng.choice((0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99))
    return rng.choice((f"{name}.low >= {value}", f"{name}.high <= {value}", f"{name} > {value}", f"{name} < {value}"))


def try_log(folder: Path, rng: random.Random) -> bool:
    """One log that does not pass, edited; False if the log passes as it is."""
    samples, epochs = make(rng)
    ids, criterion = list(dict.fromkeys(s["id"] for s in samples)), threshold(rng, "score")
    study = InspectEvaluation(log="file:log.json", scorer="s", better=rng.choice(("higher", "lower")))
    write_log(folder, samples, ids, epochs)
    if outcome(folder, study, criterion) is Outcome.PASS:
        return False
    done: list[str] = []
    for _ in range(rng.choice((1, 1, 2, 4))):
        change = rng.choice(LOG_EDITS)
        samples = change(copy.deepcopy(samples), rng)
        done.append(change.__name__)
    if rng.random() < 0.2:
        scored = [s["id"] for s in samples if "error" not in s and s["scores"].get("s", {}).get("value") in ("C", "I")]
        if scored:
            study = study.model_copy(update={"declared_missing": tuple(rng.sample(scored, 1))})
            done.append("declared")
    write_log(folder, samples, ids, epochs)
    assert outcome(folder, study, criterion) is not Outcome.PASS, (criterion, done)
    return True


def try_units(folder: Path, rng: random.Random) -> bool:
    """The same for a file of units, which can only be repeated and relabelled: it does not say what it should hold."""
    samples, _ = make(rng)
    samples = [s for s in samples if s["epoch"] == 1]
    criterion, study = threshold(rng, "value"), JsonUnits(report="file:units.json")
    write_units(folder, samples, [], 1)
    if outcome(folder, study, criterion) is Outcome.PASS:
        return False
    for _ in range(rng.choice((1, 2))):
        samples = rng.choice((repeat, relabel))(samples, rng)
    write_units(folder, samples, [], 1)
    assert outcome(folder, study, criterion) is not Outcome.PASS, criterion
    return True


@pytest.mark.parametrize("trials", [150, pytest.param(2 * MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["log", "units"])
def test_no_edit_that_invents_no_result_makes_a_criterion_pass(tmp_path, kind: str, trials: int) -> None:
    run = {"log": try_log, "units": try_units}[kind]
    tried = sum(run(tmp_path, random.Random(f"{kind} {trial}")) for trial in range(trials))
    assert tried > trials // 2


WORDS = ["rate", "loss", "n", "seeds", "rate.low", "rate.high", "rate.n", "and", "or", "(", ")", ">=", "<=", ">", "<",
         "==", "!=", "0", "1", "0.5", "-1", "1e9", "-1e9", "0.9"]  # fmt: skip
SPECS = {"rate": MeasureSpec("1", "higher", "a share", 0.0, 1.0), "loss": MeasureSpec("nats", "lower", "a mean", 0.0)}


def edit_criterion(text: str, rng: random.Random) -> str:
    words = text.replace("(", " ( ").replace(")", " ) ").split()
    place = rng.randrange(len(words))
    action = rng.randrange(4)
    if action == 0:
        words[place] = rng.choice(WORDS)
    elif action == 1:
        words.insert(place, rng.choice(WORDS))
    elif action == 2 and len(words) > 1:
        del words[place]
    else:
        measure = rng.choice(["rate", "loss", "n", "rate.low", "seeds"])
        words += [rng.choice(["and", "or"]), measure, rng.choice(WORDS[11:17]), rng.choice(WORDS[17:])]
    return " ".join(words)


@pytest.mark.parametrize("trials", [600, pytest.param(4 * MANY, marks=pytest.mark.slow)])
def test_no_edit_of_a_criterion_is_both_accepted_and_met_by_everything(trials: int) -> None:
    """Whatever is accepted fails, or decides nothing, on some values that the measures can have."""
    from toulmin.case import CriterionError
    from toulmin.evidence import Measure

    grid = {"rate": [i / 16 for i in range(17)], "loss": [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0, 2.0, 1e5]}

    def met(text: str, rate: float, loss: float) -> bool:
        exact = {
            name: Measure(value=value, unit="1", n=10**9, no_interval="exact")
            for name, value in (("rate", rate), ("loss", loss))
        }
        return decide(parse_criterion(text), exact, 10**9, 10**9)[0] is Outcome.PASS

    accepted = 0
    for trial in range(trials):
        rng = random.Random(trial)
        text = rng.choice(
            ["rate >= 0.9 and n >= 100", "rate > 0.5 or loss < 0.5", "( rate < 0.5 or loss > 1 ) and n >= 3"]
        )
        for _ in range(rng.choice((1, 2, 3, 6))):
            text = edit_criterion(text, rng)
        try:
            if vacuous_branches(parse_criterion(text), SPECS):
                continue
        except (CriterionError, KeyError):
            continue
        if any(name in text for name in (".low", ".high")):
            continue  # without an interval these are never met
        accepted += 1
        assert any(not met(text, rate, loss) for rate in grid["rate"] for loss in grid["loss"]), text
    assert accepted > trials // 20
