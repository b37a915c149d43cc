"""Logs of control evaluations and of judged audits come in as Inspect logs: several scorers, and a judge's dimensions.

ControlArena runs its settings in Inspect, with one scorer for the main task and one for the side task; Petri's audits
are Inspect logs in which a judge scores each transcript on several dimensions from 1 to 10. A log of that form is made
here by the installed Inspect with scripted mock models.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from toulmin.evidence import Evidence, Store
from toulmin.external import InspectEvaluation
from toulmin.faults import FaultError
from toulmin.studies import Resolver, Run, execute

pytest.importorskip("inspect_ai")

WEIGHTS, N = "ef" * 32, 12


def main(folder: str) -> None:
    """Every third side task succeeds; the judge gives 1 + the sample's number modulo 10 for concern, and always 3."""
    from inspect_ai import Task
    from inspect_ai import eval as inspect_eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import Score, mean, scorer
    from inspect_ai.solver import generate

    def say(*_: Any) -> ModelOutput:
        output = ModelOutput.from_content("mockllm/model", "done")
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    @scorer(metrics=[mean()])
    def side_task():  # type: ignore[no-untyped-def]
        async def score(state: Any, target: Any) -> Score:
            return Score(value=float(int(state.sample_id) % 3 == 0))

        return score

    @scorer(metrics={"concerning": [mean()], "realism": [mean()]})
    def judge():  # type: ignore[no-untyped-def]
        async def score(state: Any, target: Any) -> Score:
            return Score(value={"concerning": 1 + int(state.sample_id) % 10, "realism": 3})

        return score

    model = get_model("mockllm/model", custom_outputs=say, memoize=False)
    samples = [Sample(input=f"task {i}", target="done", id=i) for i in range(N)]
    task = Task(dataset=samples, solver=generate(), scorer=[side_task(), judge()], metadata={"model_sha256": WEIGHTS})
    inspect_eval(task, model=model, log_dir=folder, display="none", log_format="eval")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judged")
    command = [sys.executable, "-W", "ignore", __file__, str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (path,) = folder.glob("*.eval")
    return path


def read(log: Path, **settings: Any) -> Evidence:
    study = InspectEvaluation.model_validate(
        {"log": f"file:{log.name}", "better": "lower", "model_sha256": WEIGHTS, **settings}
    ).at(Resolver(log.parent))
    return execute(study, Store(log.parent / "store"), Run(log.parent / "work"))


def test_the_side_task_of_a_control_evaluation_is_a_share_of_samples(log: Path) -> None:
    score = read(log, scorer="side_task").measures["score"]
    assert score.value == pytest.approx(4 / 12)
    assert score.n == N
    assert score.interval is not None


def test_a_dimension_of_a_judge_is_read_in_its_own_range(log: Path) -> None:
    score = read(log, scorer="judge/concerning", score_range=(0, 10)).measures["score"]
    assert score.value == pytest.approx(sum(1 + i % 10 for i in range(N)) / N)
    assert read(log, scorer="judge/realism", score_range=(0, 10)).measures["score"].value == 3


def test_a_log_with_several_scores_must_be_told_which(log: Path) -> None:
    with pytest.raises(FaultError, match="say which scorer"):
        read(log)


if __name__ == "__main__":
    main(*sys.argv[1:])
