"""KataGo's networks: the reader of model files, the network in PyTorch, and the evaluator of positions.

A network is read (``read_network``), written (``write_network``), and evaluated (``Evaluator``) without KataGo.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
