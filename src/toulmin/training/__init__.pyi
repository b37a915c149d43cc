from .adapters import NextToken as NextToken
from .adapters import pad_prompts as pad_prompts
from .adapters import train_adapter as train_adapter
from .callbacks import Callback as Callback
from .callbacks import Logger as Logger
from .callbacks import PrintProgress as PrintProgress
from .callbacks import Rate as Rate
from .checkpoint import Checkpoint as Checkpoint
from .fit import Step as Step
from .fit import fit as fit
from .fit import gradient_step as gradient_step
from .language import Evaluate as Evaluate
from .language import next_token_loss as next_token_loss
from .language import start_positions as start_positions
from .language import train_language_model as train_language_model
from .schedule import Schedule as Schedule
from .state import State as State
from .stream import Batches as Batches
from .stream import IndexedBatches as IndexedBatches
from .stream import generator_at as generator_at
from .stream import token_batches as token_batches

__all__ = [
    "Batches",
    "Callback",
    "Checkpoint",
    "Evaluate",
    "IndexedBatches",
    "Logger",
    "NextToken",
    "PrintProgress",
    "Rate",
    "Schedule",
    "State",
    "Step",
    "fit",
    "generator_at",
    "gradient_step",
    "next_token_loss",
    "pad_prompts",
    "start_positions",
    "token_batches",
    "train_adapter",
    "train_language_model",
]
