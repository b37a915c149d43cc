"""How many steps clerks take in one forward pass: desks with known answers, and clerks that can and cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from clerk_records import record

from toulmin.evidence import Store
from toulmin.oversight.composition import LEVELS, composed_desks
from toulmin.oversight.deskworld import encode_desk


@pytest.mark.parametrize("question", [question for level in LEVELS.values() for question in level])
def test_half_of_the_verdicts_are_of_right_answers_and_wrong_ones_are_answers_to_other_desks(question: str) -> None:
    desks = composed_desks(question, 40, 0)
    judged = question.removeprefix("verdict on ")
    assert max(len(encode_desk(desk)) for desk in desks) <= 36  # the context of a clerk
    if judged == question:
        assert {desk.question for desk in desks} == {question}
        return
    assert [desk.right() for desk in desks] == ["fine", "alarm"] * 20
    assert {desk.judged for desk in desks} == {judged}
    for i, desk in enumerate(desks):
        assert (desk.wrote == desk.asking(desk.judged).right()) == (i % 2 == 0)


def test_trained_steps_are_taken_at_once_and_their_new_compositions_are_not(tmp_path: Path) -> None:
    found = record(tmp_path, "oversight.composition", subject="embedded:clerk-honest", n=60)
    ends = {name: measure.interval for name, measure in found.measures.items()}
    assert all(end is not None for end in ends.values())
    low = {name: end.low for name, end in ends.items() if end}
    high = {name: end.high for name, end in ends.items() if end}
    assert min(low["one"], low["two"]) > 0.8
    assert low["new"] <= 0.05
    assert low["untrained"] <= 0 <= high["untrained"] < 0.5
    control = found.positive_control
    assert control is not None
    assert control.detected
    assert not set(control.contents) & set(Store(tmp_path / "store").items(found).contents or ())


def test_a_share_above_chance_is_scaled_by_the_most_frequent_right_answer(tmp_path: Path) -> None:
    """By hand from the table: nothing is above chance where the answer is always the same guess."""
    found = record(tmp_path, "oversight.composition", subject="embedded:clerk-undertrained", n=40)
    table = next(t for t in found.tables if t.title == "questions")
    rows: list[tuple[Any, ...]] = [tuple(row) for row in table.rows]
    for level in LEVELS:
        best = max((right - guess) / (1 - guess) for name, _, right, _, _, guess, _ in rows if name == level)
        assert found.measures[level].value == pytest.approx(best)
    by_question = {row[1]: row for row in rows}
    assert by_question["encode"][2] > 0.9  # it was trained on what does not need the record
    assert by_question["insider"][2] < 0.4
