"""Tasks: what a subject is asked, and how an answer is scored.

A :class:`Pair` is a clean and a counterfactual prompt with named positions; a :class:`Task` generates pairs by seed
and split; a :class:`Metric` is one number for each prompt (logit difference, loss, accuracy, KL), used by paths and
circuits too. :class:`PromptStudy` is the base of every study of a language model. storyworld is a generated world with
known latent factors; token sources stream it, text files and token files.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
