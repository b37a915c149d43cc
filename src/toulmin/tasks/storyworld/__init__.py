"""storyworld: our own generator of short stories with known latent factors, and its tokenizer.

:func:`write_story` writes one, labelled; :func:`stories` streams them. The tasks ``story.NAME``
(``toulmin.tasks.story_tasks``) are pairs of clean and counterfactual prompts about one behaviour each, with held-out
names and templates.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
