"""How long a study of a model will take, from a forward pass of it that is timed on the spot.

A study knows about how many forward passes of one prompt its work is worth; how long one takes depends on the model,
its prompts, the device and the threads, so that it is measured once the model is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toulmin.subjects import Transformer
    from toulmin.tasks.pair import Pair

_TIMED = 8  #: prompts in the pass that is timed


def seconds_of_pass(model: Transformer, pairs: Sequence[Pair]) -> float:
    """Wall-clock seconds of a forward pass, for each prompt of a batch of up to eight clean prompts of one length."""
    import torch

    from toulmin.tasks.batch import batch_pairs

    batch = next(iter(batch_pairs(pairs, _TIMED))).to(model.W_E.device)
    cuda = model.W_E.is_cuda
    with torch.inference_mode():
        model(batch.clean[:1])  # what a first pass sets up is not timed
        if cuda:
            torch.cuda.synchronize(model.W_E.device)
        start = time.perf_counter()
        model(batch.clean)
        if cuda:
            torch.cuda.synchronize(model.W_E.device)
    return (time.perf_counter() - start) / len(batch.clean)
