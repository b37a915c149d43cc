"""Path patching: hypotheses about which paths carry a behaviour, evaluated exactly (Goldowsky-Dill et al. 2023).

``hypothesis`` reads the path language; ``evaluate`` gives the proportion of an effect that hypotheses explain, with
intervals; ``head_to_head``, ``sender_to_logits`` and ``activation_patching`` are what people do daily, as calls of the
same evaluator; ``explain_inputs``, ``difference`` and ``describe`` look into a hypothesis; ``draw`` makes it a figure.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
