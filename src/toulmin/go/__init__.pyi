from .game import Game as Game
from .game import Scores as Scores
from .games import Games as Games
from .nets import Evaluation as Evaluation
from .nets import Evaluator as Evaluator
from .nets import read_network as read_network
from .playouts import random_playouts as random_playouts
from .points import action_of as action_of
from .points import handicap_points as handicap_points
from .points import vertex_of as vertex_of
from .rules import BLACK as BLACK
from .rules import EMPTY as EMPTY
from .rules import WHITE as WHITE
from .rules import Rules as Rules
from .sgf import SgfGame as SgfGame
from .sgf import read_sgf as read_sgf
from .sgf import replay as replay
from .sgf import replay_many as replay_many
from .sgf import scan_sgf as scan_sgf
from .sgf import write_sgf as write_sgf

__all__ = [
    "BLACK",
    "EMPTY",
    "WHITE",
    "Evaluation",
    "Evaluator",
    "Game",
    "Games",
    "Rules",
    "Scores",
    "SgfGame",
    "action_of",
    "handicap_points",
    "random_playouts",
    "read_network",
    "read_sgf",
    "replay",
    "replay_many",
    "scan_sgf",
    "vertex_of",
    "write_sgf",
]
