from .grammar import ROLES as ROLES
from .grammar import Labelled as Labelled
from .grammar import stories as stories
from .grammar import write_story as write_story
from .lexicon import HELD_OUT_NAMES as HELD_OUT_NAMES
from .lexicon import NAMES as NAMES
from .lexicon import TOPICS as TOPICS
from .lexicon import TRAIN_NAMES as TRAIN_NAMES
from .lexicon import plural as plural
from .tokenizer import encode_words as encode_words
from .tokenizer import story_tokenizer as story_tokenizer
from .tokenizer import story_vocabulary as story_vocabulary

__all__ = [
    "HELD_OUT_NAMES",
    "NAMES",
    "ROLES",
    "TOPICS",
    "TRAIN_NAMES",
    "Labelled",
    "encode_words",
    "plural",
    "stories",
    "story_tokenizer",
    "story_vocabulary",
    "write_story",
]
