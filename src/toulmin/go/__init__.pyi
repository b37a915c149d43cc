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
from .gtp.analysis import AnalysisServer as AnalysisServer
from .gtp.server import GtpServer as GtpServer
from .match.figures import replay_of as replay_of
from .match.game_record import GameRecord as GameRecord
from .match.opening import Opening as Opening
from .match.opening import draw_opening as draw_opening
from .match.opening import read_openings as read_openings
from .match.sgf import sgf_of as sgf_of
from .match.study import Match as Match
from .match.timing import announce_time as announce_time
from .nets import Evaluation as Evaluation
from .nets import Evaluator as Evaluator
from .nets import Extent as Extent
from .nets import Heads as Heads
from .nets import NetworkFile as NetworkFile
from .nets import TrainableNetwork as TrainableNetwork
from .nets import fresh_network as fresh_network
from .nets import input_features as input_features
from .nets import read_network as read_network
from .nets import write_network as write_network
from .players.player import Choice as Choice
from .players.player import Player as Player
from .players.searching import SearchPlayer as SearchPlayer
from .players.spec import PlayerKind as PlayerKind
from .players.spec import PlayerSetting as PlayerSetting
from .players.spec import PlayerSpec as PlayerSpec
from .players.spec import find_player_kind as find_player_kind
from .players.spec import make_player as make_player
from .players.spec import parse_player as parse_player
from .players.spec import player_kinds as player_kinds
from .replays import board_of_files as board_of_files
from .search.adversarial import PolicyModel as PolicyModel
from .search.adversarial import SearchModel as SearchModel
from .search.adversarial import VictimModel as VictimModel
from .search.adversarial import adversarial_search as adversarial_search
from .search.choice import choose_by_visits as choose_by_visits
from .search.mcts import Searched as Searched
from .search.rollouts import Rollouts as Rollouts
from .search.settings import SearchSettings as SearchSettings
from .search.settings import Temperature as Temperature
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
    "AnalysisServer",
    "Choice",
    "Evaluation",
    "Evaluator",
    "Extent",
    "Game",
    "GameRecord",
    "Games",
    "GtpServer",
    "Heads",
    "Match",
    "NetworkFile",
    "Opening",
    "Player",
    "PlayerKind",
    "PlayerSetting",
    "PlayerSpec",
    "PolicyModel",
    "Rollouts",
    "Rules",
    "Scores",
    "SearchModel",
    "SearchPlayer",
    "SearchSettings",
    "Searched",
    "SgfGame",
    "Temperature",
    "TrainableNetwork",
    "VictimModel",
    "action_of",
    "adversarial_search",
    "announce_time",
    "board_of_files",
    "choose_by_visits",
    "draw_opening",
    "find_player_kind",
    "fresh_network",
    "handicap_points",
    "input_features",
    "make_player",
    "parse_player",
    "player_kinds",
    "random_playouts",
    "read_network",
    "read_openings",
    "read_sgf",
    "replay",
    "replay_many",
    "replay_of",
    "scan_sgf",
    "sgf_of",
    "vertex_of",
    "write_network",
    "write_sgf",
]
