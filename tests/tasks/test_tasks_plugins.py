"""An outside package adds a task, a metric, a kind of subject and a study, and all of them are used by name."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from toulmin.case import check_case
from toulmin.evidence import Store
from toulmin.faults import FaultError
from toulmin.paths import effects, hypothesis
from toulmin.studies import Registry, Resolver, Run, execute, find_study, parse_reference, re_derive, study_kinds
from toulmin.subjects import load
from toulmin.tasks import collate, find_metric, find_task, metric_names, task_names

PACKAGE = Path(__file__).parent / "example_package"


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The example package as an installer would leave it."""
    site = tmp_path / "site"
    info = site / "toulmin_parity-0.1.dist-info"
    info.mkdir(parents=True)
    points = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["entry-points"]
    points["toulmin.metrics"] |= {"broken": "no_such_module:X", "unfit": "toulmin_parity:parity"}
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in kinds.items()) for group, kinds in points.items()]
    (info / "entry_points.txt").write_text("".join(lines))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toulmin-parity\nVersion: 0.1\n")
    (site / "toulmin_parity.py").write_text((PACKAGE / "toulmin_parity.py").read_text())
    (tmp_path / "seed.txt").write_text("5")
    monkeypatch.syspath_prepend(str(site))
    yield tmp_path
    sys.modules.pop("toulmin_parity", None)


def test_each_is_found_and_used(outside: Path) -> None:
    assert "parity" in task_names()
    assert "margin" in metric_names()
    assert "parity.margin" in study_kinds()
    subject = load("seeded:seed.txt", Resolver(outside), dtype=torch.float64)
    assert subject.model.W_E.dtype == torch.float64
    assert subject.card["reference"] == "seeded:seed.txt"
    assert str(parse_reference("seeded:seed.txt")) == "seeded:seed.txt"
    pairs = find_task("parity", subject, length=4).generate(6, 0)
    assert [p.answers[0] for p in pairs] == [sum(p.clean) % 2 for p in pairs]
    with pytest.raises(FaultError, match="options: length"):
        find_task("parity", subject, size=3)
    assert find_metric("margin")(torch.tensor([1.0, 2.0, 6.0])[None], collate(pairs[:1]), torch.empty(0)).tolist() == [
        3.0
    ]
    found = effects(subject, [hypothesis("!L1.H0")], pairs, metric="margin", signed=True)
    assert found.total.shape == (6,)
    assert abs(found.total).max() > 0
    with pytest.raises(FaultError, match="cannot be loaded: No module named 'no_such_module'"):
        find_metric("broken")
    with pytest.raises(FaultError, match="is not a metric of that name"):
        find_metric("unfit")


def test_its_study_leaves_evidence_that_derives_again(outside: Path) -> None:
    store = Store(outside / "store")
    study = find_study("parity.margin").preset("tiny").at(Resolver(outside, store))
    assert [i.role for i in study.inputs()] == ["subject"]
    evidence = execute(study, store, Run(outside / "work"))
    assert evidence.measures["margin"].interval is not None
    assert re_derive(evidence, store) == []


def test_its_doubts_attach_to_evidence_in_a_case(outside: Path) -> None:
    (outside / "case.toml").write_text(
        """
[case]
title = "Parity"
[[goal]]
id = "G"
text = "The model knows parity."
supported_by = ["E"]
[[evidence]]
id = "E"
text = "Its margin is positive."
study = "parity.margin"
criterion = "margin > 0"
configuration = { subject = "seeded:seed.txt", task = "parity", n = 12 }
"""
    )
    checked = check_case(outside / "case.toml")
    doubt = checked.verdict.nodes["E/length"]
    assert (doubt.type, doubt.text) == ("defeater", "Longer rows may be harder.")
    assert ("E/length", "E", "attacks") in {(e.source, e.target, e.kind) for e in checked.verdict.edges}


def test_the_package_is_small() -> None:
    """Every line of every file counts, empty ones too."""
    files = [path for path in PACKAGE.iterdir() if path.is_file()]
    assert {path.name for path in files} == {"pyproject.toml", "toulmin_parity.py"}
    lines = sum(len(path.read_text().splitlines()) for path in files)
    assert lines < 60
    assert f"in {lines} lines in all" in (PACKAGE.parents[2] / "CONTRIBUTING.md").read_text()


def test_names_that_are_near_are_offered(outside: Path) -> None:
    for find, name, near in (
        (find_task, "partiy", "parity"),
        (find_metric, "margn", "margin"),
        (parse_reference, "seded:x", "seeded:x"),
        (find_study, "parity.margins", "parity.margin"),
    ):
        with pytest.raises(FaultError, match=near):
            find(name)


def test_an_object_of_another_class_is_refused() -> None:
    registry: Registry[str] = Registry("toulmin.metrics", "text", "x.code", str)
    with pytest.raises(FaultError, match="is not a text of that name"):
        registry.find("kl")
    assert Registry("toulmin.nothing", "thing", "x.code", str).names() == []
