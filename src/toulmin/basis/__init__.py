"""The Interaction Basis: activations described in directions that interact as little as possible.

After Bushnaq et al. 2024, "Using Degeneracy in the Loss Landscape for Mechanistic Interpretability", and its companion,
"The Local Interaction Basis". The authors' verdict on language models stands first: the Local Interaction Basis "does
not yield substantial improvements in interpretability or interaction sparsity when applied to language models".

``sections`` and ``transformers`` cut a model into a chain of functions with biases folded in; ``grams``, ``rotation``
and ``jacobians`` are the steps of the method, ``closed_forms`` the sections whose Jacobians need no differentiation.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
