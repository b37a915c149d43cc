from .diagram import draw as draw
from .effect_matrix import Matrix as Matrix
from .evaluation import Effects as Effects
from .evaluation import effects as effects
from .evaluation import evaluate as evaluate
from .evaluation import space_of as space_of
from .explained import Explained as Explained
from .explained import compare_rungs as compare_rungs
from .explained import explain_proportion as explain_proportion
from .explained import ladder_chart as ladder_chart
from .explained import table_of as table_of
from .hypothesis import Hypothesis as Hypothesis
from .hypothesis import Space as Space
from .hypothesis import hypothesis as hypothesis
from .hypothesis import make_space as make_space
from .insight import Difference as Difference
from .insight import Estimate as Estimate
from .insight import describe as describe
from .insight import difference as difference
from .insight import explain_inputs as explain_inputs
from .insight import path_text as path_text
from .language import parse as parse
from .matrix import activation_patching as activation_patching
from .matrix import head_to_head as head_to_head
from .matrix import sender_to_logits as sender_to_logits

__all__ = [
    "Difference",
    "Effects",
    "Estimate",
    "Explained",
    "Hypothesis",
    "Matrix",
    "Space",
    "activation_patching",
    "compare_rungs",
    "describe",
    "difference",
    "draw",
    "effects",
    "evaluate",
    "explain_inputs",
    "explain_proportion",
    "head_to_head",
    "hypothesis",
    "ladder_chart",
    "make_space",
    "parse",
    "path_text",
    "sender_to_logits",
    "space_of",
    "table_of",
]
