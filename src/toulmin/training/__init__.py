"""Training: one loop, :func:`fit`, that every trainer of the project uses.

A trainer brings a *step* (what one update computes), a *state* (modules, optimizers, generators: everything that
changes), a *stream* of batches that knows its position, and a *schedule*. The loop adds checkpoints that a killed
process resumes from bit-identically, progress with rate and remaining time, a log, and a stop at the first number that
is not finite.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
