from .batch import PairBatch as PairBatch
from .batch import batch_pairs as batch_pairs
from .batch import collate as collate
from .catalogue import find_task as find_task
from .catalogue import task_names as task_names
from .checks import check_model as check_model
from .checks import check_prompts as check_prompts
from .english import capitals_task as capitals_task
from .english import docstring_task as docstring_task
from .english import gendered_pronoun_task as gendered_pronoun_task
from .english import greater_than_task as greater_than_task
from .english import ioi_task as ioi_task
from .files import TokenRows as TokenRows
from .files import read_texts as read_texts
from .files import text_rows as text_rows
from .files import token_rows as token_rows
from .induction import copying_rows as copying_rows
from .induction import induction_task as induction_task
from .induction import prefix_matching_score as prefix_matching_score
from .induction import previous_token_score as previous_token_score
from .induction import repeated_tokens as repeated_tokens
from .metrics import Metric as Metric
from .metrics import MetricLike as MetricLike
from .metrics import find_metric as find_metric
from .metrics import metric_names as metric_names
from .pair import Pair as Pair
from .pair import Task as Task
from .pair import clusters_of as clusters_of
from .pairs_file import read_pairs as read_pairs
from .pairs_file import write_pairs as write_pairs
from .prompt_study import Prompts as Prompts
from .prompt_study import PromptStudy as PromptStudy
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
from .text import SplitAlike as SplitAlike
from .text import split_alike as split_alike
from .text import text_pair as text_pair
from .tracr import tracr_task as tracr_task
from .trained_prompt_study import TrainedPromptStudy as TrainedPromptStudy
from .trained_prompt_study import prompt_items as prompt_items

__all__ = [
    "MarkovRepeats",
    "Metric",
    "MetricLike",
    "Mixture",
    "Pair",
    "PairBatch",
    "PromptStudy",
    "Prompts",
    "RepeatedTokens",
    "SplitAlike",
    "Stories",
    "Task",
    "TokenRows",
    "TokenSource",
    "TrainedPromptStudy",
    "accuracy",
    "at_position",
    "batch_pairs",
    "capitals_task",
    "check_model",
    "check_prompts",
    "clusters_of",
    "collate",
    "copying_rows",
    "cross_entropy",
    "docstring_task",
    "find_metric",
    "find_task",
    "gendered_pronoun_task",
    "greater_than_task",
    "induction_task",
    "ioi_task",
    "kl",
    "logit_diff",
    "metric_names",
    "prefix_matching_score",
    "previous_token_score",
    "prob_diff",
    "prompt_items",
    "read_pairs",
    "read_texts",
    "repeated_tokens",
    "split_alike",
    "task_names",
    "text_pair",
    "text_rows",
    "token_cross_entropy",
    "token_rows",
    "tracr_task",
    "write_pairs",
]
