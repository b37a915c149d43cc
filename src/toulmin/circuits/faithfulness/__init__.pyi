from .completeness import Knockout as Knockout
from .completeness import compare_knockouts as compare_knockouts
from .completeness import random_knockouts as random_knockouts
from .completeness import worst_knockout as worst_knockout
from .curves import Sweep as Sweep
from .curves import cmd as cmd
from .curves import cpr as cpr
from .curves import roc as roc
from .tests import HypothesisTests as HypothesisTests
from .worst_case_search import WorstCaseSearch as WorstCaseSearch

__all__ = [
    "HypothesisTests",
    "Knockout",
    "Sweep",
    "WorstCaseSearch",
    "cmd",
    "compare_knockouts",
    "cpr",
    "random_knockouts",
    "roc",
    "worst_knockout",
]
