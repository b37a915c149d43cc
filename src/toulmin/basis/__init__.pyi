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
from .build import svd_basis as svd_basis
from .grams import Gram as Gram
from .grams import gram_matrices as gram_matrices
from .jacobians import SecondMoment as SecondMoment
from .jacobians import interactions as interactions
from .jacobians import second_moment as second_moment
from .nodes import line_nodes as line_nodes
from .rotation import Rotation as Rotation
from .sections import Chain as Chain
from .sections import folded_chain as folded_chain
from .sections import mlp_chain as mlp_chain
from .sections import with_constant as with_constant
from .transformers import site_inputs as site_inputs
from .transformers import transformer_chain as transformer_chain

__all__ = [
    "Chain",
    "EdgesNeeded",
    "Gram",
    "InteractionGraph",
    "Rotation",
    "SecondMoment",
    "ablate_edges",
    "ablate_nodes",
    "accuracy_of",
    "edges_needed",
    "folded_chain",
    "gram_matrices",
    "interaction_basis",
    "interactions",
    "line_nodes",
    "local_interaction_basis",
    "mlp_chain",
    "neuron_basis",
    "pca_basis",
    "second_moment",
    "site_inputs",
    "strongest_edges",
    "svd_basis",
    "transformer_chain",
    "with_constant",
]
