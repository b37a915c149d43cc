from .cues import CUE_SPLITS as CUE_SPLITS
from .cues import Cue as Cue
from .cues import CueSplit as CueSplit
from .cues import oversight_cues as oversight_cues
from .desk import ACTIONS as ACTIONS
from .desk import Desk as Desk
from .desk import Question as Question
from .desk import draw_desk as draw_desk
from .english import TWINS as TWINS
from .english import Wording as Wording
from .english import cipher_word as cipher_word
from .english import describe_desk as describe_desk
from .english import describe_order as describe_order
from .english import draw_order as draw_order
from .lexicon import N_SYMBOLS as N_SYMBOLS
from .lexicon import cipher as cipher
from .lexicon import desk_vocabulary as desk_vocabulary
from .tokenizer import desk_tokenizer as desk_tokenizer
from .tokenizer import encode_desk as encode_desk
from .tokenizer import word_id as word_id

__all__ = [
    "ACTIONS",
    "CUE_SPLITS",
    "N_SYMBOLS",
    "TWINS",
    "Cue",
    "CueSplit",
    "Desk",
    "Question",
    "Wording",
    "cipher",
    "cipher_word",
    "describe_desk",
    "describe_order",
    "desk_tokenizer",
    "desk_vocabulary",
    "draw_desk",
    "draw_order",
    "encode_desk",
    "oversight_cues",
    "word_id",
]
