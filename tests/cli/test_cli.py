"""The command line as a person meets it: help, errors with their exit statuses, evidence that was tampered with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOSSES = 'study = "external.json"\n[configuration]\nreport = "file:units.json"\n'


def toulmin(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "toulmin", *arguments]
    env = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", **environment}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=env, check=False, timeout=240)


@pytest.fixture
def place(tmp_path) -> Path:
    units = [{"id": f"u{i}", "value": i % 2} for i in range(30)]
    (tmp_path / "units.json").write_text(json.dumps({"units": units}))
    (tmp_path / "study.toml").write_text(TOSSES)
    return tmp_path


def test_help_says_what_it_is_and_what_the_statuses_mean(tmp_path) -> None:
    shown = toulmin("--help", cwd=tmp_path)
    assert shown.returncode == 0
    for word in ("demo", "run", "case", "subjects", "evidence", "Exit status", "4 evidence"):
        assert word in shown.stdout
    assert toulmin("--version", cwd=tmp_path).stdout.startswith("toulmin 0.")


def test_a_study_runs_once_and_is_then_current(place) -> None:
    first = toulmin("run", "study.toml", "--json", cwd=place)
    assert first.returncode == 0, first.stderr
    record = json.loads(first.stdout)
    assert record["measures"]["value"]["value"] == 0.5
    again = json.loads(toulmin("run", "study.toml", "--json", cwd=place).stdout)
    assert again["id"] == record["id"]
    forced = json.loads(toulmin("run", "study.toml", "--json", "--force", cwd=place).stdout)
    assert forced["id"] != record["id"]
    assert len(json.loads(toulmin("evidence", "list", "--json", cwd=place).stdout)) == 2
    shown = toulmin("evidence", "show", record["id"][:8], cwd=place)
    assert "0.5" in shown.stdout
    assert "file:units.json" in shown.stdout
    assert toulmin("evidence", "verify", cwd=place).returncode == 0
    assert toulmin("evidence", "reproduce", record["id"][:8], cwd=place).returncode == 0


def test_an_edited_item_is_found_by_verify(place) -> None:
    toulmin("run", "study.toml", cwd=place)
    (rows,) = (place / ".toulmin" / "records").glob("*/items.jsonl")
    rows.write_text(rows.read_text().replace('{"value":0.0}', '{"value":1.0}', 1))
    found = toulmin("evidence", "verify", cwd=place)
    assert found.returncode == 4
    assert "evidence.tampered" in found.stderr
    assert "items.jsonl" in found.stderr


def test_a_truncated_record_is_listed_and_the_others_still_shown(place) -> None:
    toulmin("run", "study.toml", cwd=place)
    toulmin("run", "study.toml", "--force", cwd=place)
    one = sorted((place / ".toulmin" / "records").glob("*/record.json"))[0]
    one.write_bytes(one.read_bytes()[:200])
    listed = toulmin("evidence", "list", cwd=place)
    assert listed.returncode == 4
    assert "external.json" in listed.stdout
    assert "evidence.malformed" in listed.stderr


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ('study = "external.jsn"\n', 2, ["study.toml:1", "study.unknown", "external.json"]),
        (TOSSES + "extra = 1\n", 2, ["study.toml:4", "unknown key"]),
        (TOSSES.replace("units.json", "absent.json"), 5, ["reference.not_found", "absent.json"]),
        ("study = ", 2, ["study.toml:1", "toml.syntax"]),
    ],
)
def test_bad_input_has_its_place_and_status_and_no_traceback(place, text: str, status: int, words) -> None:
    (place / "study.toml").write_text(text)
    done = toulmin("run", "study.toml", cwd=place)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    as_json = toulmin("run", "study.toml", "--json", cwd=place)
    assert as_json.returncode == status
    assert json.loads(as_json.stdout)["faults"]


def test_not_a_number_is_refused_with_its_own_status(place) -> None:
    (place / "units.json").write_text('{"units": [{"id": "a", "value": NaN}, {"id": "b", "value": 1}]}')
    done = toulmin("run", "study.toml", cwd=place)
    assert done.returncode == 6
    assert "json.not_finite [units[0]]: the value is nan" in done.stderr
    assert not (place / ".toulmin" / "records").exists()


def test_a_corrupted_model_file_is_named(tmp_path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "card.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)
    done = toulmin("subjects", "show", f"dir:{folder}", cwd=tmp_path)
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_usage(tmp_path) -> None:
    assert toulmin("nothing", cwd=tmp_path).returncode == 2
    assert toulmin("run", "absent.toml", cwd=tmp_path).returncode == 2
