from .architectures.config import DictionaryConfig as DictionaryConfig
from .architectures.dictionary import Dictionary as Dictionary
from .architectures.kinds import make_dictionary as make_dictionary
from .objective import Objective as Objective
from .reference import ReferenceCosine as ReferenceCosine
from .reference import ReferenceLinear as ReferenceLinear
from .sites import site_names as site_names

__all__ = [
    "Dictionary",
    "DictionaryConfig",
    "Objective",
    "ReferenceCosine",
    "ReferenceLinear",
    "make_dictionary",
    "site_names",
]
