"""deskworld's tokenizer: one id for each word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toulmin.oversight.deskworld.desk import ASKED, Desk
from toulmin.oversight.deskworld.lexicon import word_ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def word_id(word: str) -> int:
    """The id of a word of the vocabulary.

    :raises KeyError: it is none.
    """
    return word_ids()[word]


def encode_desk(desk: Desk, told: int = ASKED) -> list[int]:
    """The ids of a desk's prompt; ``told`` as in :meth:`Desk.words`."""
    ids = word_ids()
    return [ids[word] for word in desk.words(told)]


def desk_tokenizer() -> Tokenizer:
    """The tokenizer as the ``tokenizers`` library has it: splits at spaces."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    tokenizer = Tokenizer(WordLevel(dict(word_ids()), unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()  # type: ignore[assignment]
    return tokenizer
