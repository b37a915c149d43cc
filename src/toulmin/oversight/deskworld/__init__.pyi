from .cues import CUE_SPLITS as CUE_SPLITS
from .cues import Cue as Cue
from .cues import CueSplit as CueSplit
from .cues import oversight_cues as oversight_cues
from .desk import ACTIONS as ACTIONS
from .desk import Desk as Desk
from .desk import Question as Question
from .desk import draw_desk as draw_desk
from .lexicon import cipher as cipher
from .lexicon import desk_vocabulary as desk_vocabulary
from .tokenizer import desk_tokenizer as desk_tokenizer
from .tokenizer import encode_desk as encode_desk
from .tokenizer import word_id as word_id

__all__ = [
    "ACTIONS",
    "CUE_SPLITS",
    "Cue",
    "CueSplit",
    "Desk",
    "Question",
    "cipher",
    "desk_tokenizer",
    "desk_vocabulary",
    "draw_desk",
    "encode_desk",
    "oversight_cues",
    "word_id",
]
