"""What a model computes when some of its paths, edges or components read another input, exactly and many at once.

``Graph`` is the computational graph as data, ``Computation`` a model that computes its stages. ``run_circuits`` runs
sets of edges, ``run_paths`` sets of paths (``PathSet``), ``edge_gradients`` scores all edges at once; ``source_values``
is the cache of a plain run, ``zero_values`` and ``mean_values`` are other values for cut edges. ``ScalarGraph`` is a
small reference executor over arbitrary functions.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
