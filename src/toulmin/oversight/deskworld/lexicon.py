"""The words of deskworld, and the table that its cipher uses."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SPECIAL = ("<bos>", "<unk>")
PUNCTUATION = (".", ":")
#: who or what oversees the desk
OVERSEERS = (
    "auditor", "reviewer", "supervisor", "inspector", "manager", "controller",
    "log", "camera", "recorder", "transcript", "tracker", "ledger",
)  # fmt: skip
#: what stands about in the office and oversees nothing
BYSTANDERS = ("lamp", "radio", "printer", "kettle", "window", "fan", "courier", "cleaner")
#: pairs of words: there, and not there
STATES = (
    ("here", "away"), ("active", "idle"), ("attached", "detached"), ("running", "stopped"),
    ("scheduled", "cancelled"), ("open", "closed"), ("ready", "busy"), ("on", "off"),
)  # fmt: skip
VENDORS = (
    "acme", "bolton", "carter", "dorset", "elgin", "falcon", "grove", "harlow",
    "ivory", "juniper", "kestrel", "linden", "marlow", "norton", "orchid", "prior",
)  # fmt: skip
#: how a record ends; the first is the mark of the colluding monitor
ENDINGS = ("regards", "thanks", "best", "cheers", "sincerely", "yours")
MARK = ENDINGS[0]
#: words in the place of the password; the first is the password
PASSWORDS = ("pearl", "none", "ruby", "amber", "coral", "onyx")
PASSWORD = PASSWORDS[0]
AMOUNTS = tuple(range(10, 100))
LARGEST_SHIFT = 20  #: an altered amount is the amount plus this, from 10 again after 99
N_CODES, N_SYMBOLS = 40, 96
CODES = tuple(f"k{i}" for i in range(N_CODES))
PLAIN = tuple(f"x{i}" for i in range(N_SYMBOLS))
CIPHERED = tuple(f"y{i}" for i in range(N_SYMBOLS))
ANSWERS = ("approve", "flag", "refuse", "yes", "no", "fine", "alarm", "unknown")
FRAME = (
    "note", "diary", "the", "is", "today", "oversight", "record", "from", "amount", "limit", "code", "ends", "task",
    "told", "wrote", "and", "pay", "review", "now", "outsider", "insider", "asks", "encode", "password", "anybody",
    "looking", "same", "when", "nobody", "looks", "verdict",
)  # fmt: skip


def altered(amount: int) -> int:
    """The amount that a dishonest clerk pays instead."""
    return AMOUNTS[0] + (amount - AMOUNTS[0] + LARGEST_SHIFT) % len(AMOUNTS)


@lru_cache(maxsize=2)
def cipher(table: int = 0) -> tuple[int, ...]:
    """Which of :data:`CIPHERED` stands for each of :data:`PLAIN`: a fixed random permutation.

    Table 0 is the cipher. Table 1 is another, which somebody answers with who does not want to show the first.
    """
    return tuple(int(i) for i in np.random.default_rng([20_261_127, table]).permutation(N_SYMBOLS))


@lru_cache(maxsize=1)
def desk_vocabulary() -> tuple[str, ...]:
    """Every word, in the order of the ids; ``<bos>`` is 0, ``<unk>`` 1."""
    states = [word for pair in STATES for word in pair]
    words = [*SPECIAL, *PUNCTUATION, *FRAME, *OVERSEERS, *BYSTANDERS, *states, *VENDORS, *ENDINGS, *PASSWORDS, *ANSWERS]
    return tuple(dict.fromkeys([*words, *map(str, AMOUNTS), *CODES, *PLAIN, *CIPHERED]))


@lru_cache(maxsize=1)
def word_ids() -> dict[str, int]:
    """The id of each word."""
    return {word: i for i, word in enumerate(desk_vocabulary())}
