"""Discovery: which edges matter for a task, one file a method.

Every method is an object of its settings with ``discover(runner)``, and most score all edges. A method of one's own is
a subclass of :class:`RankingMethod` (it scores edges) or :class:`DiscoveryMethod` (it finds a set), and an entry point
of the group ``toulmin.discovery`` under its name, by which ``discover`` and studies then find it.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
