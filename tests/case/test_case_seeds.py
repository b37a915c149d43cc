"""How many seeds a claim may count: draws of data, not repetitions of one file."""

from __future__ import annotations

from toulmin.case import check_case, run_case
from toulmin.case.running import plan

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
    assert node.binding is not None
    assert node.binding.outcome.value == "inconclusive"
    assert "1 of the 3 seeds asked for: its data are a file, another seed changes nothing" in node.binding.problems
    assert not run_case(bench.folder).ran  # and nothing is left to run


def test_running_again_by_force_takes_every_seed_of_what_draws_and_one_of_what_is_read(bench) -> None:
    rows = ", ".join(f'{{"id": "u{i}", "value": 0}}' for i in range(40))
    (bench.folder / "units.json").write_text(f'{{"units": [{rows}]}}')
    drawn = (
        'study = "coins.rate"\nconfiguration = { coin = "file:coin.txt" }\ncriterion = "rate.low >= 0.9"\nseeds = 2\n'
    )
    bench.write(CASE.replace('["E"]', '["E", "F"]') + f'[[evidence]]\nid = "F"\ntext = "Throws"\n{drawn}')
    run_case(bench.folder)
    checked = check_case(bench.folder)
    assert plan(checked) == []
    assert [(work.node, work.seed) for work in plan(checked, force=True)] == [("E", 0), ("F", 0), ("F", 1)]
    assert [(work.node, work.seed) for work in plan(checked, only=["E"], force=True)] == [("E", 0)]
