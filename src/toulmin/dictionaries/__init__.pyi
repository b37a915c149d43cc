from .architectures.config import DictionaryConfig as DictionaryConfig
from .architectures.dictionary import Dictionary as Dictionary
from .architectures.kinds import make_dictionary as make_dictionary
from .controls import train_beside_controls as train_beside_controls
from .evaluation import Evaluation as Evaluation
from .evaluation import evaluate_dictionaries as evaluate_dictionaries
from .feature_pages import to_neuronpedia as to_neuronpedia
from .feature_pages import write_feature_page as write_feature_page
from .features import FeatureRecord as FeatureRecord
from .features import describe_features as describe_features
from .formats.checkpoints import import_e2e_sae as import_e2e_sae
from .formats.checkpoints import import_sparsify as import_sparsify
from .formats.own import SavedDictionary as SavedDictionary
from .formats.own import load_dictionary as load_dictionary
from .formats.own import save_dictionary as save_dictionary
from .formats.saelens import export_saelens as export_saelens
from .formats.saelens import import_saelens as import_saelens
from .insertion import Insertion as Insertion
from .objective import Objective as Objective
from .pareto import Curve as Curve
from .pareto import mean_ratio as mean_ratio
from .recovery import Recovery as Recovery
from .recovery import measure_recovery as measure_recovery
from .reference import ReferenceCosine as ReferenceCosine
from .reference import ReferenceLinear as ReferenceLinear
from .reference_runs import reference_run as reference_run
from .similarity import compare_dictionaries as compare_dictionaries
from .sites import site_names as site_names
from .splitting import component_output as component_output
from .splitting import feature_terms as feature_terms
from .splitting import rank_features as rank_features
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
    "FeatureRecord",
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
    "compare_dictionaries",
    "component_output",
    "describe_features",
    "evaluate_dictionaries",
    "export_saelens",
    "feature_terms",
    "import_e2e_sae",
    "import_saelens",
    "import_sparsify",
    "load_dictionary",
    "make_dictionary",
    "mean_ratio",
    "measure_recovery",
    "rank_features",
    "reference_run",
    "save_dictionary",
    "site_names",
    "to_neuronpedia",
    "train_beside_controls",
    "train_dictionaries",
    "train_on_activations",
    "train_sweep",
    "write_feature_page",
]
