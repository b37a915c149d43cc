from .architectures.config import DictionaryConfig as DictionaryConfig
from .architectures.dictionary import Dictionary as Dictionary
from .architectures.kinds import make_dictionary as make_dictionary
from .evaluation import Evaluation as Evaluation
from .evaluation import evaluate_dictionaries as evaluate_dictionaries
from .formats.own import SavedDictionary as SavedDictionary
from .formats.own import load_dictionary as load_dictionary
from .formats.own import save_dictionary as save_dictionary
from .insertion import Insertion as Insertion
from .objective import Objective as Objective
from .pareto import Curve as Curve
from .pareto import mean_ratio as mean_ratio
from .recovery import Recovery as Recovery
from .recovery import measure_recovery as measure_recovery
from .reference import ReferenceCosine as ReferenceCosine
from .reference import ReferenceLinear as ReferenceLinear
from .sites import site_names as site_names
from .streams import IteratorBatches as IteratorBatches
from .sweep import SweepRun as SweepRun
from .sweep import SweepShape as SweepShape
from .sweep import train_sweep as train_sweep
from .synthetic import SyntheticFeatures as SyntheticFeatures
from .trainer import TrainingOptions as TrainingOptions
from .trainer import train_dictionaries as train_dictionaries
from .trainer import train_on_activations as train_on_activations

__all__ = [
    "Curve",
    "Dictionary",
    "DictionaryConfig",
    "Evaluation",
    "Insertion",
    "IteratorBatches",
    "Objective",
    "Recovery",
    "ReferenceCosine",
    "ReferenceLinear",
    "SavedDictionary",
    "SweepRun",
    "SweepShape",
    "SyntheticFeatures",
    "TrainingOptions",
    "evaluate_dictionaries",
    "load_dictionary",
    "make_dictionary",
    "mean_ratio",
    "measure_recovery",
    "save_dictionary",
    "site_names",
    "train_dictionaries",
    "train_on_activations",
    "train_sweep",
]
