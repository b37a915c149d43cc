from .circuit import Circuit as Circuit
from .discovery.acdc import Acdc as Acdc
from .discovery.agreement import AttributionAgreement as AttributionAgreement
from .discovery.agreement import attribution_agreement as attribution_agreement
from .discovery.baselines import ActivationMagnitude as ActivationMagnitude
from .discovery.baselines import RandomScores as RandomScores
from .discovery.eap import Eap as Eap
from .discovery.eap_ig import EapIg as EapIg
from .discovery.eap_ig import EapIgActivations as EapIgActivations
from .discovery.exact_effects import ExactEffects as ExactEffects
from .discovery.exact_effects import exact_effects as exact_effects
from .discovery.learned_constants import learn_constants as learn_constants
from .discovery.mask_gradient import MaskGradient as MaskGradient
from .discovery.mask_gradient import MaskIg as MaskIg
from .discovery.method import Discovery as Discovery
from .discovery.method import DiscoveryMethod as DiscoveryMethod
from .discovery.methods import discover as discover
from .discovery.probing import CircuitProbing as CircuitProbing
from .discovery.probing import EdgeProbing as EdgeProbing
from .discovery.relp import Relp as Relp
from .edge_scores import EdgeScores as EdgeScores
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

__all__ = [
    "Acdc",
    "ActivationMagnitude",
    "AttributionAgreement",
    "Card",
    "Circuit",
    "CircuitProbing",
    "CircuitRunner",
    "Discovery",
    "DiscoveryMethod",
    "Eap",
    "EapIg",
    "EapIgActivations",
    "EdgeProbing",
    "EdgeScores",
    "ExactEffects",
    "HypothesisTests",
    "Knockout",
    "MaskGradient",
    "MaskIg",
    "Methodology",
    "RandomScores",
    "Relp",
    "Sweep",
    "TestSettings",
    "attribution_agreement",
    "compare_knockouts",
    "discover",
    "draw_circuit",
    "exact_effects",
    "faithfulness_card",
    "from_autocircuit",
    "from_mib",
    "grid",
    "hypothesis_tests",
    "learn_constants",
    "random_knockouts",
    "roc",
    "sweep_sizes",
    "to_autocircuit",
    "to_mib",
    "worst_knockout",
]
