from .describe import Difference as Difference
from .describe import Estimate as Estimate
from .describe import describe as describe
from .describe import difference as difference
from .describe import explain_inputs as explain_inputs
from .diagram import draw as draw
from .effect_matrix import Matrix as Matrix
from .evaluation import Effects as Effects
from .evaluation import effects as effects
from .evaluation import evaluate as evaluate
from .explained import Explained as Explained
from .explained import Ladder as Ladder
from .hypothesis import Hypothesis as Hypothesis
from .hypothesis import hypothesis as hypothesis
from .matrix import activation_patching as activation_patching
from .matrix import head_to_head as head_to_head
from .matrix import sender_to_logits as sender_to_logits

__all__ = [
    "Difference",
    "Effects",
    "Estimate",
    "Explained",
    "Hypothesis",
    "Ladder",
    "Matrix",
    "activation_patching",
    "describe",
    "difference",
    "draw",
    "effects",
    "evaluate",
    "explain_inputs",
    "head_to_head",
    "hypothesis",
    "sender_to_logits",
]
