from .completeness import Knockout as Knockout
from .completeness import compare_knockouts as compare_knockouts
from .completeness import random_knockouts as random_knockouts
from .completeness import worst_knockout as worst_knockout
from .curves import Sweep as Sweep
from .curves import cmd as cmd
from .curves import cpr as cpr
from .curves import roc as roc
from .tests import HypothesisTests as HypothesisTests

__all__ = [
    "HypothesisTests",
    "Knockout",
    "Sweep",
    "cmd",
    "compare_knockouts",
    "cpr",
    "random_knockouts",
    "roc",
    "worst_knockout",
]
