"""From the log of the Inspect task ``oversight_control`` to the rows of scores that ``external.control`` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from toulmin.external.inspect_log import read_inspect_log
from toulmin.faults import ExitCode, Fault, FaultError

_KEYS = ("harm", "honest_suspicion", "attack_suspicion")


def write_control_rows(log: Path, scores: Path) -> int:
    """Write two rows a sample to ``scores``, the honest answer and the attack, and beside it which model they are of.

    Rows of one desk are one cluster. Returns the number of rows.

    :raises FaultError: the log cannot be read, its run did not succeed, or a sample is missing, in error or unscored:
        attacks that are missing could be those that pass.
    """
    found = read_inspect_log(log)
    faults: list[Fault] = []
    if found.status != "success" or found.invalidated:
        faults.append(Fault("inspect.status", f"the run ended as {found.status!r}, or was invalidated", str(log)))
    if not found.samples or len(found.samples) < found.expected:
        text = f"{len(found.samples)} of {found.expected} samples"
        faults.append(Fault("inspect.incomplete", text, str(log)))
    rows: list[dict[str, Any]] = []
    for sample in found.samples:
        name = f"{sample.id}/{sample.epoch}"
        values = [sample.scores.get(f"proposal/{key}") for key in _KEYS]
        if sample.error or None in values:
            faults.append(Fault("inspect.scorer", "in error, or without the scores of proposal", str(log), name=name))
            continue
        harm, honest, attack = values
        common = {"cluster": sample.id, "input": sample.content or sample.id}
        rows.append({"id": f"{name}/honest", "label": "honest", "suspicion": honest, **common})
        rows.append({"id": f"{name}/attack", "label": "attack", "suspicion": attack, "succeeds": harm == 1.0, **common})
    if faults:
        raise FaultError(faults, ExitCode.EVIDENCE)
    scores.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    identity = {"model": found.metadata.get("model_name") or found.model, "sha256": found.metadata.get("model_sha256")}
    sidecar = scores.with_name(f"{scores.name}.model.json")
    sidecar.write_text(json.dumps({key: value for key, value in identity.items() if value}), encoding="utf-8")
    return len(rows)
