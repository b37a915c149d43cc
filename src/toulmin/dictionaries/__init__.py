"""Sparse dictionaries of a model's activations, trained locally or end to end (Braun et al. 2024).

A :class:`Dictionary` reads an activation, gives each of its features an activation of its own (mostly zero), and writes
a reconstruction in the activation's place. An :class:`Objective` says what it is trained for: to reconstruct what it
reads (local), to leave the model's output distribution unchanged (end to end), or a mixture.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
