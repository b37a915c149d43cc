"""Tasks: what a subject is asked, and how an answer is scored.

A :class:`Pair` is a clean and a counterfactual prompt with named positions; a :class:`Task` generates pairs by seed and
split; scores are per item (KL, cross-entropy, logit and probability differences, accuracy). storyworld is the generated
world with known latent factors; token sources stream it, text files and token files.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
