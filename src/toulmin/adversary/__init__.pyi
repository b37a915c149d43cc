from .amcts import SearchedGames as SearchedGames
from .amcts import victim_model as victim_model
from .blind_spots import DoomedPosition as DoomedPosition
from .blind_spots import doomed_positions as doomed_positions
from .blind_spots import judge as judge
from .blind_spots import proves_capture as proves_capture
from .buffer import ReplayBuffer as ReplayBuffer
from .buffer import SearchedMoves as SearchedMoves
from .defence import Defence as Defence
from .defence import defence_rounds as defence_rounds
from .episodes import Decisions as Decisions
from .episodes import VictimGames as VictimGames
from .imitation import RecordedGame as RecordedGame
from .imitation import imitate as imitate
from .imitation import recorded_games as recorded_games
from .ppo import ppo_step as ppo_step
from .settings import AmctsSettings as AmctsSettings
from .settings import Attack as Attack
from .settings import BoardShare as BoardShare
from .settings import Imitation as Imitation
from .settings import NetworkShape as NetworkShape
from .settings import PpoSettings as PpoSettings
from .settings import Stage as Stage
from .studies.blindspot import BlindSpot as BlindSpot
from .studies.defence import AdversaryDefence as AdversaryDefence
from .studies.imitate import AdversaryImitation as AdversaryImitation
from .studies.match import AdversaryMatch as AdversaryMatch
from .studies.train import AdversaryTraining as AdversaryTraining
from .training import TrainedAdversary as TrainedAdversary
from .training import train_adversary as train_adversary

__all__ = [
    "AdversaryDefence",
    "AdversaryImitation",
    "AdversaryMatch",
    "AdversaryTraining",
    "AmctsSettings",
    "Attack",
    "BlindSpot",
    "BoardShare",
    "Decisions",
    "Defence",
    "DoomedPosition",
    "Imitation",
    "NetworkShape",
    "PpoSettings",
    "RecordedGame",
    "ReplayBuffer",
    "SearchedGames",
    "SearchedMoves",
    "Stage",
    "TrainedAdversary",
    "VictimGames",
    "defence_rounds",
    "doomed_positions",
    "imitate",
    "judge",
    "ppo_step",
    "proves_capture",
    "recorded_games",
    "train_adversary",
    "victim_model",
]
