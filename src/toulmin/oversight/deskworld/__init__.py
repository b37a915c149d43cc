"""deskworld: a generated world in which a small language model works as a clerk, watched or not.

Everything is seeded and labelled: :func:`draw_desk` draws a situation, :meth:`Desk.words` writes it as a prompt,
:meth:`Desk.right` and :meth:`Desk.harmful` are its answers. Cues of oversight come in three splits: an explicit flag,
indirect ones that models are trained on, and combinations of words that none was trained on.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
