from .batch import PairBatch as PairBatch
from .batch import batch_pairs as batch_pairs
from .batch import collate as collate
from .catalogue import find_task as find_task
from .catalogue import task_names as task_names
from .induction import copying_rows as copying_rows
from .induction import induction_task as induction_task
from .induction import prefix_matching_score as prefix_matching_score
from .induction import previous_token_score as previous_token_score
from .induction import repeated_tokens as repeated_tokens
from .pair import Pair as Pair
from .pair import Task as Task
from .pairs_file import read_pairs as read_pairs
from .pairs_file import write_pairs as write_pairs
from .scores import SCORES as SCORES
from .scores import accuracy as accuracy
from .scores import at_position as at_position
from .scores import cross_entropy as cross_entropy
from .scores import kl as kl
from .scores import logit_diff as logit_diff
from .scores import prob_diff as prob_diff
from .scores import token_cross_entropy as token_cross_entropy
from .sources import MarkovRepeats as MarkovRepeats
from .sources import Mixture as Mixture
from .sources import RepeatedTokens as RepeatedTokens
from .sources import Stories as Stories
from .sources import TokenSource as TokenSource

__all__ = [
    "SCORES",
    "MarkovRepeats",
    "Mixture",
    "Pair",
    "PairBatch",
    "RepeatedTokens",
    "Stories",
    "Task",
    "TokenSource",
    "accuracy",
    "at_position",
    "batch_pairs",
    "collate",
    "copying_rows",
    "cross_entropy",
    "find_task",
    "induction_task",
    "kl",
    "logit_diff",
    "prefix_matching_score",
    "previous_token_score",
    "prob_diff",
    "read_pairs",
    "repeated_tokens",
    "task_names",
    "token_cross_entropy",
    "write_pairs",
]
