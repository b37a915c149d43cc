"""The kinds of players of this package, except ``gtp`` (:mod:`toulmin.go.gtp.player`): entry points of the registry.

Making a player loads its implementation; naming its kind does not.
"""

from __future__ import annotations

from toulmin.faults import Fault, FaultError
from toulmin.go.players.player import Player
from toulmin.go.players.spec import PlayerKind, PlayerSetting, PlayerSpec


def _hard_coded(spec: PlayerSpec, _: PlayerSetting) -> Player:
    from toulmin.go.players.hardcoded import HardCoded

    return HardCoded(spec.kind)


def _rollouts(spec: PlayerSpec, setting: PlayerSetting) -> Player:
    from toulmin.go.players.searching import SearchPlayer
    from toulmin.go.search.rollouts import Rollouts

    return SearchPlayer(spec.label, Rollouts(spec.playouts, setting.seed), spec.search, spec.passing)


def _optimism(spec: PlayerSpec) -> float:
    """The option of that name, a share."""
    given = spec.options.get("optimism", 0.0)
    try:
        share = float(given)
    except (TypeError, ValueError):
        share = -1.0
    if not 0 <= share <= 1:
        raise FaultError(Fault("go.player", f"optimism is a share from 0 to 1, not {given!r}", name=spec.label))
    return share


def _policy(spec: PlayerSpec, setting: PlayerSetting) -> Player:
    from toulmin.go.nets import Evaluator
    from toulmin.go.players.searching import PolicyPlayer

    evaluator = Evaluator(setting.locate(spec.net or ""), device=setting.device, optimism=_optimism(spec))
    return PolicyPlayer(spec.label, evaluator, spec.search.temperature, spec.passing)


def _net(spec: PlayerSpec, setting: PlayerSetting) -> Player:
    from toulmin.go.nets import Evaluator
    from toulmin.go.players.searching import SearchPlayer

    evaluator = Evaluator(setting.locate(spec.net or ""), device=setting.device, optimism=_optimism(spec))
    return SearchPlayer(spec.label, evaluator, spec.search, spec.passing)


RANDOM = PlayerKind("random", _hard_coded)
EDGE = PlayerKind("edge", _hard_coded)
SPIRAL = PlayerKind("spiral", _hard_coded)
MIRROR = PlayerKind("mirror", _hard_coded)
PASS = PlayerKind("pass", _hard_coded)
CORNER = PlayerKind("corner", _hard_coded)
ROLLOUTS = PlayerKind("rollouts", _rollouts, evaluates=True, searches=True)
POLICY = PlayerKind("policy", _policy, needs="net", evaluates=True, options=("optimism",))
NET = PlayerKind("net", _net, needs="net", evaluates=True, searches=True, options=("optimism",))

#: the attacks of Wang et al. 2022, section 5.4, and a corner player (:mod:`toulmin.go.players.hardcoded`)
HARD_CODED = tuple(kind.name for kind in (RANDOM, EDGE, SPIRAL, MIRROR, PASS, CORNER))
