"""Which JSON values can stand for a field, by its annotation."""

from __future__ import annotations

import pytest

from toulmin.faults import has_field_type

CASES = [
    ("bool", [True], [1, "yes", None]),
    ("int", [3], [True, 3.0, None]),
    ("int | None", [3, None], [True]),
    ("float", [0.5, 3], [float("nan"), float("inf"), True, "1"]),
    ("tuple[int, ...]", [[1, 2], (1,), []], [[1.0], [True], [None], 3]),
    ("tuple[int | None, ...] | None", [[1, None], None], [["a"]]),
    ("tuple[str, ...]", [["a"], []], [[1], "a"]),
    ("Literal['a', 'b']", ["a", "z"], [1, ["a"]]),
]


@pytest.mark.parametrize(("annotation", "good", "bad"), CASES, ids=[case[0] for case in CASES])
def test_values_of_a_field(annotation: str, good: list[object], bad: list[object]) -> None:
    assert all(has_field_type(value, annotation) for value in good)
    assert not any(has_field_type(value, annotation) for value in bad)
