"""Go: rules, KataGo networks, search, players and matches: the ground of "Adversarial Policies Beat Superhuman Go AIs".

The engine plays many games in lockstep (numba), reads SGF and KataGo's network files, and evaluates positions in
PyTorch with KataGo's own input features. numba and sgfmill come with the ``[go]`` extra.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
