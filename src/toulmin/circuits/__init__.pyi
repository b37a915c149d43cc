from .circuit import Circuit as Circuit
from .discovery.acdc import Acdc as Acdc
from .discovery.agreement import attribution_agreement as attribution_agreement
from .discovery.eap import Eap as Eap
from .discovery.eap_ig import EapIg as EapIg
from .discovery.exact_effects import ExactEffects as ExactEffects
from .discovery.learned_constants import learn_constants as learn_constants
from .discovery.method import Discovery as Discovery
from .discovery.methods import discover as discover
from .discovery.probing import EdgeProbing as EdgeProbing
from .discovery.relp import Relp as Relp
from .edge_scores import EdgeScores as EdgeScores
from .faithfulness.card import Card as Card
from .faithfulness.card import faithfulness_card as faithfulness_card
from .faithfulness.curves import sweep_sizes as sweep_sizes
from .faithfulness.statistics import TestSettings as TestSettings
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
    "Card",
    "Circuit",
    "CircuitRunner",
    "Discovery",
    "Eap",
    "EapIg",
    "EdgeProbing",
    "EdgeScores",
    "ExactEffects",
    "Methodology",
    "Relp",
    "TestSettings",
    "attribution_agreement",
    "discover",
    "draw_circuit",
    "faithfulness_card",
    "from_autocircuit",
    "from_mib",
    "grid",
    "hypothesis_tests",
    "learn_constants",
    "sweep_sizes",
    "to_autocircuit",
    "to_mib",
]
