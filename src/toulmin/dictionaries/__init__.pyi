from .architectures.config import DictionaryConfig as DictionaryConfig
from .architectures.dictionary import Dictionary as Dictionary
from .architectures.kinds import make_dictionary as make_dictionary
from .insertion import Insertion as Insertion
from .objective import Objective as Objective
from .reference import ReferenceCosine as ReferenceCosine
from .reference import ReferenceLinear as ReferenceLinear
from .sites import site_names as site_names
from .streams import IteratorBatches as IteratorBatches
from .trainer import TrainingOptions as TrainingOptions
from .trainer import train_dictionaries as train_dictionaries
from .trainer import train_on_activations as train_on_activations

__all__ = [
    "Dictionary",
    "DictionaryConfig",
    "Insertion",
    "IteratorBatches",
    "Objective",
    "ReferenceCosine",
    "ReferenceLinear",
    "TrainingOptions",
    "make_dictionary",
    "site_names",
    "train_dictionaries",
    "train_on_activations",
]
