from .acdc import Acdc as Acdc
from .agreement import AttributionAgreement as AttributionAgreement
from .baselines import ActivationMagnitude as ActivationMagnitude
from .baselines import RandomScores as RandomScores
from .eap import Eap as Eap
from .eap_ig import EapIg as EapIg
from .eap_ig import EapIgActivations as EapIgActivations
from .ensemble import Ensemble as Ensemble
from .exact_effects import ExactEffects as ExactEffects
from .exact_effects import exact_effects as exact_effects
from .mask_gradient import MaskGradient as MaskGradient
from .mask_gradient import MaskIg as MaskIg
from .method import DiscoveryMethod as DiscoveryMethod
from .method import RankingMethod as RankingMethod
from .method import ScoringMethod as ScoringMethod
from .probing import CircuitProbing as CircuitProbing
from .probing import EdgeProbing as EdgeProbing
from .relp import Relp as Relp

__all__ = [
    "Acdc",
    "ActivationMagnitude",
    "AttributionAgreement",
    "CircuitProbing",
    "DiscoveryMethod",
    "Eap",
    "EapIg",
    "EapIgActivations",
    "EdgeProbing",
    "Ensemble",
    "ExactEffects",
    "MaskGradient",
    "MaskIg",
    "RandomScores",
    "RankingMethod",
    "Relp",
    "ScoringMethod",
    "exact_effects",
]
