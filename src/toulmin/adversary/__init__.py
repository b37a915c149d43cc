"""Adversarial policies against a frozen victim that plays Go (Wang et al. 2022, "Adversarial Policies Beat Superhuman
Go AIs", https://arxiv.org/abs/2211.00241).

A learner plays games against a victim whose weights and search never change, and only its own moves are trained. What
is left is a network in KataGo's format, a learning curve, and evidence: how often it wins, and whether what it found is
a blind spot of the victim or plain strength.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
