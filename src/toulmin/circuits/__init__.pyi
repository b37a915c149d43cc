from .circuit import Circuit as Circuit
from .discovery.acdc import Removal as Removal
from .discovery.acdc import acdc as acdc
from .discovery.agreement import Audit as Audit
from .discovery.agreement import audit_scores as audit_scores
from .discovery.attribution import activation_magnitude as activation_magnitude
from .discovery.attribution import eap as eap
from .discovery.attribution import integrated as integrated
from .discovery.attribution import mask_gradient as mask_gradient
from .discovery.attribution import relp as relp
from .discovery.edge_scores import EdgeScores as EdgeScores
from .discovery.edge_scores import random_scores as random_scores
from .discovery.edge_scores import reference_scores as reference_scores
from .discovery.exact_effects import effects_per_prompt as effects_per_prompt
from .discovery.exact_effects import exact_effects as exact_effects
from .discovery.methods import discover as discover
from .discovery.probing import HardConcrete as HardConcrete
from .discovery.probing import learn_constants as learn_constants
from .discovery.probing import open_circuit as open_circuit
from .discovery.probing import probe_edges as probe_edges
from .discovery.probing import probe_sizes as probe_sizes
from .edges import edge_name as edge_name
from .edges import parse_edge as parse_edge
from .edges import parse_edges as parse_edges
from .edges import removal_order as removal_order
from .faithfulness.card import Card as Card
from .faithfulness.card import Cell as Cell
from .faithfulness.card import Values as Values
from .faithfulness.card import make_card as make_card
from .faithfulness.completeness import Knockout as Knockout
from .faithfulness.completeness import compare_knockouts as compare_knockouts
from .faithfulness.completeness import edge_effects_in as edge_effects_in
from .faithfulness.completeness import random_knockouts as random_knockouts
from .faithfulness.completeness import worst_knockout as worst_knockout
from .faithfulness.curves import MIB_SHARES as MIB_SHARES
from .faithfulness.curves import Roc as Roc
from .faithfulness.curves import area_under as area_under
from .faithfulness.curves import cmd as cmd
from .faithfulness.curves import cpr as cpr
from .faithfulness.curves import roc as roc
from .faithfulness.curves import sizes_for as sizes_for
from .faithfulness.hypothesis_tests import TestResult as TestResult
from .faithfulness.hypothesis_tests import adjust as adjust
from .faithfulness.hypothesis_tests import equivalence as equivalence
from .faithfulness.hypothesis_tests import independence as independence
from .faithfulness.hypothesis_tests import minimality as minimality
from .faithfulness.hypothesis_tests import partial_necessity as partial_necessity
from .faithfulness.hypothesis_tests import sufficiency as sufficiency
from .faithfulness.measure import Sweep as Sweep
from .faithfulness.measure import audit as audit
from .faithfulness.measure import card_values as card_values
from .faithfulness.measure import faithfulness_card as faithfulness_card
from .faithfulness.measure import sweep_sizes as sweep_sizes
from .faithfulness.recovered import Recovered as Recovered
from .faithfulness.recovered import recovered as recovered
from .faithfulness.test_data import TestData as TestData
from .faithfulness.test_data import collect_test_data as collect_test_data
from .formats import from_autocircuit as from_autocircuit
from .formats import from_mib as from_mib
from .formats import to_autocircuit as to_autocircuit
from .formats import to_mib as to_mib
from .methodology import Methodology as Methodology
from .methodology import grid as grid
from .pictures import draw_audit as draw_audit
from .pictures import draw_card as draw_card
from .pictures import draw_circuit as draw_circuit
from .pictures import draw_curves as draw_curves
from .pictures import draw_percents as draw_percents
from .runner import CircuitRunner as CircuitRunner
from .studies.card import FaithfulnessCard as FaithfulnessCard
from .studies.discover import Discovery as Discovery
from .studies.tests import CircuitTests as CircuitTests

__all__ = [
    "MIB_SHARES",
    "Audit",
    "Card",
    "Cell",
    "Circuit",
    "CircuitRunner",
    "CircuitTests",
    "Discovery",
    "EdgeScores",
    "FaithfulnessCard",
    "HardConcrete",
    "Knockout",
    "Methodology",
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
