"""The base of every study of a language model: its sources, its sets of prompts, its dtype."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from toulmin.faults import FaultError
from toulmin.studies import Run
from toulmin.tasks import Pair, Prompts, read_pairs, write_pairs
from toulmin.tasks.behaviour import Behaviour

INDUCTION = {"subject": "embedded:induction-2l", "task": "induction"}
STORY = "embedded:story-4l"


def prompts(tmp_path: Path, **fields: object) -> Prompts:
    return Behaviour.model_validate(fields).load(Run(tmp_path))


@pytest.fixture
def file(tmp_path: Path) -> str:
    pairs = [Pair((1, i), (1, i + 1), (3,), (4,), unit=f"u{i // 2}") for i in range(12)]
    write_pairs(pairs, tmp_path / "p.jsonl")
    return f"file:{tmp_path / 'p.jsonl'}"


def test_exactly_one_source() -> None:
    for fields in ({}, {"task": "induction", "pairs": "file:x"}, {"task": "induction", "text": "file:x"}):
        with pytest.raises(ValueError, match="give one of task, pairs and text"):
            Behaviour.model_validate({"subject": STORY, **fields})
    for extra in ({"options": {"length": 9}}, {"split": "train"}):
        with pytest.raises(ValueError, match="belongs to a task"):
            Behaviour.model_validate({"subject": STORY, "pairs": "file:x", **extra})
    with pytest.raises(ValueError, match="float32"):
        Behaviour.model_validate({**INDUCTION, "dtype": "int8"})


def test_pairs_of_a_task_follow_the_seed(tmp_path: Path) -> None:
    found = prompts(tmp_path, **INDUCTION, n=5)
    assert found.pairs() == found.pairs(5, seed=0)
    assert found.pairs(3, seed=1) == found.pairs(5, seed=1)[:3]
    assert not {p.unit for p in found.pairs(5)} & {p.unit for p in found.pairs(5, seed=1)}
    assert len(prompts(tmp_path, **INDUCTION).pairs()) == 200


def test_a_file_gives_all_or_the_first_of_its_pairs(tmp_path: Path, file: str) -> None:
    found = prompts(tmp_path, subject=STORY, pairs=file)
    everything = read_pairs(file.removeprefix("file:"))
    assert found.pairs() == everything
    assert found.pairs(seed=5) == everything
    assert prompts(tmp_path, subject=STORY, pairs=file, n=4).pairs() == everything[:4]
    with pytest.raises(FaultError, match="13 pairs are asked for, and the file has 12"):
        found.pairs(13)


def test_sets_share_no_unit(tmp_path: Path, file: str) -> None:
    found = prompts(tmp_path, subject=STORY, pairs=file)
    first, second, third = found.disjoint_pairs((3, 4, 2))
    assert [p.unit for p in first] == ["u0", "u0", "u1"]
    assert [p.unit for p in second] == ["u2", "u2", "u3", "u3"]  # the other pair of u1 is not used
    assert [p.unit for p in third] == ["u4", "u4"]
    with pytest.raises(FaultError, match=r"3 \+ 9 pairs without a unit in common are asked for, and there are 12"):
        found.disjoint_pairs((3, 9))
    generated = prompts(tmp_path, **INDUCTION)
    a, b = generated.disjoint_pairs((6, 7), seed=2)
    assert (a, b) == (generated.pairs(6, seed=4), generated.pairs(7, seed=5))


def test_sets_of_a_small_task_share_no_unit(tmp_path: Path, shared: Path) -> None:
    """A compiled program has finitely many inputs, each of them drawn in the two sets if nothing stops it."""
    folder = shared / "data/tracr"
    subject, options = f"file:{folder}/hist.npz", {"folder": str(folder), "program": "hist"}
    found = prompts(tmp_path, subject=subject, task="tracr", options=options)
    a, b = found.disjoint_pairs((20, 20))
    assert len(a) == len(b) == 20
    assert not {p.unit for p in a} & {p.unit for p in b}
    with pytest.raises(FaultError, match=r"tasks\.count"):
        found.disjoint_pairs((10_000, 10_000))


def test_windows_of_a_text(tmp_path: Path) -> None:
    words = ("Anna", "Ben", "lost", "found", "the", "key", "rope", "and")
    drawn = np.random.default_rng(0).choice(words, 600)
    (tmp_path / "t.txt").write_text(" ".join(drawn.tolist()))  # no window twice
    text = f"file:{tmp_path / 't.txt'}"
    found = prompts(tmp_path, subject=STORY, text=text, length=6, n=8)
    pairs = found.pairs()
    assert len({p.unit for p in pairs}) == 8
    assert {p.length for p in pairs} == {6}
    a, b = found.disjoint_pairs((5, 4))
    assert not {p.unit for p in a} & {p.unit for p in b}
    items = found.study.collect(Run(tmp_path))
    summary = found.study.summarise(items)
    found.study.check_summary(summary)
    assert set(summary.measures) == {"accuracy", "loss"}  # a window names no wrong token
    with pytest.raises(FaultError, match="no tokenizer"):
        prompts(tmp_path, subject="embedded:induction-2l", text=text, n=2).pairs()
    (tmp_path / "t.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(FaultError, match=r"tasks\.file"):
        prompts(tmp_path, subject=STORY, text=text, n=2).pairs()


def test_the_dtype_is_the_models(tmp_path: Path) -> None:
    losses = {}
    for name in ("float32", "float64", "bfloat16"):
        found = prompts(tmp_path, **INDUCTION, n=8, dtype=name)
        assert found.model.W_E.dtype == getattr(torch, name)
        assert not found.model.training
        losses[name] = found.study.collect(Run(tmp_path))["loss"]
    assert abs(losses["float32"] - losses["float64"]).max() < 1e-4
    assert 0 < abs(losses["bfloat16"] - losses["float64"]).max() < 0.2


def test_pairs_without_wrong_answers_are_named(tmp_path: Path) -> None:
    write_pairs([Pair((1, 2), (1, 3), (3,), unit="no-wrong")] * 2, tmp_path / "p.jsonl")
    with pytest.raises(FaultError, match="no-wrong"):
        prompts(tmp_path, subject=STORY, pairs=f"file:{tmp_path / 'p.jsonl'}").study.collect(Run(tmp_path))


def test_a_study_is_read_without_torch() -> None:
    code = (
        "import sys; from toulmin.tasks import PromptStudy; from toulmin.studies import find_study; "
        "kinds = ('tasks.behaviour', 'paths.evaluate', 'circuits.card'); "
        "[find_study(k).preset('tiny').measure_specs() for k in kinds]; "
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"
