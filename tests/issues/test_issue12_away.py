"""Away contexts and away solutions: an element of another case is worth what it, and its case, are worth there."""

from __future__ import annotations

import pytest

from toulmin.case import Freshness, Health, check_case, run_case
from toulmin.faults import ExitCode

INNER = """\
[case]
[[goal]]
id = "T"
text = "The whole holds"
supported_by = ["E"]
in_context_of = ["C"]
[[context]]
id = "C"
text = "The hall"
[[evidence]]
id = "E"
text = "200 throws"
study = "coins.rate"
configuration = { coin = "file:coin.txt" }
criterion = "rate.low >= 0.9"
"""
OUTER = """\
[case]
[[goal]]
id = "G"
text = "g"
supported_by = ["M"]
in_context_of = ["K"]
[[module]]
id = "M"
text = "The throws of the other case"
case = "inner"
evidence = "E"
[[module]]
id = "K"
text = "The hall of the other case"
case = "inner"
context = "C"
"""
ASSUMED = """\
[[assumption]]
id = "C"
text = "The hall is quiet"
owner = "Jo"
justification = "It was"
review = 2099-01-01
"""
DOUBT = '[[defeater]]\nid = "D"\nkind = "{kind}"\nattacks = ["{target}"]\ntext = "It does not"\n'


def nodes(bench, inner: str, *, rate: str = "1.0"):
    bench.write(OUTER)
    (bench.folder / "inner").mkdir(exist_ok=True)
    (bench.folder / "inner/case.toml").write_text(inner)
    (bench.folder / "inner/coin.txt").write_text(rate)
    run_case(bench.folder / "inner")
    return bench.check().verdict.nodes


def test_an_away_solution_and_an_away_context_hold_where_their_case_holds(bench) -> None:
    found = nodes(bench, INNER)
    assert {name: found[name].health for name in "GMK"} == dict.fromkeys("GMK", Health.SUPPORTED)
    assert bench.check().verdict.exit_code is ExitCode.OK


def test_an_away_solution_that_fails_is_direct_evidence_against_the_claim(bench) -> None:
    found = nodes(bench, INNER, rate="0.1")
    assert (found["M"].health, found["G"].health) == (Health.REFUTED, Health.REFUTED)


@pytest.mark.parametrize(("kind", "target"), [("undermine", "E"), ("undermine", "C"), ("rebut", "T")])
def test_a_challenge_anywhere_in_the_other_case_reaches_all_its_away_elements(bench, kind, target) -> None:
    found = nodes(bench, INNER + DOUBT.format(kind=kind, target=target))
    assert (found["M"].health, found["K"].health) == (Health.UNDERMINED, Health.UNDERMINED)


def test_a_case_that_is_refuted_does_not_refute_through_its_other_elements(bench) -> None:
    """The conclusion there is false by other evidence; the throws cited here are still what they are."""
    failing = INNER.replace('supported_by = ["E"]', 'supported_by = ["E", "F"]') + (
        '[[evidence]]\nid = "F"\ntext = "f"\nstudy = "coins.rate"\n'
        'configuration = { coin = "file:coin.txt", n = 300 }\ncriterion = "rate.high <= 0.5"\n'
    )
    found = nodes(bench, failing)
    assert (found["M"].health, found["G"].health) == (Health.UNSUPPORTED, Health.UNSUPPORTED)


def test_an_away_assumption_is_carried_along_and_must_be_accepted(bench) -> None:
    found = nodes(bench, INNER.replace('[[context]]\nid = "C"\ntext = "The hall"\n', ASSUMED))
    assert found["K"].health is Health.CONDITIONAL
    verdict = bench.check().verdict
    assert "K/C" in {entry.id for entry in verdict.resting}
    assert verdict.exit_code is ExitCode.NOT_SUPPORTED


def test_an_away_solution_is_stale_with_its_case(bench) -> None:
    nodes(bench, INNER)
    (bench.folder / "inner/coin.txt").write_text("0.99")
    assert bench.check().verdict.nodes["M"].freshness is Freshness.STALE


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ('context = "C"', 'context = "E"', "C020"),  # there is no context of that name
        ('evidence = "E"', 'evidence = "E"\ngoal = "T"', "C003"),  # two elements at once
        ('in_context_of = ["K"]', 'in_context_of = ["M"]', "C007"),  # a solution is no context
        ('supported_by = ["M"]', 'supported_by = ["K"]', "C007"),  # and a context supports nothing
    ],
)
def test_an_away_element_that_cannot_be_is_a_diagnostic(bench, before, after, code) -> None:
    nodes(bench, INNER)
    bench.write(OUTER.replace(before, after))
    verdict = check_case(bench.folder).verdict
    assert code in {fault.code for fault in verdict.faults}
    assert verdict.exit_code is ExitCode.INVALID


@pytest.mark.parametrize("part", ['evidence = "E"', 'context = "C"', ""])
def test_a_part_of_a_case_rests_on_what_the_whole_case_rests_on(bench, part: str) -> None:
    bench.write(
        '[case]\n[[goal]]\nid = "G"\ntext = "g"\nsupported_by = ["M"]\n'
        f'[[module]]\nid = "M"\ntext = "m"\ncase = "inner"\n{part}\n'
        if "context" not in part
        else '[case]\n[[goal]]\nid = "G"\ntext = "g"\nundeveloped = true\nin_context_of = ["M"]\n'
        f'[[module]]\nid = "M"\ntext = "m"\ncase = "inner"\n{part}\n'
    )
    (bench.folder / "inner").mkdir()
    context = '[[context]]\nid = "C"\ntext = "The hall"\n'
    assumed = ASSUMED.replace('id = "C"', 'id = "A"')
    inner = INNER.replace('["C"]', '["C", "A"]').replace(context, context + assumed)
    (bench.folder / "inner/case.toml").write_text(inner)
    (bench.folder / "inner/coin.txt").write_text("1.0")
    run_case(bench.folder / "inner")
    resting = check_case(bench.folder).resting_of("M")
    assert [(entry.id, entry.kind, entry.accepted_by) for entry in resting] == [("M/A", "assumption", None)]
