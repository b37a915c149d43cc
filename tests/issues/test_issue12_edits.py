"""Issue 12, "is done when" 2: no edit of record, item, lock, ledger, input or case turns a non-zero exit into 0.

Random edits of a case that is not releasable, for several reasons. An edit that is a named acceptance is not made here:
the generator never writes an ``[[acceptance]]``. TOULMIN_EDIT_TRIALS=2500 makes 10,000 of the four cases together.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from toulmin.case import check_case, run_case
from toulmin.faults import ExitCode

CASE = """\
[case]
title = "The coin does not fail"
[subjects.coin]
reference = "file:coin.txt"
[[goal]]
id = "G"
text = "A throw does not fail"
supported_by = ["S"]
in_context_of = ["A"]
[[strategy]]
id = "S"
text = "By throwing it twice"
supported_by = ["E", "F"]
[[evidence]]
id = "E"
text = "It shows heads"
study = "coins.rate"
configuration = { coin = "@coin", n = 40 }
criterion = "rate.low >= 0.9"
[[evidence]]
id = "F"
text = "Few failures"
study = "coins.rate"
configuration = { coin = "@coin", n = 60 }
criterion = "failures <= 0"
seeds = 2
[[assumption]]
id = "A"
text = "The coin is not swapped"
owner = "Jane"
justification = "It is in a box"
review = 2099-01-01
"""
ACCEPTED = '[[acceptance]]\nof = "A"\nby = "Jo"\non = 2026-01-01\n'
DOUBT = '[[defeater]]\nid = "D"\nkind = "rebut"\ntext = "It may land on its edge"\nattacks = ["G"]\n'
MANY = int(os.environ.get("TOULMIN_EDIT_TRIALS", "300"))
NUMBERS = ["0", "1", "0.5", "-1", "1e-9", "0.9", "2", "100", "true", "false", "null", '""', '"E"', "[]", "{}"]
OPERATORS = ["or", "and", "<=", ">=", "low", "high", "value", "any", "all", "mode", "undeveloped", "seeds", "n"]

#: name -> the text of a case that is not releasable, and the coin it is about
CASES: dict[str, tuple[str, str]] = {
    "refuted": (CASE + ACCEPTED, "0.5"),
    "inconclusive": (CASE + ACCEPTED, "0.96"),
    "nobody accepted the assumption": (CASE, "1.0"),
    "a doubt stands": (CASE + ACCEPTED + DOUBT, "1.0"),
}


def edit_text(text: str, rng: random.Random) -> str:
    """One edit of a text: a line lost, doubled or moved, a number or a word replaced, characters changed."""
    lines = text.splitlines(keepends=True)
    kind = rng.randrange(7)
    place = rng.randrange(max(1, len(lines)))
    if kind == 0 and lines:
        del lines[place : place + rng.choice((1, 1, 2, 5))]
    elif kind == 1 and lines:
        lines.insert(rng.randrange(len(lines)), lines[place])
    elif kind == 2 and lines:
        lines.insert(rng.randrange(len(lines)), lines.pop(place))
    elif kind == 3 and lines:
        words = lines[place].split(" ")
        words[rng.randrange(len(words))] = rng.choice(NUMBERS + OPERATORS)
        lines[place] = " ".join(words)
    elif kind == 4 and text:
        at = rng.randrange(len(text))
        return text[:at] + rng.choice('0123456789.-<>="[]{}, \nabcdef') + text[at + rng.choice((0, 1, 3)) :]
    elif kind == 5:
        old, new = rng.sample([">= 0.9", "<= 0", "n = 40", "n = 60", "seeds = 2", '"E", "F"', "true", "false"], 2)
        return text.replace(old, new, 1)
    else:
        digits = [i for i, c in enumerate(text) if c.isdigit()]
        if digits:
            at = rng.choice(digits)
            return text[:at] + str(rng.randrange(10)) + text[at + 1 :]
    return "".join(lines)


def editable(folder: Path, world: bool) -> list[Path]:
    found = [folder / "case.toml", folder / "case.lock", folder / ".toulmin/ledger.jsonl"]
    found += [folder / "coin.txt"] if world else []
    records = sorted((folder / ".toulmin/records").glob("*/*"))
    return [path for path in [*found, *records, folder / "case.toml", folder / "case.lock"] if path.is_file()]


def edit(folder: Path, rng: random.Random, world: bool) -> str:
    """Make one edit below ``folder`` (of the coin only if ``world``); what was done. Never a decision by name."""
    path = rng.choice(editable(folder, world))
    action = rng.random()
    if action < 0.06:
        if path.parent.parent.name == "records" and rng.random() < 0.5:
            path = path.parent
            shutil.rmtree(path)
        else:
            path.unlink()
        return f"deleted {path.name}"
    if action < 0.1 and path.parent.parent.name == "records":
        path.parent.rename(path.parent.with_name("".join(rng.choices("0123456789abcdef", k=64))))
        return "renamed a record"
    before = path.read_text(encoding="utf-8")
    after = edit_text(before, rng)
    if path.name == "case.toml" and after.count("acceptance") > before.count("acceptance"):
        return "nothing"
    path.write_text(after, encoding="utf-8")
    return f"edited {path.name}"


def restore(pristine: Path, ground: Path) -> None:
    shutil.rmtree(ground, ignore_errors=True)
    shutil.copytree(pristine, ground)


def try_edits(
    pristine: Path,
    ground: Path,
    trials: int,
    seed: int,
    judge: Callable[[Path], ExitCode],
    whole: str,
    world: bool = True,
) -> dict[ExitCode, int]:
    """Edits of a case that is not releasable, one to three at a time; no trial may come out releasable."""
    seen: dict[ExitCode, int] = {}
    for trial in range(trials):
        rng = random.Random(f"{seed} {trial}")
        restore(pristine, ground)
        done = [edit(ground, rng, world) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        found = judge(ground)
        seen[found] = seen.get(found, 0) + 1
        assert found is not ExitCode.OK, f"{whole}, trial {trial}: {done}\n{(ground / 'case.toml').read_text()}"
    return seen


def check(folder: Path) -> ExitCode:
    return check_case(folder).verdict.exit_code


def check_after_running(folder: Path) -> ExitCode:
    """Somebody also runs the case after the edit: what is missing is made, and nothing may be washed."""
    from toulmin.faults import FaultError

    try:
        run_case(folder)
    except FaultError as faulty:
        return faulty.exit_code
    return check(folder)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("trials", [60, pytest.param(MANY, marks=pytest.mark.slow)])
def test_no_edit_makes_a_case_releasable(bench, name: str, trials: int) -> None:
    text, coin = CASES[name]
    pristine, ground = bench.folder / "pristine", bench.folder / "ground"
    pristine.mkdir()
    (pristine / "case.toml").write_text(text)
    (pristine / "coin.txt").write_text(coin)
    run_case(pristine)
    assert check(pristine) is ExitCode.NOT_SUPPORTED
    seen = try_edits(pristine, ground, trials, 12, check, name)
    assert len(seen) > 1  # the edits do something
    assert sum(seen.values()) == trials


@pytest.mark.parametrize("trials", [15, pytest.param(MANY // 5, marks=pytest.mark.slow)])
def test_no_edit_and_run_makes_a_case_releasable(bench, trials: int) -> None:
    pristine, ground = bench.folder / "pristine", bench.folder / "ground"
    pristine.mkdir()
    (pristine / "case.toml").write_text(CASE + ACCEPTED)
    (pristine / "coin.txt").write_text("0.5")
    run_case(pristine)
    # the coin is left alone: a better coin, thrown again, is no forgery
    seen = try_edits(pristine, ground, trials, 13, check_after_running, "run again", world=False)
    assert sum(seen.values()) == trials
