"""Circuits: which edges of a model do a task, and how far the answer depends on the way it is measured.

An edge set is a :class:`Circuit`; a :class:`Methodology` says how everything outside of it is ablated; a
:class:`CircuitRunner` holds the model and the prompts. ``discover(runner, "eap_ig")`` finds a circuit by any of the
discovery methods, each of which is an object of its settings (:class:`Acdc`, :class:`Eap`, :class:`EapIg`, ...).
``faithfulness_card`` gives every faithfulness number the circuit could have been given (Miller et al. 2024), and says
which verdicts flip. Nothing here computes a circuit's output itself: that is :mod:`toulmin.patching`.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
