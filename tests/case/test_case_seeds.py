"""How many seeds a claim may count: draws of data, not repetitions of one file."""

from __future__ import annotations

from toulmin.case import run_case

CASE = """\
[case]
title = "t"
[[goal]]
id = "G"
text = "Incidents are rare"
supported_by = ["E"]
[[evidence]]
id = "E"
text = "None in the file"
study = "external.json"
configuration = { report = "file:units.json", unit = "incidents", better = "lower" }
criterion = "value <= 0.5"
seeds = 3
"""


def test_a_file_read_three_times_is_one_seed(bench) -> None:
    rows = ", ".join(f'{{"id": "u{i}", "value": 0}}' for i in range(40))
    (bench.folder / "units.json").write_text(f'{{"units": [{rows}]}}')
    bench.write(CASE)
    report = run_case(bench.folder)
    assert [(ran.seed, ran.faults) for ran in report.ran] == [(0, ())]
    node = report.checked.verdict.nodes["E"]
    assert node.binding.outcome.value == "inconclusive"
    assert "1 of the 3 seeds asked for: its data are a file, another seed changes nothing" in node.binding.problems
    assert not run_case(bench.folder).ran  # and nothing is left to run
