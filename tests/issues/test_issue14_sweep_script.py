"""The script that runs the whole comparison on a GPU works: every phase of its setting, in pieces, on a small model."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from toulmin.dictionaries.sweep import SweepShape


@pytest.fixture
def script() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks/dictionaries_sweep.py"
    spec = importlib.util.spec_from_file_location("dictionaries_sweep", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_pieces_give_what_one_call_gives(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """smollm2-gpu with another subject and size: tuning, three modes, longer local runs, finetuning; then a report."""
    gpu = script.SETTINGS["smollm2-gpu"]
    small = replace(
        gpu, subject="embedded:story-4l", tokens="stories", length=16, seeds=1, rows=12, every=1, scales=(0.5, 1.0),
        shape=SweepShape("L2.resid_pre", features=24, batch=2, steps=4, lr=1e-3), finetune=0.5, equal_flops=1.5,
        more_local=(0.3,),
        sparsities={"local": (0.1, 1.0), "e2e": (0.1, 1.0)}, l0=(1.0, 24.0), alive=(1.0, 24.0), cost=(1e-3, 20.0),
    )  # fmt: skip
    monkeypatch.setitem(script.SETTINGS, "smollm2-gpu", small)
    other = replace(
        small, subject="cached:no-such-subject", tokens="file:nowhere.npy"
    )  # --model, --tokens lead past it
    monkeypatch.setitem(script.SETTINGS, "smollm2-gpu", other)
    assert script.sweep("smollm2-gpu", tmp_path / "whole", tmp_path, "cpu", 10.0, "embedded:story-4l", "stories")
    monkeypatch.setitem(script.SETTINGS, "smollm2-gpu", small)
    checks = iter(range(10_000))
    monkeypatch.setattr(script.Piece, "over", property(lambda self: next(checks) % 5 == 4))
    calls = 1
    while not script.sweep("smollm2-gpu", tmp_path / "pieces", tmp_path, "cpu", 10.0):
        calls += 1
        assert calls < 30
    assert calls > 2
    whole, pieces = ((tmp_path / name / "smollm2-gpu/results.json").read_text() for name in ("whole", "pieces"))
    assert whole == pieces
    modes = [row["mode"] for row in json.loads(whole)]
    assert {mode: modes.count(mode) for mode in modes} == {
        "local": 3, "e2e": 2, "e2e+downstream": 2, "local, equal FLOPs": 2, "local, finetuned": 3,
    }  # fmt: skip
    script.report("smollm2-gpu", tmp_path / "whole")
