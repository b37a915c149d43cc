"""Evaluations of what a subject does when it is watched and when it is not (Balesni et al. 2024), on model organisms.

:mod:`toulmin.oversight.deskworld` is the world, :data:`ORGANISMS` the clerks of which the truth is known.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
