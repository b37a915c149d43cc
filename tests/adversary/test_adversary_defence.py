"""Defence rounds: the sides are exchanged, nothing is repeated, and the record says what each attack took."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from toulmin.adversary import AdversaryDefence, Attack, Defence, defence_rounds
from toulmin.adversary.defence import attack_until_broken, defence_against
from toulmin.evidence import Store
from toulmin.go import PlayerSpec, read_network
from toulmin.studies import Resolver, Run, execute, re_derive

TINY = AdversaryDefence.preset("tiny")


def test_a_defence_exchanges_the_sides_of_the_attack():
    attack = Attack.model_validate({**TINY.attack.model_dump(), "learner": {"temperature": 0.7}, "opening_moves": 2})
    plan = defence_against(attack, Defence(updates=7, stop_at=0.8, window=30), "file:victim", "file:adversary")
    assert plan.start == "file:victim"  # the victim learns, from its own weights
    assert plan.victim.net == "file:adversary"  # against the adversary, who is frozen
    assert (plan.victim.kind, plan.victim.search.temperature.early) == ("policy", 0.7)
    assert (plan.updates, plan.stop_at, plan.window) == (7, 0.8, 30)
    assert (plan.size, plan.komi, plan.opening_moves) == (attack.size, attack.komi, 2)
    again = attack_until_broken(attack, "file:victim-1")
    assert again.victim == attack.victim.model_copy(update={"net": "file:victim-1"})
    assert (again.stop_at, again.start, again.updates) == (0.5, attack.start, attack.updates)


def test_rounds_go_on_from_what_the_folder_holds(tmp_path):
    resolver = Resolver()
    attack = TINY.attack.model_copy(update={"updates": 1})

    def locate(reference: str) -> str:
        return str(resolver.locate(reference))

    (first,) = defence_rounds(attack, Defence(updates=1), 0, tmp_path, locate, seed=3)
    assert (first.number, first.defence_games, str(first.victim)) == (0, 0, locate("embedded:go-5x5"))
    written = first.adversary.stat().st_mtime_ns
    same, second = defence_rounds(attack, Defence(updates=1), 1, tmp_path, locate, seed=3)
    assert same == first
    assert first.adversary.stat().st_mtime_ns == written
    assert second.defence_games > 0
    assert second.games > 0
    # what was attacked in the second round is the trained victim: its shape, other weights
    one, other = read_network(first.victim), read_network(second.victim)
    assert one.parameters == other.parameters
    assert (one.trunk.conv.weights != other.trunk.conv.weights).any()
    assert second.victim.parent.name == "defence-1"


def test_the_record_of_a_defence(tmp_path):
    store = Store(tmp_path / "store")
    evidence = execute(TINY.at(Resolver()), store, Run(tmp_path / "work"))
    costs, transfer = evidence.tables
    assert [row[:2] for row in costs.rows] == [(0, 0), (0, 1)]
    assert evidence.measures["games_to_break"].value == costs.rows[0][2]
    first, second = (float(row[2] or 0) for row in costs.rows)
    assert evidence.measures["cost_ratio"].value == pytest.approx(second / first)
    pairs = {(row[0], row[1]) for row in transfer.rows}
    assert {("adversary 0", "victim 0"), ("adversary 0", "victim 1"), ("adversary 1", "victim 1")} <= pairs
    assert ("victim 1", "random") in pairs
    assert all(row[-1] == "tromp-taylor, komi 0.5" for row in transfer.rows)
    row = next(row for row in transfer.rows if row[:2] == ("adversary 0", "victim 1"))
    assert evidence.measures["defence_holds"].value == pytest.approx(1 - float(row[4] or 0), abs=1e-3)
    assert evidence.measures["broken_again"].n == 1
    assert {one.name for one in evidence.artefacts} >= {"adversary-0-1.bin.gz", "victim-0-1.bin.gz"}
    assert re_derive(evidence, store) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"attack": {**TINY.attack.model_dump(), "stages": [{"victim": {"kind": "random"}}]}}, "has none"),
        ({"games": 5}, "even"),
        ({"independents": [{"kind": "random"}, {"kind": "random"}]}, "one name"),
    ],
)
def test_what_cannot_be_defended_is_refused(change, why):
    with pytest.raises(ValidationError, match=why):
        AdversaryDefence.model_validate({**TINY.model_dump(), **change})
    assert PlayerSpec(kind="random").net is None
