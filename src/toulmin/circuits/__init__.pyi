from .attribute import activation_magnitude as activation_magnitude
from .attribute import eap as eap
from .attribute import integrated as integrated
from .attribute import mask_gradient as mask_gradient
from .attribute import relp as relp
from .auditing import Audit as Audit
from .auditing import audit_scores as audit_scores
from .bench import Bench as Bench
from .card import Card as Card
from .card import Cell as Cell
from .card import Values as Values
from .card import make_card as make_card
from .card_study import FaithfulnessCard as FaithfulnessCard
from .circuit import Circuit as Circuit
from .completeness import Knockout as Knockout
from .completeness import compare_knockouts as compare_knockouts
from .completeness import edge_effects_in as edge_effects_in
from .completeness import random_knockouts as random_knockouts
from .completeness import worst_knockout as worst_knockout
from .curves import MIB_SHARES as MIB_SHARES
from .curves import Roc as Roc
from .curves import area_under as area_under
from .curves import cmd as cmd
from .curves import cpr as cpr
from .curves import roc as roc
from .curves import sizes_for as sizes_for
from .discover_study import Discovery as Discovery
from .edge_scores import EdgeScores as EdgeScores
from .edge_scores import random_scores as random_scores
from .edge_scores import reference_scores as reference_scores
from .edges import edge_name as edge_name
from .edges import parse_edge as parse_edge
from .edges import parse_edges as parse_edges
from .edges import removal_order as removal_order
from .exact import effects_per_prompt as effects_per_prompt
from .exact import exact_effects as exact_effects
from .faithfulness import Recovered as Recovered
from .faithfulness import recovered as recovered
from .formats import from_autocircuit as from_autocircuit
from .formats import from_mib as from_mib
from .formats import to_autocircuit as to_autocircuit
from .formats import to_mib as to_mib
from .gates import HardConcrete as HardConcrete
from .gates import learn_constants as learn_constants
from .gates import open_circuit as open_circuit
from .gates import probe_edges as probe_edges
from .gates import probe_sizes as probe_sizes
from .hypothesis_tests import TestResult as TestResult
from .hypothesis_tests import adjust as adjust
from .hypothesis_tests import equivalence as equivalence
from .hypothesis_tests import independence as independence
from .hypothesis_tests import minimality as minimality
from .hypothesis_tests import partial_necessity as partial_necessity
from .hypothesis_tests import sufficiency as sufficiency
from .measure import Sweep as Sweep
from .measure import audit as audit
from .measure import card_values as card_values
from .measure import faithfulness_card as faithfulness_card
from .measure import sweep_sizes as sweep_sizes
from .methodology import Methodology as Methodology
from .methodology import grid as grid
from .methods import discover as discover
from .metrics import METRICS as METRICS
from .metrics import Metric as Metric
from .metrics import find_metric as find_metric
from .pictures import draw_audit as draw_audit
from .pictures import draw_card as draw_card
from .pictures import draw_circuit as draw_circuit
from .pictures import draw_curves as draw_curves
from .pictures import draw_percents as draw_percents
from .removal import Removal as Removal
from .removal import acdc as acdc
from .testing import TestData as TestData
from .testing import collect_test_data as collect_test_data
from .tests_study import CircuitTests as CircuitTests

__all__ = [
    "METRICS",
    "MIB_SHARES",
    "Audit",
    "Bench",
    "Card",
    "Cell",
    "Circuit",
    "CircuitTests",
    "Discovery",
    "EdgeScores",
    "FaithfulnessCard",
    "HardConcrete",
    "Knockout",
    "Methodology",
    "Metric",
    "Recovered",
    "Removal",
    "Roc",
    "Sweep",
    "TestData",
    "TestResult",
    "Values",
    "acdc",
    "activation_magnitude",
    "adjust",
    "area_under",
    "audit",
    "audit_scores",
    "card_values",
    "cmd",
    "collect_test_data",
    "compare_knockouts",
    "cpr",
    "discover",
    "draw_audit",
    "draw_card",
    "draw_circuit",
    "draw_curves",
    "draw_percents",
    "eap",
    "edge_effects_in",
    "edge_name",
    "effects_per_prompt",
    "equivalence",
    "exact_effects",
    "faithfulness_card",
    "find_metric",
    "from_autocircuit",
    "from_mib",
    "grid",
    "independence",
    "integrated",
    "learn_constants",
    "make_card",
    "mask_gradient",
    "minimality",
    "open_circuit",
    "parse_edge",
    "parse_edges",
    "partial_necessity",
    "probe_edges",
    "probe_sizes",
    "random_knockouts",
    "random_scores",
    "recovered",
    "reference_scores",
    "relp",
    "removal_order",
    "roc",
    "sizes_for",
    "sufficiency",
    "sweep_sizes",
    "to_autocircuit",
    "to_mib",
    "worst_knockout",
]
