"""``toulmin run``: by kind and by file, settings on the command line, and seeds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import toulmin as package
from toulmin.faults import FaultError
from toulmin.studies import parse_settings

BEHAVIOUR = ["tasks.behaviour", "--preset", "tiny", "--subject", "embedded:induction-2l", "--set", "n=12"]


def toulmin(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "toulmin", *arguments]
    env = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=env, check=False, timeout=240)


def record(shown: subprocess.CompletedProcess[str]) -> dict:
    assert shown.returncode == 0, shown.stderr
    return json.loads(shown.stdout)


def test_a_kind_runs_with_settings_of_the_command_line(tmp_path) -> None:
    found = record(toulmin("run", *BEHAVIOUR, "--json", cwd=tmp_path))
    assert found["configuration"]["n"] == 12
    assert found["configuration"]["subject"] == "embedded:induction-2l"
    assert found["n"] == 12


def test_settings_of_the_command_line_replace_those_of_the_file(tmp_path) -> None:
    (tmp_path / "units.json").write_text(json.dumps({"units": [{"id": f"u{i}", "value": i % 2} for i in range(40)]}))
    (tmp_path / "study.toml").write_text('study = "external.json"\n[configuration]\nreport = "file:absent.json"\n')
    found = record(toulmin("run", "study.toml", "--set", "report=file:units.json", "--json", cwd=tmp_path))
    assert found["configuration"]["report"] == "file:units.json"


def test_another_seed_is_another_run_and_not_the_record_of_the_first(tmp_path) -> None:
    shown = toulmin("run", *BEHAVIOUR, "--json", cwd=tmp_path)
    assert "tasks.behaviour: about 3 s" in shown.stderr  # what its study expects it to take
    first = record(shown)
    seventh = record(toulmin("run", *BEHAVIOUR, "--seed", "7", "--json", cwd=tmp_path))
    assert (first["seeds"], seventh["seeds"]) == ([0], [7])
    again = toulmin("run", *BEHAVIOUR, "--seed", "7", cwd=tmp_path)
    assert "is still current" in again.stdout
    assert "(seed 7)" in again.stdout
    assert "about" not in again.stderr  # nothing is run
    assert "note: fewer than 30 units behind accuracy" in again.stdout


def test_the_time_of_a_subject_from_elsewhere_is_estimated_from_a_forward_pass(tmp_path) -> None:
    shutil.copytree(Path(package.__file__).parent / "assets" / "induction-2l", tmp_path / "mine")
    shown = toulmin("run", *BEHAVIOUR, "--subject", "dir:mine", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "estimated from a forward pass of the model" in shown.stderr
    ours = toulmin("run", *BEHAVIOUR, cwd=tmp_path)
    assert "forward pass" not in ours.stderr


def test_a_seed_that_draws_nothing_is_said_to_change_nothing(tmp_path) -> None:
    (tmp_path / "units.json").write_text(json.dumps({"units": [{"id": f"u{i}", "value": i % 2} for i in range(40)]}))
    run = ["run", "external.json", "--set", "report=file:units.json"]
    record(toulmin(*run, "--json", cwd=tmp_path))
    shown = toulmin(*run, "--seed", "7", cwd=tmp_path)
    assert "seed 7 would change nothing" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tasks.behavior"], ["study.unknown", "tasks.behaviour"]),
        (["tasks.behaviour", "--preset", "huge"], ["study.unknown_preset", "tiny"]),
        (["tasks.behaviour", "--preset", "tiny", "--set", "m=3"], ["unknown key", "m"]),
        (["tasks.behaviour", "--preset", "tiny", "--set", "n"], ["study.setting", "KEY=VALUE"]),
        (["absent.toml"], ["absent.toml"]),
    ],
)
def test_mistakes_have_a_place_and_a_status(tmp_path, arguments: list[str], words: list[str]) -> None:
    shown = toulmin("run", *arguments, cwd=tmp_path)
    assert shown.returncode not in (0, 1)
    assert "Traceback" not in shown.stderr
    for word in words:
        assert word in shown.stderr


def test_values_are_toml_or_text() -> None:
    found = parse_settings(["n=3", "x=0.5", "on=true", "names=['a', 'b']", "text=file:a b.txt", "method.tau=0.1"])
    expected = {"n": 3, "x": 0.5, "on": True, "names": ["a", "b"], "text": "file:a b.txt", "method": {"tau": 0.1}}
    assert found == expected
    with pytest.raises(FaultError) as caught:
        parse_settings(["n", "=3", "a=1", "a.b=2"])
    assert len(caught.value.faults) == 3
