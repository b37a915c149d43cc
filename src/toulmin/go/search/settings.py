"""The settings of a search, as plain data: importable without a tensor library, so that a study can hold them.

The names and the meaning of the numbers are KataGo's (``cpp/search/searchparams.h``), and the defaults those of the
victims of Wang et al. 2022, appendix D, where the two differ.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class Temperature(BaseModel, frozen=True, extra="forbid"):
    """Temperature of a choice among moves: from ``early`` to ``late``, half of the way every ``halflife`` moves.

    t(n) = late + (early - late) 2^(-19 n / (size · halflife)), n the number of moves played: the half-life is for
    19x19 and shrinks with the side of the board. Zero is the arg max.
    """

    early: NonNegative = 0.0
    late: NonNegative = 0.0
    halflife: Positive = 19.0

    def at(self, move: int, size: int) -> float:
        """The temperature when ``move`` moves have been played on a board of side ``size``."""
        return self.late + (self.early - self.late) * 0.5 ** (19.0 * move / (size * self.halflife))


class SearchSettings(BaseModel, frozen=True, extra="forbid"):
    """PUCT search as KataGo does it, without its later additions (uncertainty weights, graph search).

    With N visits below a node the exploration constant is ``cpuct + cpuct_log · ln((N + cpuct_base) / cpuct_base)``;
    the utility of a leaf is win - loss, plus ``static_score`` and ``dynamic_score`` times the expected value of 2/pi ·
    atan((score - centre) / (scale · size)), with centre 0, scale 2 for the first, and for the second 0.8 of the root's
    expected score, scale ``dynamic_scale``. With ``noise`` the urgency of unvisited moves at the root is not reduced.
    ``conservative_pass`` hides from the net, at the root only, that a pass would end the game. ``symmetry`` random
    draws one of the 8 for each evaluation; the root is the mean over ``root_symmetries`` of them. ``leaves`` of one
    tree are evaluated together, under ``virtual_loss``. With ``choice`` "lcb" the move of the best lower confidence
    bound, ``lcb_stdevs`` standard errors below its mean, is preferred to the most visited one
    (:func:`toulmin.go.search.choice.selection_weights`). With ``reuse`` a player keeps that many evaluations from one
    move to the next (:class:`toulmin.go.search.memory.Remembering`).
    """

    visits: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    cpuct: NonNegative = 1.05
    cpuct_log: NonNegative = 0.28
    cpuct_base: Positive = 500.0
    fpu_reduction: NonNegative = 0.2
    root_fpu_reduction: NonNegative = 0.1
    static_score: NonNegative = 0.1
    dynamic_score: NonNegative = 0.3
    dynamic_scale: Positive = 0.75
    root_temperature: Positive = 1.0
    noise: bool = False
    noise_concentration: Positive = 10.83
    noise_weight: Annotated[float, Field(ge=0, le=1)] = 0.25
    symmetry: Literal["none", "random"] = "none"
    root_symmetries: Annotated[int, Field(ge=1, le=8)] = 1
    leaves: Annotated[int, Field(ge=1, le=64)] = 1
    virtual_loss: Positive = 1.0
    temperature: Temperature = Temperature()
    choice: Literal["visits", "lcb"] = "visits"
    lcb_stdevs: Positive = 5.0
    lcb_least_visits: Annotated[float, Field(ge=0, le=1)] = 0.15
    reuse: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    conservative_pass: bool = False
    draw_equivalent_wins: Annotated[float, Field(ge=0, le=1)] = 0.5
