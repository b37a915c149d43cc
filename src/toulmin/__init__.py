"""Toulmin: experiments on an AI system become evidence, and evidence a safety case that re-checks itself.

The packages, each usable alone, in the order in which they may import one another:

``faults`` → ``evidence`` → ``studies`` → ``subjects`` → ``tasks`` → ``training`` → ``patching`` → ``go`` →
the methods (``paths``, ``circuits``, …) → ``case`` → ``report`` → ``cli``.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
