"""The one evaluator: what a model computes when some of its paths, edges or nodes read other inputs.

``pathset`` holds sets of paths as minimal automata, ``graph`` the graph of a Transformer, ``plan`` which copies of
which nodes must be computed, ``execute`` computes them, ``edges`` runs circuits (sets of edges), ``ablation`` gives the
values that cut edges carry, and ``scalar`` is the small reference executor over arbitrary scalar graphs.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
