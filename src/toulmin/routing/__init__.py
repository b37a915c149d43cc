"""Gradient routing: which data may train which part of a model (Cloud et al. 2024).

A :class:`RoutePlan` says where the gradient of each label's data goes; a :class:`Router` does it in a plain training
loop on any ``nn.Module``: at activations, at parameters, or by masks in the forward pass (selective gradient masking).
``expand`` adds units for a region, ``ablate`` takes it out again, ``profile`` gives the model with some regions only,
``Router.audit`` measures where gradients and updates went.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
