"""Circuits: which edges of a model do a task, and how far the answer depends on the way it is measured.

An edge set is a :class:`Circuit`; :class:`Methodology` says how everything outside of it is ablated. Discovery
(``acdc``, ``eap``, ``integrated``, ``relp``, ``probe_edges``, ``exact_effects``) gives circuits or scores of all
edges; ``faithfulness_card`` gives every faithfulness number a circuit could have been given (Miller et al. 2024), and
says which verdicts flip. Nothing here evaluates a circuit itself: that is :mod:`toulmin.patching`.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
