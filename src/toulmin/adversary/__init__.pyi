from .episodes import Decisions as Decisions
from .episodes import VictimGames as VictimGames
from .ppo import ppo_step as ppo_step
from .settings import Attack as Attack
from .settings import NetworkShape as NetworkShape
from .settings import PpoSettings as PpoSettings
from .settings import Stage as Stage
from .studies.match import AdversaryMatch as AdversaryMatch
from .studies.train import AdversaryTraining as AdversaryTraining
from .training import TrainedAdversary as TrainedAdversary
from .training import train_adversary as train_adversary

__all__ = [
    "AdversaryMatch",
    "AdversaryTraining",
    "Attack",
    "Decisions",
    "NetworkShape",
    "PpoSettings",
    "Stage",
    "TrainedAdversary",
    "VictimGames",
    "ppo_step",
    "train_adversary",
]
