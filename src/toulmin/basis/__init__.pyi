from .ablation import EdgesNeeded as EdgesNeeded
from .ablation import ablate_edges as ablate_edges
from .ablation import ablate_nodes as ablate_nodes
from .ablation import accuracy_of as accuracy_of
from .ablation import edges_needed as edges_needed
from .ablation import strongest_edges as strongest_edges
from .build import InteractionGraph as InteractionGraph
from .build import interaction_basis as interaction_basis
from .build import local_interaction_basis as local_interaction_basis
from .build import neuron_basis as neuron_basis
from .build import pca_basis as pca_basis
from .build import random_basis as random_basis
from .build import svd_basis as svd_basis
from .degeneracy.audit import DegeneracyReport as DegeneracyReport
from .degeneracy.audit import audit as audit
from .degeneracy.audit import audit_chain as audit_chain
from .degeneracy.effective import EffectiveParameters as EffectiveParameters
from .degeneracy.effective import effective_parameters as effective_parameters
from .degeneracy.effective import hidden_layer_rank as hidden_layer_rank
from .degeneracy.learning_coefficient import LearningCoefficient as LearningCoefficient
from .degeneracy.learning_coefficient import learning_coefficient as learning_coefficient
from .degeneracy.learning_coefficient import quadratic_coefficient as quadratic_coefficient
from .degeneracy.parameters import parameter_rank as parameter_rank
from .degeneracy.parts import part_parameters as part_parameters
from .degeneracy.spectra import Rank as Rank
from .grams import Gram as Gram
from .grams import gram_matrices as gram_matrices
from .jacobians import SecondMoment as SecondMoment
from .jacobians import interactions as interactions
from .jacobians import second_moment as second_moment
from .modules import Modules as Modules
from .modules import interaction_weights as interaction_weights
from .modules import modularity as modularity
from .modules import modules as modules
from .nodes import line_nodes as line_nodes
from .rotation import Rotation as Rotation
from .saving import load_graph as load_graph
from .saving import save_graph as save_graph
from .sections import Chain as Chain
from .sections import folded_chain as folded_chain
from .sections import mlp_chain as mlp_chain
from .sections import with_constant as with_constant
from .transformers import site_inputs as site_inputs
from .transformers import transformer_chain as transformer_chain

__all__ = [
    "Chain",
    "DegeneracyReport",
    "EdgesNeeded",
    "EffectiveParameters",
    "Gram",
    "InteractionGraph",
    "LearningCoefficient",
    "Modules",
    "Rank",
    "Rotation",
    "SecondMoment",
    "ablate_edges",
    "ablate_nodes",
    "accuracy_of",
    "audit",
    "audit_chain",
    "edges_needed",
    "effective_parameters",
    "folded_chain",
    "gram_matrices",
    "hidden_layer_rank",
    "interaction_basis",
    "interaction_weights",
    "interactions",
    "learning_coefficient",
    "line_nodes",
    "load_graph",
    "local_interaction_basis",
    "mlp_chain",
    "modularity",
    "modules",
    "neuron_basis",
    "parameter_rank",
    "part_parameters",
    "pca_basis",
    "quadratic_coefficient",
    "random_basis",
    "save_graph",
    "second_moment",
    "site_inputs",
    "strongest_edges",
    "svd_basis",
    "transformer_chain",
    "with_constant",
]
