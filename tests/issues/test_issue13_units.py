"""Issue 13: what a study of a real model says of itself: what its n counts, how long it will take, where it goes on.

A record counted templates where its interval resampled them and called them prompts; a study of a model that does not
ship with the package said nothing of the time it takes; the matrix of all pairs of heads began anew after a stop.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from toulmin.circuits import Circuit, CircuitRunner, Methodology
from toulmin.evidence import Store
from toulmin.faults import FaultError
from toulmin.paths import head_to_head
from toulmin.studies import Progress, Run, execute, find_study, re_derive
from toulmin.subjects import load, save_subject
from toulmin.tasks import find_task, write_pairs

SUBJECT = "embedded:induction-2l"
STUDIES: dict[str, dict[str, Any]] = {
    "tasks.behaviour": {},
    "paths.evaluate": {"hypotheses": [{"name": "a", "text": "L0.H* ~> logits"}], "resamples": 50},
    "paths.matrix": {"components": []},
    "circuits.discover": {
        "n": 24,
        "n_discover": 12,
        "metrics": ["logit_diff", "kl"],
        "resamples": 50,
        "points": 3,
        "compared": 5,
    },
}
OTHER_UNITS = {"agreement"}  # of edges


def study_of(kind: str, folder: Path, templates: int) -> Any:
    """The study on 36 pairs that name ``templates`` templates in turn."""
    pairs = find_task("induction", load(SUBJECT), length=8).generate(36, seed=3)
    file = folder / "pairs.jsonl"
    write_pairs([replace(pair, template=f"t{i % templates}") for i, pair in enumerate(pairs)], file)
    return find_study(kind).model_validate({"subject": SUBJECT, "pairs": f"file:{file}", **STUDIES[kind]})


@pytest.mark.parametrize("kind", STUDIES)
@pytest.mark.parametrize(("templates", "unit"), [(12, "templates"), (3, "prompts")])
def test_n_counts_what_the_interval_resamples(kind: str, templates: int, unit: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    study = study_of(kind, tmp_path, templates)
    evidence = execute(study, store, Run(tmp_path / "work"))
    expected = 12 if unit == "templates" else study.n or 36
    for name, measure in evidence.measures.items():
        if name not in OTHER_UNITS:
            assert (measure.n, measure.n_of) == (expected, unit), name
            assert measure.interval is None or measure.interval.units in (expected, None)  # None: an exact one
    assert any(f"from {templates} templates" in note for note in evidence.notes)
    assert re_derive(evidence, store) == []


class Heard(Progress):
    """What a run says, in order; it stops after so many steps of a task."""

    def __init__(self, stop_after: float = np.inf) -> None:
        self.said: list[str] = []
        self.left = stop_after

    def note(self, text: str) -> None:
        self.said.append(text)

    @contextlib.contextmanager
    def task(self, description: str, total: int | None = None) -> Generator[Callable[[int], None]]:
        self.said.append(f"task {description}")

        def advance(steps: int) -> None:
            self.left -= steps
            if self.left <= 0:
                raise KeyboardInterrupt

        yield advance


@pytest.mark.parametrize(
    "kind", ["tasks.behaviour", "paths.evaluate", "paths.matrix", "circuits.card", "circuits.stability"]
)
def test_a_study_of_a_model_of_your_own_says_first_how_long_it_takes(kind: str, tmp_path: Path) -> None:
    save_subject(tmp_path / "mine", load(SUBJECT).model)
    settings = {"n": 12, **STUDIES[kind]} if kind in STUDIES else find_study(kind).presets["tiny"]
    own = {"subject": f"dir:{tmp_path / 'mine'}", "task": "induction"}
    heard = Heard()
    find_study(kind).model_validate({**settings, **own}).collect(Run(tmp_path / "work", heard))
    first = heard.said[0]
    assert re.fullmatch(rf"{kind}: about \d+ (s|min|h), estimated from a forward pass of the model", first)


def test_the_estimate_of_a_model_of_the_package_comes_before_it_is_loaded(tmp_path: Path) -> None:
    quiet, study = Heard(), find_study("tasks.behaviour").preset("tiny")
    study.collect(Run(tmp_path / "work", quiet))
    assert quiet.said == ["task scoring prompts"]
    assert study.cost() is not None


def test_some_receivers_are_a_part_of_the_matrix() -> None:
    subject = load("embedded:story-4l")
    pairs = find_task("story.two_name", subject).generate(3, seed=0)
    whole, some = head_to_head(subject, pairs), ["L2.H1", "L1.H0"]
    part = head_to_head(subject, pairs, receivers=some)
    columns = [whole.columns.index(name) for name in some]
    rows = [whole.rows.index(name) for name in part.rows]
    assert part.columns == tuple(some)
    assert {name[:2] for name in part.rows} == {"L0", "L1"}
    np.testing.assert_allclose(part.per_pair, whole.per_pair[:, rows][:, :, columns], atol=1e-5)
    with pytest.raises(FaultError, match=r"L0\.H0(.|\n)*L9\.H0"):
        head_to_head(subject, pairs, receivers=["L0.H0", "L9.H0"])


def test_a_matrix_that_was_stopped_goes_on_with_its_next_layer(tmp_path: Path) -> None:
    settings = {"subject": "embedded:story-4l", "task": "story.two_name", "n": 3, "components": ["K"]}
    study, store = find_study("paths.matrix").model_validate(settings), Store(tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        execute(study, store, Run(tmp_path / "work", Heard(stop_after=1)))
    (kept,) = (tmp_path / "work").rglob("K-1.json")
    piece = json.loads(kept.read_text())
    piece["cells"][0][0][0] = 1234.5  # a mark: what was kept is not computed again
    kept.write_text(json.dumps(piece))
    evidence = execute(study, store, Run(tmp_path / "work"))
    found = store.items(evidence)["[K]"]
    subject = load("embedded:story-4l")
    fresh = head_to_head(subject, find_task("story.two_name", subject).generate(3, seed=0)).per_prompt
    expected = np.nan_to_num(fresh)
    expected[0, 0, 0] = 1234.5
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not list((tmp_path / "work").rglob("K-1.json"))


class Largest(TorchDispatchMode):
    """The most numbers of a tensor that is made."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.numbers = max(self.numbers, made.numel())
        return made


def test_circuits_are_run_within_the_bytes_given() -> None:
    subject = load(SUBJECT)
    pairs = find_task("induction", subject, length=8).generate(8, seed=0)
    found: list[tuple[np.ndarray[Any, Any], int]] = []
    for bound in (None, 200_000):
        runner = CircuitRunner(subject.model, pairs, max_bytes=bound)
        rng = np.random.default_rng(0)
        circuits = [
            Circuit(runner.graph, runner.graph.allowed & (rng.random(runner.graph.allowed.shape) < 0.5))
            for _ in range(40)
        ]
        with Largest() as largest:
            scores = runner.scores(circuits, Methodology(), ["logit_diff"])["logit_diff"]
        found.append((scores, largest.numbers))
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-4)
    assert found[1][1] < found[0][1]
