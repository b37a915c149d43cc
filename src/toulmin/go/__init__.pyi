from .engine.game import Game as Game
from .engine.game import Scores as Scores
from .engine.games import Games as Games
from .engine.playouts import random_playouts as random_playouts
from .engine.points import action_of as action_of
from .engine.points import handicap_points as handicap_points
from .engine.points import vertex_of as vertex_of
from .engine.rules import BLACK as BLACK
from .engine.rules import EMPTY as EMPTY
from .engine.rules import WHITE as WHITE
from .engine.rules import Rules as Rules
from .nets import Evaluation as Evaluation
from .nets import Evaluator as Evaluator
from .nets import read_network as read_network
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
