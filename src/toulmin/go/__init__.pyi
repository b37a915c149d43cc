from .games import Games as Games
from .points import action_of as action_of
from .points import handicap_points as handicap_points
from .points import vertex_of as vertex_of
from .rules import BLACK as BLACK
from .rules import EMPTY as EMPTY
from .rules import WHITE as WHITE
from .rules import Rules as Rules
