"""Faithfulness: how much of the model's behaviour a circuit keeps under every ablation methodology.

The card, the curve over sizes and the tests are in :mod:`toulmin.circuits`; here are the areas under the curve
(:func:`cpr`, :func:`cmd`), the separation of a reference circuit's edges (:func:`roc`), and completeness
(:func:`compare_knockouts`): whether the circuit without some of its edges behaves as the model without them.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
