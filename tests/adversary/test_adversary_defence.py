"""Defence rounds: the sides are exchanged, nothing is repeated, and the record says what each attack took."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from toulmin.adversary import AdversaryDefence, Attack, Defence, defence_rounds, train_adversary
from toulmin.adversary.defence import attack_until_broken, defence_against
from toulmin.evidence import Items, Store
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


def test_each_round_starts_from_what_the_last_one_left(tmp_path, monkeypatch):
    plans: dict[str, Attack] = {}

    def noting(plan: Attack, folder: Path, *given, **settings):
        plans[folder.name] = plan
        return train_adversary(plan, folder, *given, **settings)

    monkeypatch.setattr("toulmin.adversary.defence.train_adversary", noting)
    attack = TINY.attack.model_copy(update={"updates": 1})
    resolver = Resolver()
    found = defence_rounds(attack, Defence(updates=1), 2, tmp_path, lambda one: str(resolver.locate(one)))
    assert list(plans) == ["attack-0", "defence-1", "attack-1", "defence-2", "attack-2"]
    victims = [attack.victim.net, *(f"file:{one.victim.resolve()}" for one in found[1:])]
    assert [plans[f"attack-{number}"].victim.net for number in range(3)] == victims
    assert [plans[f"defence-{number}"].start for number in (1, 2)] == victims[:2]
    adversaries = [f"file:{one.adversary.resolve()}" for one in found]
    assert [plans[f"defence-{number}"].victim.net for number in (1, 2)] == adversaries[:2]
    assert not any(one.defence_reached for one in found)  # 200 games are not over after one update


def test_measures_by_hand():
    """Two seeds of two rounds: the costs of the first and the last attack, and games against one's own teacher."""
    names = ("seed", "round", "games", "broken", "defence_games")
    rows = [(0, 0, 100, 1, 0), (0, 1, 300, 1, 50), (0, 2, 200, 0, 60)]
    rows += [(1, 0, 50, 1, 0), (1, 1, 60, 0, 10), (1, 2, 150, 1, 20)]
    won = {(0, 1): 3, (1, 2): 1, (1, 1): 9, (2, 2): 8, (0, 2): 7}  # adversary, victim: of 10 games
    matrix = [
        {"seed": 0, "first": f"adversary {one}", "second": f"victim {other}", "won": count, "games": 10}
        for (one, other), count in won.items()
    ]
    items = Items(
        units=[f"seed {seed}, round {number}" for seed, number, *_ in rows],
        columns={name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)},
        metadata={"matrix": json.dumps(matrix)},
    )
    study = AdversaryDefence.model_validate({**TINY.model_dump(), "rounds": 2, "seeds": 2})
    summary = study.summarise(items)
    found = {name: measure.value for name, measure in summary.measures.items()}
    assert found == pytest.approx(
        {
            "games_to_break": 75,
            "games_to_rebreak": 175,
            "cost_ratio": 2.5,
            "broken_again": 0.5,
            "defence_holds": 16 / 20,
        }
    )
    assert summary.measures["broken_again"].n == 4
    assert summary.measures["defence_holds"].n == 20
    assert summary.tables[0].rows == tuple(rows)


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
