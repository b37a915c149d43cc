from .pathset import EVERYTHING as EVERYTHING
from .pathset import NOTHING as NOTHING
from .pathset import Automaton as Automaton
from .pathset import Dag as Dag
from .pathset import Link as Link
from .pathset import PathSet as PathSet
from .scalar import ScalarGraph as ScalarGraph
