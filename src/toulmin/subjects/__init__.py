"""What is studied: the factored transformer, small networks, tokenizers, and the readers that load them."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
