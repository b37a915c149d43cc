from .ablation import ablate as ablate
from .ablation import access_profiles as access_profiles
from .ablation import expand as expand
from .ablation import profile as profile
from .ablation import region_span as region_span
from .audit import Audit as Audit
from .blocking import BlockedUpdates as BlockedUpdates
from .blocking import freeze_excluded as freeze_excluded
from .plan import Route as Route
from .plan import RoutePlan as RoutePlan
from .router import Router as Router
from .token_weights import token_strengths as token_strengths
from .token_weights import token_weights as token_weights

__all__ = [
    "Audit",
    "BlockedUpdates",
    "Route",
    "RoutePlan",
    "Router",
    "ablate",
    "access_profiles",
    "expand",
    "freeze_excluded",
    "profile",
    "region_span",
    "token_strengths",
    "token_weights",
]
