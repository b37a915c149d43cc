"""The kind of player ``amcts``: it chooses by the adversarial search, and says what it cannot model."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from small_nets import make_network

from toulmin.adversary import AdversaryMatch
from toulmin.faults import FaultError
from toulmin.go import (
    Evaluator,
    Games,
    Match,
    PlayerSpec,
    PolicyModel,
    SearchSettings,
    adversarial_search,
    make_player,
    parse_player,
    write_network,
)
from toulmin.studies import Resolver, Run


@pytest.fixture
def nets(tmp_path):
    paths = []
    for number in (3, 4):
        path = tmp_path / f"net-{number}.bin.gz"
        path.write_bytes(write_network(make_network(8, seed=number)))
        paths.append(path)
    return paths


def amcts(own, victim, **options) -> PlayerSpec:
    options = {"victim": {"kind": "net", "net": f"file:{victim}", "search": {"visits": 1}}, **options}
    search = {"visits": 12}
    return PlayerSpec.model_validate({"kind": "amcts", "net": f"file:{own}", "search": search, "options": options})


def test_it_chooses_what_the_adversarial_search_visits_most(nets):
    own, victim = nets
    player = make_player(amcts(own, victim), lambda reference: reference.removeprefix("file:"))
    games, rows = Games(2, 5), np.arange(2)
    games.play([12, 7])
    choices = player.choose(games, rows, [np.random.default_rng(row) for row in rows])
    found = adversarial_search(
        games,
        rows,
        Evaluator(str(own)),
        PolicyModel(Evaluator(str(victim))),
        SearchSettings(visits=12),
        [np.random.default_rng(row) for row in rows],
    )
    for choice, visits in zip(choices, found.visits, strict=True):
        np.testing.assert_array_equal(choice.visits, visits)
        assert visits[choice.action] == visits.max()


def test_both_networks_are_inputs_of_a_match_and_it_plays(nets, tmp_path):
    own, victim = nets
    raw = PlayerSpec.model_validate({"kind": "net", "name": "raw", "net": f"file:{victim}", "search": {"visits": 1}})
    study = Match(size=3, komi=0.5, players=(amcts(own, victim), raw), games=2).at(Resolver())
    assert [one.role for one in study.inputs()] == ["net of amcts@12", "net of amcts@12's model", "net of raw"]
    items = study.collect(Run(tmp_path))
    assert len(items.units) == 2
    attack = AdversaryMatch(size=3, komi=0.5, adversary=amcts(own, victim), victims=(raw,), games=2)
    roles = [one.role for one in attack.at(Resolver()).inputs()]
    assert roles == ["adversary", "adversary's model", "net of raw"]


def test_one_word_of_a_command_line():
    spec = parse_player("amcts:a.bin.gz@32,victim=b.bin.gz,variant=S++,temperature=0.2,name=adversary")
    assert (spec.label, spec.visits, spec.nets) == ("adversary", 32, ("file:a.bin.gz", "file:b.bin.gz"))
    assert spec.options["variant"] == "S++"
    assert spec.search.temperature.early == 0.2
    # what is no option of a kind is part of the file's name
    assert parse_player("net:a.bin.gz,victim=b.bin.gz").net == "file:a.bin.gz,victim=b.bin.gz"
    with pytest.raises(FaultError, match="needs the option victim"):
        parse_player("amcts:a.bin.gz")
    with pytest.raises(FaultError, match="variant"):
        parse_player("amcts:a.bin.gz,victim=b.bin.gz,variant=T")


@pytest.mark.parametrize("victim", [{"kind": "random"}, {"kind": "net"}, 3])
def test_a_victim_that_cannot_be_modelled_is_refused(victim):
    with pytest.raises(ValidationError):
        PlayerSpec.model_validate({"kind": "amcts", "net": "file:a", "options": {"victim": victim}})
