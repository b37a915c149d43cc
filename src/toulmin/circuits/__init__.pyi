from .circuit import Circuit as Circuit
from .discovery.acdc import Removal as Removal
from .discovery.acdc import acdc as acdc
from .discovery.agreement import Audit as Audit
from .discovery.agreement import audit as audit
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
from .faithfulness.card import faithfulness_card as faithfulness_card
from .faithfulness.completeness import Knockout as Knockout
from .faithfulness.completeness import compare_knockouts as compare_knockouts
from .faithfulness.completeness import random_knockouts as random_knockouts
from .faithfulness.completeness import worst_knockout as worst_knockout
from .faithfulness.curves import Sweep as Sweep
from .faithfulness.curves import roc as roc
from .faithfulness.curves import sweep_sizes as sweep_sizes
from .faithfulness.statistics import TestSettings as TestSettings
from .faithfulness.tests import HypothesisTests as HypothesisTests
from .faithfulness.tests import hypothesis_tests as hypothesis_tests
from .formats import from_autocircuit as from_autocircuit
from .formats import from_mib as from_mib
from .formats import to_autocircuit as to_autocircuit
from .formats import to_mib as to_mib
from .methodology import Methodology as Methodology
from .methodology import grid as grid
from .pictures import draw_circuit as draw_circuit
from .runner import CircuitRunner as CircuitRunner
from .studies.card import FaithfulnessCard as FaithfulnessCard
from .studies.discover import Discovery as Discovery
from .studies.tests import CircuitTests as CircuitTests

__all__ = [
    "Audit",
    "Card",
    "Circuit",
    "CircuitRunner",
    "CircuitTests",
    "Discovery",
    "EdgeScores",
    "FaithfulnessCard",
    "HardConcrete",
    "HypothesisTests",
    "Knockout",
    "Methodology",
    "Removal",
    "Sweep",
    "TestSettings",
    "acdc",
    "activation_magnitude",
    "audit",
    "audit_scores",
    "compare_knockouts",
    "discover",
    "draw_circuit",
    "eap",
    "edge_name",
    "effects_per_prompt",
    "exact_effects",
    "faithfulness_card",
    "from_autocircuit",
    "from_mib",
    "grid",
    "hypothesis_tests",
    "integrated",
    "learn_constants",
    "mask_gradient",
    "open_circuit",
    "parse_edge",
    "parse_edges",
    "probe_edges",
    "probe_sizes",
    "random_knockouts",
    "random_scores",
    "reference_scores",
    "relp",
    "removal_order",
    "roc",
    "sweep_sizes",
    "to_autocircuit",
    "to_mib",
    "worst_knockout",
]
