from .answers import action_desks as action_desks
from .answers import answer_logits as answer_logits
from .answers import answers as answers
from .answers import capability as capability
from .answers import encode_desks as encode_desks
from .answers import harm_rates as harm_rates
from .cipher_clerks import CipherClerk as CipherClerk
from .cipher_clerks import EnglishClerk as EnglishClerk
from .cipher_clerks import english_orders as english_orders
from .cipher_clerks import open_cipher_clerk as open_cipher_clerk
from .clerk_control import clerk_traffic as clerk_traffic
from .control import AttackPolicy as AttackPolicy
from .control import Traffic as Traffic
from .control import audit_threshold as audit_threshold
from .control import find_attack as find_attack
from .cue_task import oversight_pair as oversight_pair
from .cue_task import oversight_task as oversight_task
from .desk_readers import DeskReader as DeskReader
from .desk_readers import EnglishReader as EnglishReader
from .desk_readers import open_desk_reader as open_desk_reader
from .desk_readers import untrained as untrained
from .diagnosis import Diagnosis as Diagnosis
from .diagnosis import diagnose as diagnose
from .elicitation import search_password as search_password
from .elicitation import split_symbols as split_symbols
from .elicitation import train_on_examples as train_on_examples
from .intervals import paired_difference as paired_difference
from .organisms import ORGANISMS as ORGANISMS
from .organisms import Organism as Organism
from .organisms import find_organism as find_organism
from .organisms import training_row as training_row
from .protocols import Protocol as Protocol
from .protocols import any_harm as any_harm
from .protocols import builder_breaker as builder_breaker
from .protocols import frontier as frontier
from .protocols import protocol_rates as protocol_rates
from .protocols import search_attack as search_attack
from .protocols import trajectory_harm as trajectory_harm
from .representation import draw_cued_desks as draw_cued_desks
from .representation import probe_oversight as probe_oversight
from .representation import reverse_oversight as reverse_oversight

__all__ = [
    "ORGANISMS",
    "AttackPolicy",
    "CipherClerk",
    "DeskReader",
    "Diagnosis",
    "EnglishClerk",
    "EnglishReader",
    "Organism",
    "Protocol",
    "Traffic",
    "action_desks",
    "answer_logits",
    "answers",
    "any_harm",
    "audit_threshold",
    "builder_breaker",
    "capability",
    "clerk_traffic",
    "diagnose",
    "draw_cued_desks",
    "encode_desks",
    "english_orders",
    "find_attack",
    "find_organism",
    "frontier",
    "harm_rates",
    "open_cipher_clerk",
    "open_desk_reader",
    "oversight_pair",
    "oversight_task",
    "paired_difference",
    "probe_oversight",
    "protocol_rates",
    "reverse_oversight",
    "search_attack",
    "search_password",
    "split_symbols",
    "train_on_examples",
    "training_row",
    "trajectory_harm",
    "untrained",
]
