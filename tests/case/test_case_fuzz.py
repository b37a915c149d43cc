"""The reader of cases under arbitrary bytes and under mutations of a good case: faults, never a crash or a hang.

``make fuzz`` gives the last test its time in TOULMIN_FUZZ_SECONDS.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toulmin.case import Verdict, check_case, explain
from toulmin.faults import ExitCode, FaultError

TODAY = dt.date(2026, 11, 22)
SEED_CASE = """\
[case]
title = "A coin"
store = ".toulmin"
[subjects.coin]
reference = "file:coin.txt"
[[goal]]
id = "G"
text = "The coin shows heads"
supported_by = ["S", "M"]
in_context_of = ["A", "C"]
mode = { at_least = 1 }
[[strategy]]
id = "S"
text = "By throwing it"
supported_by = ["E", "F"]
confidence = "independent"
independence = "different days"
[[evidence]]
id = "E"
text = "200 throws"
study = "coins.rate"
configuration = { coin = "@coin", n = 20 }
criterion = "rate.low >= 0.9 and n >= 10"
prior = { theta = 0.5, p_star = 0.01, failures = "failures", justification = "a guess" }
absence = true
control = "F"
[[evidence]]
id = "F"
text = "Others"
planted = "a guess"
study = "coins.rate"
configuration = { coin = "@coin", n = 30 }
criterion = "(rate >= 0.5 or failures == 0)"
seeds = 2
max_age_days = 10
[[context]]
id = "C"
text = "Here"
[[assumption]]
id = "A"
text = "The coin is not swapped"
owner = "Jane"
justification = "It is in a box"
review = 2027-01-01
probability = [0.9, 1.0]
[[module]]
id = "M"
text = "Elsewhere"
case = "part"
[[defeater]]
id = "D"
kind = "undercut"
text = "But"
attacks = ["S->E", "D2"]
[[defeater]]
id = "D2"
kind = "rebut"
text = "No"
attacks = ["D", "G"]
supported_by = ["F"]
[[acceptance]]
of = "D"
by = "Jo"
on = 2026-01-01
"""
SEED_LOCK = """\
version = 2
digest = "00"
ledger = "ab"
known = ["cd"]
gone = ["ef"]
[elements]
G = "0123"
"[case]" = "4567"
[inputs]
"file:coin.txt" = "ab"
[evidence.E]
criterion = "rate.low >= 0.9"
registered = 2026-01-01
study_hash = "ab"
seeds = 2
since = 3
evidence = ["ab"]
[[decision]]
of = "D"
kind = "residual"
by = "Jo"
on = 2026-01-01
content = "89ab"
[[accepted]]
by = "Jo"
on = 2026-01-01
why = "seen"
changes = ["E: edited"]
[[history]]
on = 2026-01-01
health = "supported"
freshness = "stale"
exit_code = 3
low = 0.25
high = 0.5
changed = { G = "supported, stale", E = "supported" }
[[history]]
on = 2026-02-01
health = "refuted"
freshness = "current"
exit_code = 1
changed = { G = "refuted", E = "gone" }
"""
PART = '[case]\n[[goal]]\nid = "P"\ntext = "Part"\nundeveloped = true\n'
SCRAPS = [
    "1e400", "nan", "-inf", "9" * 5000, "0x", '""', "''", "[", "]", "{", "}", "[[goal]]", "[case]",
    "\\u0000", "\x00", "\u202e",
    '"""', "\ud7ff", "=", "..", "../", "/etc/passwd", "->", "G", "S", "E", "2026-99-99", "2026-01-01T00:00:00Z",
    "true", "@coin",
    "[" * 2000, "id = 'G'", "a.b.c = 1", "\n" * 50, "#", "\t", "\r", "mode = 3", "root = 'G'",
    "kind = 'rebut'", "e:x", "file:", "at_least",
]  # fmt: skip


def mutate(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(lines))
        action = rng.randrange(7)
        if action == 0:
            del lines[place]
        elif action == 1:
            lines.insert(place, lines[rng.randrange(len(lines))])
        elif action == 2:
            lines[place] = lines[place].replace(rng.choice('"=[],{} .'), rng.choice(SCRAPS), 1)
        elif action == 3:
            cut = rng.randint(0, len(lines[place]))
            lines[place] = lines[place][:cut] + rng.choice(SCRAPS) + lines[place][cut:]
        elif action == 4:
            words = lines[place].split('"')
            if len(words) > 2:
                words[rng.randrange(1, len(words), 2)] = rng.choice(
                    ["G", "S", "E", "A", "D", "M", "x", "", "../x", "a->b", "n>=1"]
                )
            lines[place] = '"'.join(words)
        elif action == 5:
            key, equals, _ = lines[place].partition("=")
            lines[place] = key + equals + " " + rng.choice(SCRAPS)
        else:
            other = rng.randrange(len(lines))
            lines[place], lines[other] = lines[other], lines[place]
        if not lines:
            lines = [""]
    return "\n".join(lines)


def survives(folder: Path, data: bytes, name: str = "case.toml") -> None:
    """Checking the case gives a verdict with an exit status of a case, in good time."""
    (folder / name).write_bytes(data)
    start = time.monotonic()
    checked = check_case(folder, today=TODAY)
    assert isinstance(checked.verdict, Verdict)
    assert 0 <= checked.verdict.exit_code <= ExitCode.EVIDENCE
    assert checked.verdict.reasons
    checked.verdict.to_json()
    if checked.evaluated is not None:
        checked.sensitivity()
        try:
            explain(checked)
        except FaultError as faulty:
            pytest.fail(str(faulty))
    assert time.monotonic() - start < 30


@pytest.fixture
def ground(bench):
    (bench.folder / "part").mkdir()
    (bench.folder / "part" / "case.toml").write_text(PART)
    (bench.folder / "case.toml").write_text(SEED_CASE)
    return bench.folder


def test_the_seed_is_a_case(ground):
    verdict = check_case(ground, today=TODAY).verdict
    assert verdict.health is not None
    assert verdict.nodes


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300))
def test_any_bytes(ground, data):
    survives(ground, data)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9))
def test_mutations_of_a_case(ground, seed):
    text = mutate(SEED_CASE, random.Random(seed))
    survives(ground, text.encode("utf-8", "surrogatepass"))


def test_a_lock_of_any_bytes(ground):
    rng = random.Random(0)
    for _ in range(30):
        (ground / "case.lock").write_bytes(mutate(SEED_LOCK, rng).encode("utf-8", "replace"))
        survives(ground, SEED_CASE.encode())


@pytest.mark.fuzz
@pytest.mark.slow
def test_the_reader_for_as_long_as_asked(ground):
    seconds = float(os.environ.get("TOULMIN_FUZZ_SECONDS", "20"))
    start = time.process_time()
    first = seed = int(os.environ.get("TOULMIN_FUZZ_SEED", "0"))
    while time.process_time() - start < seconds:
        seed += 1
        rng = random.Random(seed)
        text = SEED_CASE
        for _ in range(rng.randint(1, 3)):
            text = mutate(text, rng)
        data = text.encode("utf-8", "surrogatepass")
        if rng.random() < 0.2:
            place = rng.randrange(len(data))
            data = data[:place] + rng.randbytes(rng.randint(1, 8)) + data[place:]
        (ground / "case.lock").unlink(missing_ok=True)
        if rng.random() < 0.2:
            (ground / "case.lock").write_bytes(mutate(SEED_LOCK, rng).encode("utf-8", "replace"))
            data = data if rng.random() < 0.5 else SEED_CASE.encode()
        try:
            survives(ground, data)
        except BaseException:
            print(f"TOULMIN_FUZZ_SEED={seed - 1}")
            raise
    print(f"{seed - first} inputs")
