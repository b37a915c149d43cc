"""The rules of a game as data: ko, suicide, scoring, tax, button, handicap compensation, passing, komi.

The vocabulary is KataGo's (docs/GTP_Extensions and "Rules" of its documentation), so that one value describes a game
here, in an SGF and in any engine. Tromp-Taylor is positional superko, area scoring, suicide allowed.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from toulmin.faults import ExitCode, Fault, FaultError

Ko = Literal["simple", "positional", "situational", "spight"]
Scoring = Literal["area", "territory"]
Tax = Literal["none", "seki", "all"]
HandicapBonus = Literal["0", "N-1", "N"]

BLACK, WHITE, EMPTY = 1, 2, 0

_CHOICES: dict[str, tuple[Any, ...]] = {
    "ko": get_args(Ko),
    "scoring": get_args(Scoring),
    "tax": get_args(Tax),
    "handicap_bonus": get_args(HandicapBonus),
}
_FLAGS = ("suicide", "button", "friendly_pass_ok")


@dataclass(frozen=True)
class Rules:
    """One rule set with its komi (points for White).

    ``ko``: simple (long cycles void the game), positional or situational superko, or Spight's (passes lift bans).
    ``suicide``: whether several stones may be played off together (a single stone never may). ``tax``: no points in
    seki, or two points a living group as well. ``button``: the first pass takes half a point. ``handicap_bonus``:
    points White receives for N handicap stones. ``friendly_pass_ok``: players may leave dead stones on the board, so
    a pass is not read as ending the game.
    Raises :class:`FaultError` (``go.rules``) for every field outside its vocabulary.
    """

    ko: Ko = "positional"
    suicide: bool = True
    scoring: Scoring = "area"
    tax: Tax = "none"
    button: bool = False
    handicap_bonus: HandicapBonus = "0"
    friendly_pass_ok: bool = False
    komi: float = 7.5

    def __post_init__(self) -> None:
        faults = [
            Fault("go.rules", f"{getattr(self, name)!r} is not one of {', '.join(values)}", name=name)
            for name, values in _CHOICES.items()
            if getattr(self, name) not in values
        ]
        faults += [
            Fault("go.rules", f"{getattr(self, name)!r} is not true or false", name=name)
            for name in _FLAGS
            if not isinstance(getattr(self, name), bool)
        ]
        try:
            komi_is_half = abs(self.komi) <= 1000 and float(2 * self.komi).is_integer()
        except TypeError:
            komi_is_half = False
        if not komi_is_half:
            faults.append(Fault("go.rules", f"komi {self.komi!r} is not a whole or half number", name="komi"))
        if self.button and self.scoring == "territory":
            faults.append(Fault("go.rules", "the button is an area-scoring rule", name="button"))
        if faults:
            raise FaultError(faults, ExitCode.INVALID)

    @classmethod
    def tromp_taylor(cls, komi: float = 7.5) -> Rules:
        """Positional superko, suicide, area scoring."""
        return cls(komi=komi)

    @classmethod
    def chinese(cls, komi: float = 7.5) -> Rules:
        """Simple ko, no suicide, area scoring, N points for N handicap stones, dead stones may stay at the end."""
        return cls(ko="simple", suicide=False, handicap_bonus="N", friendly_pass_ok=True, komi=komi)

    @classmethod
    def japanese(cls, komi: float = 6.5) -> Rules:
        """Simple ko, no suicide, territory scoring without points in seki."""
        return cls(ko="simple", suicide=False, scoring="territory", tax="seki", komi=komi)

    @classmethod
    def parse(cls, text: str, *, komi: float | None = None) -> Rules:
        """Rules from a name, from KataGo's ``koPOSITIONALscoreAREAtaxNONEsui1`` form, or from a JSON object.

        Raises :class:`FaultError` (``go.rules``) for a name or a field it does not know; nothing is silently accepted.
        """
        plain = text.strip()
        if plain.startswith("{"):
            rules = cls._from_json(plain)
        elif plain.lower().startswith("ko") and "score" in plain.lower():
            rules = cls._from_compact(plain)
        else:
            rules = _named(plain)
        return rules if komi is None else replace(rules, komi=komi)

    @classmethod
    def _from_json(cls, text: str) -> Rules:
        try:
            given = json.loads(text)
        except json.JSONDecodeError as error:
            raise FaultError(Fault("go.rules", f"not JSON: {error.msg}", line=error.lineno)) from error
        known = {
            "ko": "ko",
            "scoring": "scoring",
            "tax": "tax",
            "suicide": "suicide",
            "hasButton": "button",
            "button": "button",
            "whiteHandicapBonus": "handicap_bonus",
            "handicap_bonus": "handicap_bonus",
            "friendlyPassOk": "friendly_pass_ok",
            "friendly_pass_ok": "friendly_pass_ok",
            "komi": "komi",
        }
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise FaultError([Fault("go.rules", "unknown field", name=name) for name in unknown])
        values = {known[key]: value for key, value in given.items()}
        for key in ("ko", "scoring", "tax"):
            if isinstance(values.get(key), str):
                values[key] = values[key].lower()
        return cls(**values)

    @classmethod
    def _from_compact(cls, text: str) -> Rules:
        pattern = (
            r"ko(?P<ko>SIMPLE|POSITIONAL|SITUATIONAL|SPIGHT)score(?P<scoring>AREA|TERRITORY)"
            r"(tax(?P<tax>NONE|SEKI|ALL))?(sui(?P<suicide>[01]))?(button(?P<button>[01]))?"
            r"(whb(?P<bonus>0|N-1|N))?(fpok(?P<friendly>[01]))?(komi(?P<komi>-?[0-9.]+))?"
        )
        match = re.fullmatch(pattern, text, re.IGNORECASE)
        if match is None:
            raise FaultError(Fault("go.rules", f"{text!r} is not of the form koSIMPLEscoreAREAtaxNONEsui0"))
        scoring = match["scoring"].lower()
        values: dict[str, Any] = {
            "ko": match["ko"].lower(),
            "scoring": scoring,
            "tax": (match["tax"] or ("SEKI" if scoring == "territory" else "NONE")).lower(),
            "suicide": match["suicide"] == "1",
            "button": match["button"] == "1",
            "handicap_bonus": (match["bonus"] or "0").upper(),
            "friendly_pass_ok": match["friendly"] == "1",
            "komi": float(match["komi"]) if match["komi"] else (6.5 if scoring == "territory" else 7.5),
        }
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values, for records."""
        return asdict(self)

    def compact(self) -> str:
        """KataGo's compact form, as it writes it to SGF."""
        return (
            f"ko{self.ko.upper()}score{self.scoring.upper()}tax{self.tax.upper()}sui{int(self.suicide)}"
            + ("button1" if self.button else "")
            + (f"whb{self.handicap_bonus}" if self.handicap_bonus != "0" else "")
            + ("fpok1" if self.friendly_pass_ok else "")
        )

    def codes(self) -> list[int]:
        """The seven rule fields (all but komi) as the integers that the compiled engine reads."""
        return [
            _CHOICES["ko"].index(self.ko),
            int(self.suicide),
            _CHOICES["scoring"].index(self.scoring),
            _CHOICES["tax"].index(self.tax),
            int(self.button),
            _CHOICES["handicap_bonus"].index(self.handicap_bonus),
            int(self.friendly_pass_ok),
        ]


def _named(text: str) -> Rules:
    name = text.lower().replace("_", "-").replace(" ", "-")
    rules = {
        "tromp-taylor": Rules(),
        "chinese": Rules.chinese(),
        "chinese-ogs": Rules(suicide=False, handicap_bonus="N", friendly_pass_ok=True),
        "chinese-kgs": Rules(suicide=False, handicap_bonus="N", friendly_pass_ok=True),
        "japanese": Rules.japanese(),
        "korean": Rules.japanese(),
        "stone-scoring": Rules(ko="simple", suicide=False, tax="all", friendly_pass_ok=True),
        "aga": Rules(ko="situational", suicide=False, handicap_bonus="N-1", friendly_pass_ok=True),
        "bga": Rules(ko="situational", suicide=False, handicap_bonus="N-1", friendly_pass_ok=True),
        "new-zealand": Rules(ko="situational", suicide=True, friendly_pass_ok=True),
    }
    rules |= {"nz": rules["new-zealand"], "french": rules["aga"], "tromptaylor": rules["tromp-taylor"]}
    if name not in rules:
        raise FaultError(Fault("go.rules", f"no rules are called {text!r}", hint=f"one of {', '.join(sorted(rules))}"))
    return rules[name]
