from .ablation import mean_values as mean_values
from .ablation import zero_values as zero_values
from .cache import SourceValues as SourceValues
from .cache import source_values as source_values
from .computation import Computation as Computation
from .computation import ModelStage as ModelStage
from .edge_gradients import EdgeGradients as EdgeGradients
from .edge_gradients import edge_gradients as edge_gradients
from .graph import Edge as Edge
from .graph import Graph as Graph
from .kernels import GradientRules as GradientRules
from .kernels import Terms as Terms
from .memory import bytes_per_pair as bytes_per_pair
from .memory import default_bytes as default_bytes
from .pathset import ALL_PATHS as ALL_PATHS
from .pathset import NO_PATHS as NO_PATHS
from .pathset import Automaton as Automaton
from .pathset import Dag as Dag
from .pathset import Link as Link
from .pathset import PathSet as PathSet
from .plan import Plan as Plan
from .plan_paths import plan_paths as plan_paths
from .position_classes import ROOT as ROOT
from .position_classes import Port as Port
from .position_classes import PositionClasses as PositionClasses
from .position_classes import refine as refine
from .position_classes import split_name as split_name
from .run_circuits import run_circuits as run_circuits
from .run_paths import run_paths as run_paths
from .scalar import ScalarGraph as ScalarGraph
from .stages import SLOTS as SLOTS
from .stages import Component as Component
from .stages import Stage as Stage
from .stages import TransformerShape as TransformerShape
from .stages_json import GRAPH_FORMAT as GRAPH_FORMAT

__all__ = [
    "ALL_PATHS",
    "GRAPH_FORMAT",
    "NO_PATHS",
    "ROOT",
    "SLOTS",
    "Automaton",
    "Component",
    "Computation",
    "Dag",
    "Edge",
    "EdgeGradients",
    "GradientRules",
    "Graph",
    "Link",
    "ModelStage",
    "PathSet",
    "Plan",
    "Port",
    "PositionClasses",
    "ScalarGraph",
    "SourceValues",
    "Stage",
    "Terms",
    "TransformerShape",
    "bytes_per_pair",
    "default_bytes",
    "edge_gradients",
    "mean_values",
    "plan_paths",
    "refine",
    "run_circuits",
    "run_paths",
    "source_values",
    "split_name",
    "zero_values",
]
