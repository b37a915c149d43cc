"""Path patching: hypotheses about which paths carry a behaviour, evaluated exactly (Goldowsky-Dill et al. 2023).

A hypothesis is the set of input-to-output paths that are claimed to matter. The model is run so that these paths
read the clean prompt and all others a counterfactual; what the output still loses is unexplained.

``hypothesis`` reads the path language; ``evaluate`` gives the proportion of an effect that hypotheses explain, with
intervals over clean prompts; ``head_to_head``, ``sender_to_logits`` and ``activation_patching`` give the effect of
every pair of heads, of every component on the logits, and of every layer and position; ``describe``, ``difference``,
``explain_inputs`` and ``draw`` show what a hypothesis says: its size and cost, how two differ, which tokens contradict
it, and a figure.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
